package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/denylist"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/firewall"
)

// denyTable is the kernel as the denier needs it.
type denyTable interface {
	SetDeny(ctx context.Context, deny []netip.Prefix) error
	Denied(ctx context.Context) (firewall.Denied, error)
}

// denier is the goroutine that keeps the operator's deny lists in the kernel, less what must never be banned. Large lists take it a
// second or two, for which no ban waits.
type denier struct {
	table denyTable
	log   *slog.Logger
	wake  chan struct{} // a token: there is something to do

	never func() protect.Set // what must never be banned now; not changed once run was called

	mu     sync.Mutex
	held   bool // a trial: elements without an end must not be made, as nothing would take them out after a crash
	listed []config.Denied
	wishes uint64        // how often the lists or the protected addresses changed, or the table was laid out
	laid   uint64        // of these, the last that was a layout
	done   uint64        // up to which wish the kernel did as asked
	tried  chan struct{} // closed after the next try
	list   *denylist.List
	err    error // of the last try
}

func newDenier(t denyTable, log *slog.Logger, listed []config.Denied, never func() protect.Set) *denier {
	d := &denier{table: t, log: log, wake: make(chan struct{}, 1), tried: make(chan struct{}), listed: listed, never: never}
	d.laidOut() // what is in the kernel is not known
	return d
}

// denyLists replaces the lists, and returns the number of the wish, see await.
func (d *denier) denyLists(listed []config.Denied) uint64 {
	return d.wish(func() { d.listed = listed })
}

// protect tells that what must never be banned changed.
func (d *denier) protect() { d.wish(func() {}) }

// laidOut tells that the table was laid out: its sets may be new and empty, or hold what others put there.
func (d *denier) laidOut() { d.wish(func() { d.laid = d.wishes }) }

// release ends that the lists are held.
func (d *denier) release() {
	d.wish(func() { d.held, d.laid = false, d.wishes })
}

func (d *denier) wish(change func()) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wishes++
	change()
	select {
	case d.wake <- struct{}{}:
	default:
	}
	return d.wishes
}

// await waits until a wish was carried out, or cannot be.
func (d *denier) await(ctx context.Context, wish uint64) error {
	for {
		d.mu.Lock()
		done, err, tried := d.done, d.err, d.tried
		d.mu.Unlock()
		if done >= wish || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("await the kernel: %w", ctx.Err())
		case <-tried:
		}
	}
}

// run serves until ctx ends.
func (d *denier) run(ctx context.Context) {
	var pause time.Duration
	for ctx.Err() == nil {
		var retry <-chan time.Time
		if pause > 0 {
			retry = time.After(pause)
		}
		select {
		case <-ctx.Done():
			return
		case <-d.wake:
		case <-retry:
		}
		err := d.try(ctx)
		if err == nil || ctx.Err() != nil {
			pause = 0
			continue
		}
		pause = min(max(2*pause, retryFirst), retryLast)
		d.tell(err, pause)
	}
}

// tell logs an error. A table that is gone is told, and put back, by the enforcer.
func (d *denier) tell(err error, retry time.Duration) {
	level := slog.LevelError
	if errors.Is(err, firewall.ErrGone) {
		level = slog.LevelDebug
	}
	d.log.Log(context.Background(), level, "firewall: cannot put the deny lists into the kernel", "err", err, "retry", retry.String())
}

// try makes the kernel's sets what they shall be.
func (d *denier) try(ctx context.Context) error {
	d.mu.Lock()
	listed, wish, old := d.listed, d.wishes, d.list
	sure := d.err == nil && d.laid <= d.done
	if d.held {
		d.done = wish
		close(d.tried)
		d.tried = make(chan struct{})
		d.mu.Unlock()
		return nil
	}
	d.mu.Unlock()
	next := denylist.New(listed, d.never())
	var err error
	same := old != nil && next.Set.Equal(old.Set)
	if !sure || !same {
		err = d.table.SetDeny(ctx, next.Set.Prefixes())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err = err; err == nil {
		d.list, d.done = next, wish
	}
	close(d.tried)
	d.tried = make(chan struct{})
	if err == nil && !same && (next.Listed() > 0 || old != nil) {
		d.log.Info("deny lists are in force", "listed", next.Listed(), "ranges", len(next.Set.Ranges()), "taken_out", len(next.Out))
	}
	return err
}

// status returns what is in force, nil if nothing is yet, and what keeps the kernel from more.
func (d *denier) status() (*denylist.List, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.list, d.err
}

func (d *denier) isHeld() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.held
}
