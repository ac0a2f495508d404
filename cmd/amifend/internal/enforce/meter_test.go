package enforce

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce/enforcetest"
	"github.com/amifend/amifend/firewall"
)

// Bans are counted by scope: those that were made, and those that run now.
func TestBansAreCountedByScope(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		w.order("192.0.2.1/32", all, time.Hour)
		w.order("192.0.2.2/32", sip, time.Minute)
		w.order("192.0.2.3/32", sip, time.Hour)
		w.order("192.0.2.3/32", all, 2*time.Hour) // in place of the one before
		w.lift("192.0.2.1/32")
		w.pass(2 * time.Minute)

		c := w.Counts()
		if c.Dry || c.Banned[all] != 2 || c.Banned[sip] != 2 || c.Banned[firewall.ScopeStream] != 0 ||
			c.Way.Count != 4 || c.Way.Buckets[0.01] != 4 {
			t.Errorf("%+v", c)
		}
		st, err := w.Status(t.Context())
		if err != nil || st.Bans != 1 || st.Scopes[all] != 1 || st.Scopes[sip] != 0 {
			t.Errorf("%+v, %v", st, err)
		}

		w.mail.Orders.Replace(bans.Everybody(), bans.Order{All: 1, Lift: true})
		w.pass(0)
		if st, err := w.Status(t.Context()); err != nil || st.Scopes[all] != 0 {
			t.Errorf("after all were lifted: %+v, %v", st, err)
		}
	})
}

// A ban that an operator kept was decided long before the kernel was asked for it.
func TestKeptBansAreNoDelay(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		b := enforcetest.Ban(w.clock, "192.0.2.1/32", all, time.Hour)
		w.pass(10 * time.Minute)
		w.mail.Orders.Put(b.Prefix, bans.OrderOf(&b))
		w.pass(0)
		if c := w.Counts(); c.Banned[all] != 1 || c.Way.Count != 0 {
			t.Errorf("%+v", c)
		}
	})
}

// While the kernel hangs, one question waits for it, and those who ask are answered.
func TestDroppedWhileTheKernelHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := enforcetest.NewKernel()
		k.Packets[enforcetest.Key("192.0.2.1/32", all)] = 7
		k.Gate = make(chan struct{})
		e := New(Options{
			Table: deaf{k}, Clock: clock.New(), Log: slog.New(slog.DiscardHandler), Mail: bans.NewMail(),
		})

		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if d := e.Dropped(ctx); d != nil {
				t.Errorf("%+v", d)
			}
			cancel()
		}

		close(k.Gate)
		synctest.Wait()
		if d := e.Dropped(t.Context()); d[all].Packets != 7 || d[all].Bytes != 700 {
			t.Errorf("when it answers: %+v", d)
		}
	})
}

// deaf is a kernel that does not notice when nobody waits for its answer any more.
type deaf struct{ *enforcetest.Kernel }

func (d deaf) Dropped(context.Context) (map[firewall.Scope]firewall.Dropped, error) {
	return d.Kernel.Dropped(context.Background())
}
