package enforce

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
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

		if n, ok := w.Counters(t.Context())[enforcetest.Key("203.0.113.1/32", sip)]; !ok || n != 7 {
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
			b := enforcetest.Ban(w.clock, fmt.Sprintf("10.0.%d.%d/32", i/250, i%250), all, time.Hour)
			b.Attempts = i
			w.mail.Orders.Put(b.Prefix, bans.OrderOf(&b))
		}
		synctest.Wait()

		p, err := w.Select(t.Context(), Pick{
			Match:   func(b *bans.Ban) bool { return b.Attempts%2 == 0 },
			Compare: func(a, b *bans.Ban) int { return b.Attempts - a.Attempts }, Most: 3,
		})
		if err != nil || p.Total != many || p.Matched != (many+1)/2 || len(p.Bans) != 3 ||
			p.Bans[0].Attempts != many-1 || p.Bans[2].Attempts != many-5 {
			t.Errorf("%+v, %v", p, err)
		}
	})
}
