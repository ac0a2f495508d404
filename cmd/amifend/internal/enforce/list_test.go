package enforce

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

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
func (w *workshop) each(t *testing.T) (out []Ban, err error) {
	t.Helper()
	err = w.Each(t.Context(), func(part []Ban) {
		if len(part) > walkMost {
			t.Errorf("%d bans at a time", len(part))
		}
		out = append(out, part...)
	})
	return out, err
}
