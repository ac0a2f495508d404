package enforce

import (
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/compact"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce/enforcetest"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/firewall"
)

// manyBans is enough that what does not depend on their number does not count.
const manyBans = 100_000

func numbered(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
}

// perBan returns how many bytes of the heap what f returns keeps, for each of very many bans.
func perBan[T any](f func() T) (bytes int, kept T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	kept = f()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return int(int64(after.HeapAlloc)-int64(before.HeapAlloc)) / manyBans, kept
}

// With 262,144 bans amifend must fit into 350 MB, also while kernel and journal are compared. These
// are the parts that grow with the bans; the engine's own are bounded by its options.
func TestMemoryOfABan(t *testing.T) {
	c := clock.New()
	one := enforcetest.Ban(c, "192.0.2.1/32", all, time.Hour)
	one.Servers = []string{"office"}
	ban := func(i int) bans.Ban {
		b := one
		b.Prefix = numbered(i)
		b.Servers = append([]string(nil), one.Servers...) // as each decision has it
		return b
	}

	// The second way is that of bans that are decided one by one, and sent.
	ledgers := map[string]func() *ledger{
		"of the journal": func() *ledger {
			l := newLedger()
			l.fill(func() {
				for i := range manyBans {
					b := ban(i)
					l.expect(&b)
				}
			})
			l.sendUnconfirmed()
			return l
		},
		"decided": func() *ledger {
			l := newLedger()
			for i := range manyBans {
				b := ban(i)
				l.ban(&b).logged = true
			}
			return l
		},
	}
	for name, make := range ledgers {
		const most = 230
		n, l := perBan(func() *ledger {
			l := make()
			for l.sending > 0 {
				for _, c := range l.next(c.Now(), c) {
					h, _ := l.done(c, 1)
					h.details = nil
				}
			}
			return l
		})
		t.Logf("ledger %s: %d bytes a ban", name, n)
		if n > most || len(l.bans) != manyBans {
			t.Errorf("ledger %s: %d bytes a ban, at most %d", name, n, most)
		}
	}

	// What a comparison has in addition.
	n, elements := perBan(func() *firewall.Elements {
		list := make([]firewall.Element, manyBans)
		for i := range list {
			list[i] = firewall.Element{Prefix: numbered(i), Scope: all, Expires: time.Hour}
		}
		return firewall.NewElements(list...)
	})
	if n > 60 || elements.Len() != manyBans {
		t.Errorf("kernel's elements: %d bytes a ban", n)
	}

	cause := &journal.Cause{Rule: "score"}
	n, open := perBan(func() map[compact.Key]journal.Open {
		m := make(map[compact.Key]journal.Open)
		for i := range manyBans {
			m[compact.Of(numbered(i), all)] = journal.Open{Cause: cause}
		}
		return m
	})
	t.Logf("snapshot: %d bytes a ban", n)
	if n > 150 || len(open) != manyBans {
		t.Errorf("journal's snapshot: %d bytes a ban", n)
	}
}

// A comparison and a list of bans must not make much more garbage than they keep: garbage is memory
// until it is collected.
func TestGarbageOfAList(t *testing.T) {
	c := clock.New()
	l := newLedger()
	for i := range manyBans {
		b := enforcetest.Ban(c, numbered(i).String(), all, time.Hour)
		l.ban(&b)
	}

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	w := walk{Pick: Pick{Most: 20}}
	for w.step(l) {
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; len(w.found) != 20 || n > 8<<10 {
		t.Errorf("%d bans take %d bytes", len(w.found), n)
	}
}
