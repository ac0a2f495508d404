package enforce

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce/enforcetest"
	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
)

func denied(prefixes ...string) (out []config.Denied) {
	for i, p := range prefixes {
		out = append(out, config.Denied{
			Prefix: netip.MustParsePrefix(p), File: "/lists/drop.txt", Line: i + 1,
		})
	}
	return out
}

// A kernel that refuses is tried again, and told; what nothing changed is not sent again.
func TestDenierTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kernel := enforcetest.NewKernel()
		kernel.Fail = []error{errors.New("no memory"), errors.New("no memory")}
		said, log := logtest.New()
		d := NewDenier(DenierOptions{
			Table: kernel, Log: log, Lists: denied("203.0.113.0/24"),
			Never: func() protect.Set { return protect.Set{} },
		})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); d.Run(ctx) }()
		synctest.Wait()
		if d.Status().Err == nil || d.SetLists(ctx, denied("203.0.113.0/24")) == nil {
			t.Error("a failure is not told")
		}

		time.Sleep(10 * time.Second)
		synctest.Wait()
		if s := d.Status(); s.Err != nil || s.List == nil || len(kernel.Deny) != 1 {
			t.Errorf("%+v, %d lists", s, len(kernel.Deny))
		}
		if n := len(said.Said("firewall: cannot put the deny lists into the kernel", "")); n != 2 {
			t.Errorf("told %d times, want 2", n)
		}

		d.Protect()
		synctest.Wait()
		if len(kernel.Deny) != 1 {
			t.Error("the same list was sent again")
		}

		d.LaidOut()
		synctest.Wait()
		if len(kernel.Deny) != 2 {
			t.Error("the list was not sent to a new table")
		}
		if err := d.SetLists(ctx, denied("203.0.112.0/24")); err != nil || len(kernel.Deny) != 3 {
			t.Errorf("%v, %d lists", err, len(kernel.Deny))
		}

		stop()
		<-ended
	})
}

// Whatever is being replaced, the denier's table is told nothing that is protected at that moment.
func TestDenierAsksWhatIsProtectedNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kernel := enforcetest.NewKernel()
		var never protect.Set
		d := NewDenier(DenierOptions{
			Table: kernel, Log: slog.New(slog.DiscardHandler), Lists: denied("203.0.113.0/24"),
			Never: func() protect.Set { return never },
		})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); d.Run(ctx) }()
		synctest.Wait()
		never.Entries = []protect.Entry{{
			Prefix: netip.MustParsePrefix("203.0.113.0/25"), Reason: "allowlist",
		}}
		d.Protect()
		synctest.Wait()
		if last := kernel.Deny[len(kernel.Deny)-1]; last.OverlapsPrefix(never.Entries[0].Prefix) ||
			!last.ContainsPrefix(netip.MustParsePrefix("203.0.113.128/25")) {
			t.Errorf("the kernel was told %v", last.Ranges())
		}

		stop()
		<-ended
	})
}

// TestDeniedByCommand: what is denied by command lies beside the lists, the caller waits until the
// kernel has it, and several commands within a second are laid out together. A list of the config
// does not wait for that.
func TestDeniedByCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kernel := enforcetest.NewKernel()
		d := NewDenier(DenierOptions{
			Table: kernel, Log: slog.New(slog.DiscardHandler), Lists: denied("203.0.113.0/24"),
			Never: func() protect.Set {
				return protect.Set{Entries: []protect.Entry{
					{Prefix: netip.MustParsePrefix("198.51.100.7/32"), Reason: "allowlist"},
				}}
			},
		})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); d.Run(ctx) }()
		defer func() { stop(); <-ended }()
		time.Sleep(2 * time.Second)
		synctest.Wait()

		// The first is laid out at once, with what must never be banned taken out.
		begun := time.Now()
		d.SetDenied(denied("198.51.100.0/24"))
		if err := d.AwaitDenied(ctx); err != nil || time.Since(begun) > 0 || len(kernel.Deny) != 2 {
			t.Fatalf("%v after %s, %d lists", err, time.Since(begun), len(kernel.Deny))
		}
		list := d.Status().List
		if list.Listed() != 2 || list.Set.Contains(netip.MustParseAddr("198.51.100.7")) ||
			!list.Set.Contains(netip.MustParseAddr("198.51.100.8")) {
			t.Errorf("%v", list.Set.Prefixes())
		}

		// The next ones wait for the rest of a second.
		var all sync.WaitGroup
		for _, p := range []string{"192.0.2.0/28", "192.0.2.16/28", "192.0.2.32/28"} {
			d.SetDenied(denied("198.51.100.0/24", p))
			all.Go(func() {
				if err := d.AwaitDenied(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if took := time.Since(begun); took != gatherTime || len(kernel.Deny) != 3 {
			t.Errorf("after %s, %d lists", took, len(kernel.Deny))
		}
		if !d.Status().List.Set.Contains(netip.MustParseAddr("192.0.2.33")) {
			t.Errorf("%v", d.Status().List.Set.Prefixes())
		}

		if err := d.SetLists(ctx, nil); err != nil || time.Since(begun) != gatherTime {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
	})
}
