package enforce

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce/enforcetest"
	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
	"github.com/amifend/amifend/firewall"
)

// workshop is an enforcer at work on a fake kernel, within a synctest bubble.
type workshop struct {
	*Enforcer
	kernel *enforcetest.Kernel
	said   *logtest.Book
	stop   func()
	acked  []bans.Ban // as Banned was told
}

// inWorkshop runs a test with an enforcer that is running. Time is synctest's.
func inWorkshop(t *testing.T, test func(t *testing.T, w *workshop)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorkshop()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.Run(ctx)
		}()
		w.stop = func() {
			cancel()
			<-done
		}
		defer w.stop()
		synctest.Wait()
		test(t, w)
	})
}

func newWorkshop() *workshop {
	said, log := logtest.New()
	w := &workshop{kernel: enforcetest.NewKernel(), said: said}
	w.Enforcer = New(Options{
		Table: w.kernel, Clock: clock.New(), Log: log, Mail: bans.NewMail(),
		Banned: func(b bans.Ban) { w.acked = append(w.acked, b) },
	})
	return w
}

// order gives an order to ban, and waits until it is dealt with.
func (w *workshop) order(prefix string, scope firewall.Scope, d time.Duration) {
	b := enforcetest.Ban(w.clock, prefix, scope, d)
	w.mail.Orders.Put(b.Prefix, bans.OrderOf(&b))
	synctest.Wait()
}

// pass lets time pass.
func (*workshop) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *workshop) lift(prefix string) {
	w.mail.Orders.Put(netip.MustParsePrefix(prefix), bans.Order{Lift: true, Why: "proved"})
	synctest.Wait()
}

// want fails the test unless the kernel has exactly these elements.
func (w *workshop) want(t *testing.T, elements ...string) {
	t.Helper()
	if elements == nil {
		elements = []string{}
	}
	if got := w.kernel.Has(); !slices.Equal(got, elements) {
		t.Fatalf("the kernel has %q, want %q\n%s", got, elements, w.said)
	}
}
