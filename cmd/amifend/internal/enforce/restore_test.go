package enforce

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce/enforcetest"
	"github.com/amifend/amifend/firewall"
)

func TestRestore(t *testing.T) {
	for name, test := range map[string]struct {
		damage func(f *enforcetest.Kernel)
		msg    string
	}{
		"flush set": {
			func(f *enforcetest.Kernel) { clear(f.Elems) },
			"bans were taken out of the kernel by somebody else: putting them back",
		},
		"flush chain": {
			func(f *enforcetest.Kernel) { f.Rules = false },
			"the nftables table was changed by somebody else: laid out again, no ban is missing",
		},
		"delete table": {
			func(f *enforcetest.Kernel) { clear(f.Elems); f.Gone, f.Rules = true, false },
			"bans were taken out of the kernel by somebody else: putting them back",
		},
		"shorten a ban": {func(f *enforcetest.Kernel) {
			f.Elems[enforcetest.Key("192.0.2.1/32", sip)] = time.Now().Add(time.Minute)
		}, "bans were taken out of the kernel by somebody else: putting them back"},
		"add by hand": {func(f *enforcetest.Kernel) {
			f.Elems[enforcetest.Key("203.0.113.9/32", sip)] = time.Now().Add(time.Minute)
		}, "the nftables table was changed by somebody else: laid out again, no ban is missing"},
		"flush and break": {
			func(f *enforcetest.Kernel) { clear(f.Elems); f.Fail = []error{errKernel} },
			"firewall: cannot lay out the table",
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorkshop(t, func(t *testing.T, w *workshop) {
				w.order("192.0.2.1/32", sip, time.Hour)
				w.order("2001:db8::/64", all, time.Hour)
				w.mail.Acks.Take()
				w.kernel.Set(func() { test.damage(w.kernel) })
				w.Damaged()
				w.pass(2 * time.Minute)
				w.want(t, "192.0.2.1 sip", "2001:db8::/64 all")
				if !w.kernel.Rules {
					t.Error("the rules that drop are gone")
				}

				w.said.Count(t, 1, test.msg, "")
				w.said.Count(t, 2, "banned", "")
			})
		})
	}
}

func TestGoneTableIsBackAtOnce(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		w.order("192.0.2.1/32", sip, time.Hour)
		w.kernel.Set(func() {
			w.kernel.Gone = true
			clear(w.kernel.Elems)
		})
		w.order("192.0.2.2/32", sip, time.Hour) // no time passes
		w.want(t, "192.0.2.1 sip", "192.0.2.2 sip")
		w.said.Count(t, 1, "banned", "192.0.2.1")
		w.said.Count(t, 1, "banned", "192.0.2.2")
		w.said.Count(t, 1, "the nftables table is gone: putting it back", "")
		w.said.Count(t, 1, "firewall restored", "")
	})
}

func TestAllowlistOfAGoneTable(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		w.order("192.0.2.1/32", sip, time.Hour)
		w.kernel.Set(func() {
			w.kernel.Gone = true
			clear(w.kernel.Elems)
		})
		w.SetAllow([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
		synctest.Wait()
		w.want(t, "192.0.2.1 sip")
		if len(w.kernel.Allow) != 1 {
			t.Errorf("allowlist %v", w.kernel.Allow)
		}
	})
}

// A new table gets those bans first that dropped packets lately, then the newest.
func TestRestoredInOrder(t *testing.T) {
	l := newLedger()
	c := clock.New()
	for i, p := range []string{"192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32", "192.0.2.4/32"} {
		b := enforcetest.Ban(c, p, all, time.Hour)
		b.Decided = b.Decided.Add(time.Duration(i) * time.Minute)
		l.ban(&b)
	}
	for _, change := range l.next(c.Now(), c) {
		l.done(change, 1)
	}

	// Of two readings the last one counts.
	read := func(p string, packets uint64, at int64) {
		h := l.get(netip.MustParsePrefix(p), all)
		h.count(firewall.Element{Packets: packets, Counted: true}, at)
	}
	read("192.0.2.1/32", 7, 2)
	read("192.0.2.2/32", 7, 2)
	read("192.0.2.1/32", 7, 3)
	read("192.0.2.2/32", 9, 3)

	l.resend()
	got := []string{}
	for _, change := range l.next(c.Now(), c) {
		got = append(got, change.Prefix.Addr().String())
	}
	if want := []string{"192.0.2.2", "192.0.2.4", "192.0.2.3", "192.0.2.1"}; !slices.Equal(got, want) {
		t.Errorf("sent %v, want %v", got, want)
	}
}
