package enforce

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/denylist"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/firewall"
)

// DenierOptions configure a [Denier].
type DenierOptions struct {
	Table DenyTable
	Log   *slog.Logger
	Lists []config.Denied
	Never func() protect.Set // returns what must never be banned at that moment
	// Held keeps the lists out of the kernel until [Denier.Release]. A trial needs that: elements
	// without an end would stay after a crash.
	Held bool
}

// Denier is the goroutine that keeps the operator's deny lists in the kernel, less what must never
// be banned. Large lists take it a second or two, and no ban waits for that.
type Denier struct {
	table DenyTable
	log   *slog.Logger
	never func() protect.Set

	calls     owner.Calls
	protected *owner.Latest[struct{}]
	laidOut   *owner.Latest[struct{}]
	release   *owner.Latest[struct{}]
	denied    *owner.Latest[[]config.Denied]
	status    atomic.Pointer[DenyStatus] // for others to read
	counting  sync.Mutex                 // while the kernel is asked what the lists dropped

	// Of the goroutine.
	lists   []config.Denied // of the config
	also    []config.Denied // by command
	held    bool
	sure    bool           // the kernel has what it was given last
	waiters []chan<- error // for the next try; each has room for one
	gather  bool           // only commands changed something, so it may wait for further ones
	untried bool           // what is denied by command changed since the last try
	last    time.Time      // of the last try
}

// DenyStatus is the state of the deny lists.
type DenyStatus struct {
	List *denylist.List // in force; nil: nothing is yet
	Err  error          // what keeps the kernel from more
	Held bool           // until the trial ends
}

// NewDenier returns a denier. It does nothing before [Denier.Run].
func NewDenier(o DenierOptions) *Denier {
	d := &Denier{
		table: o.Table, log: o.Log, never: o.Never, lists: o.Lists, held: o.Held,
		calls:     owner.NewCalls("the firewall (the kernel may hang)"),
		protected: owner.NewLatest[struct{}](),
		laidOut:   owner.NewLatest[struct{}](),
		release:   owner.NewLatest[struct{}](),
		denied:    owner.NewLatest[[]config.Denied](),
	}

	d.status.Store(&DenyStatus{Held: o.Held})

	// What is in the kernel is not known, so the lists are sent at the start.
	d.LaidOut()
	return d
}

// Protect reports that what must never be banned has changed. It does not wait.
func (d *Denier) Protect() { d.protected.Set(struct{}{}) }

// LaidOut reports that the table was laid out: its sets may be new and empty, or hold what others
// put there. It does not wait.
func (d *Denier) LaidOut() { d.laidOut.Set(struct{}{}) }

// Release lets held lists into the kernel. It does not wait.
func (d *Denier) Release() { d.release.Set(struct{}{}) }

// Status returns the state of the lists. It never waits.
func (d *Denier) Status() DenyStatus { return *d.status.Load() }

// SetLists replaces the lists, and waits until the kernel has them, or refuses them. The denier
// goes on trying in that case, and when ctx ends first.
func (d *Denier) SetLists(ctx context.Context, lists []config.Denied) error {
	tried := make(chan error, 1)
	_, err := owner.Do(ctx, d.calls, func() struct{} {
		d.lists = lists
		d.waiters = append(d.waiters, tried)
		return struct{}{}
	})
	if err != nil {
		return err
	}

	select {
	case err := <-tried:
		return err
	case <-ctx.Done():
		return fmt.Errorf("await the kernel: %w", ctx.Err())
	}
}

// gatherTime is the pause after which a change by command is put into the kernel: several within it
// are put there together, since large lists take the kernel seconds.
const gatherTime = time.Second

// SetDenied replaces what is denied by command. It does not wait.
func (d *Denier) SetDenied(list []config.Denied) { d.denied.Set(list) }

