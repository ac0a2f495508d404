package enforce

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce/enforcetest"
)

// The list of bans is made in parts, while bans come and go.
func TestWalk(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		const many = 5 * walkMost
		for i := range many {
			w.order(fmt.Sprintf("10.%d.%d.%d/32", i>>16, i>>8&255, i&255), all, time.Hour)
		}

		w.order("203.0.113.1/32", sip, time.Minute)
		w.kernel.Set(func() { w.kernel.Packets[enforcetest.Key("203.0.113.1/32", sip)] = 7 })
		listed, err := w.each(t)
		if err != nil || len(listed) != many+1 {
			t.Fatalf("%d bans, %v", len(listed), err)
		}

		seen := map[netip.Prefix]bool{}
		for _, b := range listed {
			if seen[b.Prefix] || b.State != InKernel {
				t.Fatalf("ban %+v", b)
			}
			seen[b.Prefix] = true
		}

		if n, ok := w.Counters(t.Context()).Of(
			netip.MustParsePrefix("203.0.113.1/32"), sip); !ok || n != 7 {
			t.Errorf("%d packets, %v", n, ok)
		}

		w.pass(2 * time.Minute)
		if listed, err := w.each(t); err != nil || len(listed) != many {
			t.Errorf("%d bans after one has ended, %v", len(listed), err)
		}
	})
}

// each returns all bans.
func (w *workshop) each(t *testing.T) ([]Ban, error) {
	t.Helper()
	p, err := w.Select(t.Context(), Pick{Match: func(*bans.Ban) bool { return true }})
	if len(p.Bans) > p.Matched || p.Matched != p.Total {
		t.Errorf("%d bans, %d match, of %d", len(p.Bans), p.Matched, p.Total)
	}
	return p.Bans, err
}

// A short list has the first bans in the order that is wanted, and counts the others.
func TestShortList(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		const many = 3*scanMost + 7
		for i := range many {
			b := enforcetest.Ban(w.clock, fmt.Sprintf("10.0.%d.%d/32", i/250, i%250), all,
				time.Hour+time.Duration((i*7919)%many)*time.Second)
			b.Attempts, b.Score = i, float64((i*104729)%many)
			b.Decided = b.Decided.Add(-time.Duration(many-i) * time.Minute)
			w.mail.Orders.Put(b.Prefix, bans.OrderOf(&b))
		}
		synctest.Wait()

		even := func(b *bans.Ban) bool { return b.Attempts%2 == 0 }
		for _, tt := range []struct {
			name    string
			pick    Pick
			matched int
			want    func(a, b *Ban) bool
		}{
			{"newest", Pick{Most: 3}, many, func(a, b *Ban) bool { return a.Decided.After(b.Decided) }},
			{"of some", Pick{Most: 3, Match: even}, (many + 1) / 2, func(a, b *Ban) bool {
				return a.Attempts == b.Attempts+2
			}},
			{"until", Pick{Most: 3, Order: ByEnd}, many, func(a, b *Ban) bool {
				return a.Expiry < b.Expiry && a.Expiry < w.clock.Now()+int64(time.Hour+3*time.Second)
			}},
			{"source", Pick{Most: 3, Order: BySource}, many, func(a, b *Ban) bool {
				return a.Attempts+1 == b.Attempts
			}},
			{"score", Pick{Most: 3, Order: ByScore}, many, func(a, b *Ban) bool {
				return a.Score == b.Score+1 && a.Score >= many-2
			}},
			{"within", Pick{
				Most: 3, Within: netip.MustParsePrefix("10.0.3.0/24"), Order: BySource,
			}, 250, func(a, b *Ban) bool { return a.Attempts >= 750 && a.Attempts+1 == b.Attempts }},
		} {
			p, err := w.Select(t.Context(), tt.pick)
			if err != nil || p.Total != many || p.Matched != tt.matched || len(p.Bans) != 3 ||
				!tt.want(&p.Bans[0], &p.Bans[1]) || !tt.want(&p.Bans[1], &p.Bans[2]) {
				t.Errorf("%s: %+v, %v", tt.name, p, err)
			}
		}
	})
}

// A list of a prefix has what is in it, and what covers it.
func TestListOfAPrefix(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		for _, p := range []string{
			"10.0.0.0/24", "10.0.0.1/32", "10.0.0.200/32", "10.0.1.0/32", "9.255.255.255/32",
			"2001:db8::/48", "2001:db8::/64", "2001:db8:0:1::1/128", "2001:db8:1::/64",
		} {
			w.order(p, all, time.Hour)
		}

		for within, want := range map[string]string{
			"10.0.0.128/25":      "[10.0.0.0/24 10.0.0.200/32]",
			"10.0.0.0/25":        "[10.0.0.0/24 10.0.0.1/32]",
			"10.0.0.0/8":         "[10.0.0.0/24 10.0.0.1/32 10.0.0.200/32 10.0.1.0/32]",
			"10.0.0.1/32":        "[10.0.0.0/24 10.0.0.1/32]",
			"10.0.2.0/24":        "[]",
			"0.0.0.0/0":          "[9.255.255.255/32 10.0.0.0/24 10.0.0.1/32 10.0.0.200/32 10.0.1.0/32]",
			"2001:db8:0:1::/64":  "[2001:db8::/48 2001:db8:0:1::1/128]",
			"2001:db8:0:1::/100": "[2001:db8::/48 2001:db8:0:1::1/128]",
			"::/0": "[2001:db8::/48 2001:db8::/64 2001:db8:0:1::1/128 " +
				"2001:db8:1::/64]",
		} {
			p, err := w.Pick(t.Context(), Pick{Within: netip.MustParsePrefix(within), Order: BySource})
			got := []netip.Prefix{}
			for _, k := range p.Keys {
				got = append(got, k.Prefix())
			}
			if err != nil || fmt.Sprint(got) != want || p.Matched != len(got) || p.Total != 9 {
				t.Errorf("within %s: %v, %d, want %s; %v", within, got, p.Matched, want, err)
			}
		}
	})
}

// The enforcer does not look at more bans than it lists.
func TestShortListLooksAtFew(t *testing.T) {
	l := newLedger()
	c := clock.New()
	l.fill(func() {
		for i := range 100_000 {
			b := enforcetest.Ban(c, fmt.Sprintf("10.%d.%d.%d/32", i>>16, i>>8&255, i&255), all, time.Hour)
			l.expect(&b)
		}
	})

	for name, p := range map[string]Pick{
		"20 of all":  {Most: 20},
		"20 by end":  {Most: 20, Order: ByEnd},
		"20 by name": {Most: 20, Order: BySource},
		"a prefix":   {Within: netip.MustParsePrefix("10.1.7.0/24")},
	} {
		looks := 0
		for _, o := range []*ordered{&l.byKey, &l.byAge, &l.byEnd} {
			compare := o.compare
			o.compare = func(a, b *held) int { looks++; return compare(a, b) }
			defer func() { o.compare = compare }()
		}

		w := walk{Pick: p}
		for w.step(l) {
			looks += scanMost
		}
		if len(w.found) == 0 || looks+len(w.found) > 400 {
			t.Errorf("%s: %d found, %d looked at", name, len(w.found), looks)
		}
	}
}
