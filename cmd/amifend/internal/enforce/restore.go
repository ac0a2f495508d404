package enforce

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/amifend/amifend/firewall"
)

// restore puts back what somebody else took away: a flushed ruleset, a deleted table, an emptied
// set, a removed rule.
func (e *Enforcer) restore(ctx context.Context) {
	if e.dirty {
		return // all of it is sent again anyway
	}

	// The layout comes first, since it is the rules that drop.
	gone := e.isGone(ctx)
	if err := e.ensure(ctx); err != nil {
		e.failed(ctx, "lay out the table", err)
		return
	}

	// Only the journal knows which of the other elements are bans.
	e.comparison.due = true
	if !gone {
		e.look.wanted = true
		return
	}

	// Nobody needs to read what is not there.
	e.ledger.resend()
	now := e.clock.Now()
	e.meddling.note(now)
	e.meddling.retry = 0 // the layout is there already
	e.tellTaken(now, e.ledger.sending)
}

// tellTaken logs that bans were taken out of the kernel.
func (e *Enforcer) tellTaken(now int64, bans int) {
	e.restoring = e.meddling.tell(now, e.log.Warn,
		"bans were taken out of the kernel by somebody else: putting them back", "bans", bans,
		"do", "to lift a ban: amifend unban ADDRESS") || e.restoring
}

// look is a look for bans that somebody else took out of a table that is there. The elements are read
// on a goroutine of its own, and compared some at a time: to read 100,000 takes half a second, and
// new bans must not wait.
type look struct {
	wanted  bool
	answers chan compared // has room for one
	open    bool          // a goroutine reads the elements
	found   *compared     // they are being compared; nil: they are not
	last    *held         // that was compared
	missing int
}

// lookSome begins a look that is wanted, or goes on with one.
func (e *Enforcer) lookSome(ctx context.Context) {
	l := &e.look
	if l.found != nil {
		e.compareLook()
		return
	}

	// While bans are sent, the kernel would have to be asked again and again.
	if !l.wanted || l.open || e.dirty || e.ledger.sending > 0 {
		return
	}
	l.wanted, l.open = false, true
	go func() {
		a := compared{began: e.clock.Now()}
		a.elements, a.err = e.table.Elements(ctx)
		l.answers <- a
	}()
}

// lookNow makes a look that is wanted, or waits for one: at the end, when no new bans come.
func (e *Enforcer) lookNow(ctx context.Context) {
	e.lookSome(ctx)
	if e.look.open {
		select {
		case a := <-e.look.answers:
			e.looked(ctx, a)
		case <-ctx.Done():
		}
	}
	for e.look.found != nil {
		e.compareLook()
	}
}

// looked takes in the answer of a look.
func (e *Enforcer) looked(ctx context.Context, a compared) {
	l := &e.look
	l.open = false
	switch {
	case a.err != nil:
		e.failed(ctx, "read the bans", a.err)
	case e.dirty: // all of it is sent again anyway
	default:
		l.found, l.last, l.missing = &a, nil, 0
	}
}

// compareLook compares the next bans with the elements of a look.
func (e *Enforcer) compareLook() {
	l := &e.look
	some := e.ledger.some(&e.ledger.byAge, l.last)
	for _, h := range some {
		l.last = h
		if e.ledger.sendIfMissing(h, l.found.elements, l.found.began, time.Second) {
			l.missing++
		}
	}
	if len(some) > 0 {
		return
	}

	l.found, l.last = nil, nil
	now := e.clock.Now()
	if l.missing == 0 {
		e.meddling.tell(now, e.log.Info, "the nftables table was changed by somebody else: laid out "+
			"again, no ban is missing", "bans", len(e.ledger.bans))
		return
	}
	e.meddling.note(now)
	e.meddling.retry = 0 // the layout is there already
	e.tellTaken(now, l.missing)
}

// isGone reports whether the table, or a set of it, is not there.
func (e *Enforcer) isGone(ctx context.Context) bool {
	anybody := netip.AddrFrom4([4]byte{192, 0, 2, 0}) // the question is of the set, not of the ban
	_, _, err := e.table.Element(ctx, netip.PrefixFrom(anybody, 32), firewall.ScopeAll)
	return errors.Is(err, firewall.ErrGone)
}

// failed notes that the kernel did not do as asked, and returns when to try all of it again.
func (e *Enforcer) failed(ctx context.Context, what string, err error) time.Duration {
	// After a failure nobody knows what the kernel has: all of it is sent again.
	e.dirty = true
	if ctx.Err() != nil {
		return retryLast // the daemon ends
	}

	// The kernel did as asked, and then somebody else deleted the table. That says nothing of the
	// next try, so no pause grows.
	now := e.clock.Now()
	if errors.Is(err, firewall.ErrGone) {
		e.restoring = e.meddling.tell(now, e.log.Warn, "the nftables table is gone: putting it back",
			"bans", len(e.ledger.bans), "err", err) || e.restoring
		return e.meddling.note(now)
	}

	f := &e.failure
	e.restoring = true
	f.text = err.Error()
	f.backoff = min(max(2*f.backoff, retryFirst), retryLast)
	f.retry = now + int64(f.backoff)
	e.log.Error("firewall: cannot "+what, "err", err, "retry", f.backoff.String(),
		"bans", len(e.ledger.bans))
	return f.backoff
}