// AwaitDenied waits until what SetDenied was called with was given to the kernel, and returns what
// keeps the kernel from taking it.
func (d *Denier) AwaitDenied(ctx context.Context) error {
	tried := make(chan error, 1)
	_, err := owner.Do(ctx, d.calls, func() struct{} {
		// What was set before must be part of the next try, unless it was part of the last one.
		select {
		case d.also = <-d.denied.C():
			d.untried = true
		default:
		}
		d.gather = true
		if !d.untried && d.Status().Err == nil {
			tried <- nil
			return struct{}{}
		}
		d.waiters = append(d.waiters, tried)
		return struct{}{}
	})
	if err != nil {
		return err
	}

	select {
	case err := <-tried:
		return err
	case <-ctx.Done():
		return fmt.Errorf("await the kernel: %w", ctx.Err())
	}
}

// Run serves until ctx ends.
func (d *Denier) Run(ctx context.Context) {
	var pause time.Duration
	var due <-chan time.Time // when gathered changes are tried; nil: there are none
	for ctx.Err() == nil {
		// A nil channel is never ready: without a failure there is nothing to try again.
		var retry <-chan time.Time
		if pause > 0 {
			retry = time.After(pause)
		}

		select {
		case <-ctx.Done():
			return
		case f := <-d.calls.C():
			f()
		case d.also = <-d.denied.C():
			d.gather, d.untried = true, true
		case <-due:
		case <-d.protected.C():
		case <-d.laidOut.C():
			d.sure = false
		case <-d.release.C():
			d.held, d.sure = false, false
		case <-retry:
		}

		// Commands within a second are laid out together. Any other change is tried at once, and
		// these with it.
		rest := gatherTime - time.Since(d.last)
		gather := d.gather
		d.gather = false
		if gather && rest > 0 {
			if due == nil {
				due = time.After(rest)
			}
			continue
		}

		err := d.try(ctx)
		due, d.last, d.untried = nil, time.Now(), false
		for _, w := range d.waiters {
			w <- err
		}
		d.waiters = nil

		// A kernel that refuses is asked less and less often. Any change is tried at once.
		if err == nil || ctx.Err() != nil {
			pause = 0
			continue
		}

		pause = min(max(2*pause, retryFirst), retryLast)
		d.logFailure(err, pause)
	}
}

// logFailure logs an error. That a table is gone is logged, and repaired, by the enforcer.
func (d *Denier) logFailure(err error, retry time.Duration) {
	level := slog.LevelError
	if errors.Is(err, firewall.ErrGone) {
		level = slog.LevelDebug
	}
	d.log.Log(context.Background(), level, "firewall: cannot put the deny lists into the kernel",
		"err", err, "retry", retry.String())
}

// try makes the kernel's sets what they must be.
func (d *Denier) try(ctx context.Context) error {
	if d.held {
		return nil
	}

	// What must never be banned is asked for now, not when the lists changed.
	old := d.Status().List
	next := denylist.New(slices.Concat(d.lists, d.also), d.never())

	// Large lists take the kernel a second or two, so the same set is not sent again.
	same := old != nil && next.Set.Equal(old.Set)
	if !d.sure || !same {
		if err := d.table.SetDeny(ctx, next.Set.Prefixes()); err != nil {
			d.sure = false
			d.status.Store(&DenyStatus{List: old, Err: err})
			return err
		}
	}

	d.sure = true
	d.status.Store(&DenyStatus{List: next})
	if !same && (next.Listed() > 0 || old != nil) {
		msg := "deny lists are in force"
		if isDry(d.table) {
			msg = "deny lists would be in force"
		}
		d.log.Info(msg, "listed", next.Listed(), "ranges", len(next.Set.Ranges()),
			"taken_out", len(next.Out))
	}

	return nil
}

// Dropped returns what the lists dropped since the table was made; nil if the kernel does not
// answer, or has not answered the question before.
func (d *Denier) Dropped(ctx context.Context) *firewall.Denied {
	c, ok := askKernel(ctx, &d.counting, d.table.Denied)
	if !ok {
		return nil
	}
	return &c
}
