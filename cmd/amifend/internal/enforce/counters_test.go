package enforce

import (
	"net/netip"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce/enforcetest"
)

// What the kernel counts of a ban is compared with the reading before, whoever made that one.
func TestDrops(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		addr := netip.MustParseAddr("203.0.113.1")
		k := enforcetest.Key("203.0.113.1/32", all)
		read := func(packets uint64) *bans.Drops {
			t.Helper()
			w.kernel.Set(func() { w.kernel.Packets[k] = packets })
			covering, err := w.Covering(t.Context(), addr)
			if err != nil || len(covering) != 1 {
				t.Fatalf("%+v, %v", covering, err)
			}
			return covering[0].Drops
		}

		w.order("203.0.113.1/32", all, 24*time.Hour)
		if d := read(40); *d != (bans.Drops{Packets: 40}) {
			t.Errorf("at first: %+v", d)
		}

		w.pass(3 * time.Second)
		if d := read(43); *d != (bans.Drops{Packets: 43, Lately: 3, Span: 3 * time.Second}) {
			t.Errorf("3 s later: %+v", d)
		}

		w.pass(time.Minute)
		w.Counters(t.Context()) // a list of all bans is a reading, too
		w.pass(time.Second)
		if d := read(50); *d != (bans.Drops{Packets: 50, Lately: 7, Span: time.Second}) {
			t.Errorf("after a list: %+v", d)
		}

		w.pass(time.Minute)
		w.order("203.0.113.1/32", all, 48*time.Hour) // a new element: its counter is another
		if d := read(1); *d != (bans.Drops{Packets: 1}) {
			t.Errorf("of a new element: %+v", d)
		}

		w.pass(time.Second)
		if d := read(0); *d != (bans.Drops{}) { // somebody else made a new one
			t.Errorf("of one that counts from 0 again: %+v", d)
		}

		w.kernel.Set(func() { w.kernel.Uncount = true })
		if d := read(0); d != nil {
			t.Errorf("without counters: %+v", d)
		}
	})
}
