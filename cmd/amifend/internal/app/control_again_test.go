package app

import (
	"net/netip"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// Who lifts a ban is told whether its source still sends, and how soon it would be banned again.
func TestUnbanTellsWhetherItIsSoonBack(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		addr := netip.MustParsePrefix("203.0.113.6/32")
		lift := func(packets, more uint64) (control.Again, time.Duration) {
			t.Helper()
			if _, err := o.Ban(t.Context(), control.Peer{}, []control.NewBan{newBanOf(addr.String(), "all", time.Hour)}); err != nil {
				t.Fatal(err)
			}
			k := key{addr, all}
			o.kernel.set(func() { o.kernel.packets[k] = packets })
			time.AfterFunc(lookSpan/2, func() { o.kernel.set(func() { o.kernel.packets[k] += more }) })
			began := time.Now()
			l, err := o.Unban(t.Context(), control.Peer{}, addr)
			took := time.Since(began)
			time.Sleep(lookSpan)
			if err != nil || l.Count != 1 || l.Again == nil {
				t.Fatalf("%+v, %v", l, err)
			}
			return *l.Again, took
		}
		again, took := lift(40, 3)
		if want := (control.Again{Dropped: 43, Lately: 3, LatelySpan: 1, MoreUnknown: 4, MoreKnown: 7}); again != want {
			t.Errorf("it sends: %+v, want %+v", again, want)
		}
		if took < lookSpan {
			t.Errorf("it looked for %v", took)
		}
		again, took = lift(0, 0)
		if want := (control.Again{MoreUnknown: 4, MoreKnown: 7}); again != want || took >= lookSpan {
			t.Errorf("it is silent: %+v after %v, want %+v at once", again, took, want)
		}
		if _, err := o.Ban(t.Context(), control.Peer{}, []control.NewBan{newBanOf("203.0.113.0/24", "all", time.Hour)}); err != nil {
			t.Fatal(err)
		}
		if l, err := o.Unban(t.Context(), control.Peer{}, netip.MustParsePrefix("203.0.113.0/24")); err != nil || l.Again != nil {
			t.Errorf("a network: %+v, %v", l, err)
		}
	})
}
