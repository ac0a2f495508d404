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

	elements, err := e.table.Elements(ctx)
	if err != nil {
		e.failed(ctx, "read the bans", err)
		return
	}

	// Only the journal knows which of the other elements are bans.
	e.comparison.due = true
	now := e.clock.Now()
	n := e.ledger.sendMissing(elements, now, time.Second)
	if gone || n > 0 {
		e.meddling.note(now)
		e.meddling.retry = 0 // the layout is there already
	}

	if n == 0 {
		e.meddling.tell(now, e.log.Info, "the nftables table was changed by somebody else: laid out "+
			"again, no ban is missing", "bans", len(e.ledger.bans))
		return
	}

	e.restoring = e.meddling.tell(now, e.log.Warn,
		"bans were taken out of the kernel by somebody else: putting them back", "bans", n,
		"do", "to lift a ban: amifend unban ADDRESS") || e.restoring
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
