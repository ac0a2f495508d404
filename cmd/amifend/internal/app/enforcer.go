package app

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/amifend/amifend/firewall"
)

// table is the kernel as the enforcer needs it: desired state, idempotent. [firewall.Table] is one; [dryTable] is
// another.
type table interface {
	Ensure(ctx context.Context) error
	SetAllow(ctx context.Context, allow []netip.Prefix) error
	Apply(ctx context.Context, changes []firewall.Change) ([]firewall.Rejected, error)
	reader
}

// reader is how the enforcer looks at the kernel.
type reader interface {
	Bans(ctx context.Context) ([]firewall.Element, error)
	Element(ctx context.Context, prefix netip.Prefix, scope firewall.Scope) (firewall.Element, bool, error)
}

// How the enforcer deals with a kernel that does not do as asked.
const (
	retryFirst = 250 * time.Millisecond // after a failure, doubled up to retryLast
	retryLast  = 30 * time.Second
	retryFull  = 10 * time.Second // a full set: elements run out, so room comes by itself
	drainTime  = 5 * time.Second  // at the end, for the last bans
	sweepEvery = time.Minute
	fullEvery  = time.Minute // how often a full set is told
)

// enforcer is the goroutine that writes to the kernel, and owns all bans as they must be there. It is the only one that
// ever waits for the kernel.
type enforcer struct {
	table   table
	clock   clock
	log     *slog.Logger
	dry     bool      // nothing reaches the kernel: bans are told as `would ban`
	banned  func(Ban) // told of each acknowledged ban; may be nil
	laidOut func()    // told when the table was laid out while it runs; may be nil
	orders  *mailbox[netip.Prefix, order]
	acks    *mailbox[netip.Prefix, ack]
	doubts  *mailbox[netip.Prefix, doubt]
	allow   chan []netip.Prefix // the latest allowlist, at most one waiting
	damaged chan struct{}       // a token: the table may have been changed by somebody else
	asks    asks
	news    *mailbox[key, news] // what the judge did not decide
	inquiry inquiry
	records records

	ledger    *ledger
	dirty     bool          // the kernel's state is unknown: lay out the table and send everything
	restoring bool          // told, and not yet told to be done
	backoff   time.Duration // after the last failure; 0: there was none
	lastError string        // of it
	retry     int64         // not before, after a failure
	swept     int64
	fullTold  int64 // 0: never
	questions map[netip.Prefix]doubt
	told      told
	badRows   int // of the journal, as last told
}

func newEnforcer(t table, c clock, log *slog.Logger) *enforcer {
	return &enforcer{
		table: t, clock: c, log: log,
		orders: newMailbox[netip.Prefix](mergeOrders), acks: newMailbox[netip.Prefix, ack](nil), doubts: newMailbox[netip.Prefix, doubt](nil),
		allow: make(chan []netip.Prefix, 1), damaged: make(chan struct{}, 1), asks: newAsks(),
		news: newMailbox[key, news](nil), inquiry: newInquiry(),
		ledger: newLedger(), questions: make(map[netip.Prefix]doubt),
	}
}

// run serves until ctx ends, then delivers what is still there.
func (e *enforcer) run(ctx context.Context) {
	wake := time.NewTimer(0)
	defer wake.Stop()
	for {
		select {
		case <-ctx.Done():
			e.drain(context.WithoutCancel(ctx))
			return
		case <-e.orders.wake:
		case allow := <-e.allow:
			e.setAllow(ctx, allow)
		case <-e.damaged:
			e.restore(ctx)
		case <-e.doubts.wake:
		case <-e.inquiry.wanted:
			e.inquiry.due = true
		case snap := <-e.inquiry.answers:
			e.reconcile(ctx, snap)
		case f := <-e.asks.in:
			f()
		case <-wake.C:
		}
		wake.Reset(e.work(ctx))
	}
}

// drain does what is left to do, failures or not, but not for ever.
func (e *enforcer) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	select {
	case allow := <-e.allow:
		e.setAllow(ctx, allow)
	default:
	}
	select {
	case <-e.damaged:
		e.restore(ctx)
	default:
	}
	e.backoff, e.retry = 0, 0
	for ctx.Err() == nil {
		wait := e.work(ctx)
		if !e.dirty && len(e.ledger.send)+len(e.ledger.lifts) == 0 {
			return
		}
		sleep(ctx, wait)
	}
	e.log.Error("firewall: the last changes did not reach the kernel", "bans", len(e.ledger.send), "lifts", len(e.ledger.lifts))
}

// work does a part of what is to be done, and tells when to go on.
func (e *enforcer) work(ctx context.Context) time.Duration {
	e.obey()
	now := e.clock.now()
	e.inquire(ctx, now)
	if now >= e.swept+int64(sweepEvery) {
		e.swept = now
		e.ledger.sweep(now)
	}
	if wait := e.retry - now; wait > 0 {
		return time.Duration(wait)
	}
	if e.dirty {
		if err := e.ensure(ctx); err != nil {
			return e.failed(ctx, "lay out the table", err)
		}
		e.dirty = false
		e.ledger.resend()
	}
	if changes := e.ledger.next(now, e.clock); len(changes) > 0 {
		rejected, err := e.table.Apply(ctx, changes)
		// An invalid change is among the rejected: it must not keep the others from the kernel.
		if err != nil && !errors.Is(err, firewall.ErrInvalid) {
			return e.failed(ctx, "apply bans", err)
		}
		e.applied(changes, rejected)
	}
	e.backoff = 0
	if e.restoring && len(e.ledger.send) == 0 {
		e.restoring = false
		e.log.Info("firewall restored", "bans", len(e.ledger.bans))
	}
	e.answer(ctx)
	return e.next()
}

// ensure lays out the table.
func (e *enforcer) ensure(ctx context.Context) error {
	err := e.table.Ensure(ctx)
	if err == nil && e.laidOut != nil {
		e.laidOut()
	}
	return err
}

// obey takes in what the judge has ordered.
func (e *enforcer) obey() {
	for prefix, o := range e.orders.take() {
		if o.lift {
			e.ledger.lift(prefix, o.why)
		}
		if o.ban != nil {
			e.ledger.ban(*o.ban)
		}
	}
}

// next tells when there is something to do again by itself.
func (e *enforcer) next() time.Duration {
	if len(e.ledger.send)+len(e.ledger.lifts)+len(e.questions) > 0 {
		return 0
	}
	wait := min(sweepEvery, max(0, e.inquiry.next(e.clock.now())))
	for _, f := range e.ledger.full {
		wait = min(wait, max(0, e.clock.left(f.retry)))
	}
	return wait
}

// setAllow hands the kernel a new allowlist. If that fails, the table keeps it for when it is laid out again. When that is due anyway,
// addresses that come and go do not put it off.
func (e *enforcer) setAllow(ctx context.Context, allow []netip.Prefix) {
	if err := e.table.SetAllow(ctx, allow); err != nil && !e.dirty {
		e.failed(ctx, "set the allowlist", err)
	}
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
