package judge

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/policy"
)

// Who failed most in the last hour is known without a journal, whoever asks for reports meanwhile.
func TestHottest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCourt(t)
		defer c.run()()
		hash := c.Hasher()

		fail := func(addr, account string, n int) {
			for range n {
				c.in <- attempt(c.clock, addr+":5060", hash.Label([]byte(account)))
			}
			synctest.Wait()
		}
		ask := func() Hottest {
			h, err := c.Hottest(t.Context(), 2)
			if err != nil {
				t.Fatal(err)
			}
			return h
		}

		// Four minutes, in which reports have the counts handed over now and then.
		for range 4 {
			fail("203.0.113.1", "100", 3)
			if err := c.HandOverCounts(t.Context()); err != nil {
				t.Fatal(err)
			}
			fail("203.0.113.2", "\x1b[2J", 2)
			fail("203.0.113.3", "200", 1)
			time.Sleep(time.Minute)
		}

		h := ask()
		if len(h.Sources) != 2 || h.Sources[0].Addr != netip.MustParseAddr("203.0.113.1") ||
			h.Sources[0].Failures != 12 || h.Sources[0].Lately > 6 || h.Sources[1].Failures != 8 {
			t.Errorf("sources %+v", h.Sources)
		}
		if len(h.Accounts) != 2 || h.Accounts[1].Account != `"\x1b[2J"` || h.Accounts[1].Failures != 8 ||
			h.Accounts[1].Server == "" {
			t.Errorf("accounts %+v", h.Accounts)
		}
		if n := c.Counts().Attempts; n != 24 {
			t.Errorf("%d attempts", n)
		}

		// An hour later, nothing of it is left.
		time.Sleep(59 * time.Minute)
		if h := ask(); len(h.Sources) == 0 || h.Sources[0].Lately != 0 {
			t.Errorf("after most of an hour: %+v", h.Sources)
		}
		time.Sleep(5 * time.Minute)
		if h := ask(); len(h.Sources)+len(h.Accounts) != 0 {
			t.Errorf("after an hour: %+v", h)
		}
	})
}

// However many attack and however often somebody asks, what is remembered is bounded.
func TestHottestIsBounded(t *testing.T) {
	var h hottest
	second := int64(time.Second)
	for now := int64(0); now < 2*hottestSpan; now += second {
		s := &sums{sources: make(map[sourceName]counts), accounts: make(map[accountName]counts)}
		for i := range 200 {
			addr := netip.MustParseAddr(fmt.Sprintf("10.0.%d.%d", i, now%250))
			label := policy.NewHasher(1).Label(fmt.Appendf(nil, "%d", i))
			s.sources[sourceName{addr: addr}] = counts{failures: uint64(i)}
			s.accounts[accountName{label: label}] = counts{failures: uint64(i)}
		}
		h.add(s, now)
	}

	if n := len(h.blocks); n < 59 || n > 62 {
		t.Errorf("%d blocks", n)
	}
	for _, b := range h.blocks {
		if len(b.sources) != hottestNames || len(b.accounts) != hottestNames {
			t.Fatalf("%d sources, %d accounts", len(b.sources), len(b.accounts))
		}
		if b.accounts[0].failures < 199 || b.accounts[0].failures < b.accounts[1].failures {
			t.Fatalf("the first accounts are %+v", b.accounts[:2])
		}
	}
}

// One look at a minute of a flood must not hold up the judge for more than 5 ms.
func BenchmarkHottest(b *testing.B) {
	s := &sums{sources: make(map[sourceName]counts), accounts: make(map[accountName]counts)}
	for i := range hourlyNames {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		label := policy.NewHasher(1).Label(fmt.Appendf(nil, "%d", i))
		failed := counts{failures: uint64(i*7919) % 1000}
		s.sources[sourceName{addr: addr}] = failed
		s.accounts[accountName{label: label}] = failed
	}
	for b.Loop() {
		newHotBlock(s, 0)
	}
}
