package app

import (
	"context"
	"errors"
	"time"

	"github.com/amifend/amifend/firewall"
)

// restore puts back what somebody else took away: a flushed ruleset, a deleted table, an emptied set, a removed rule.
func (e *enforcer) restore(ctx context.Context) {
	if e.dirty {
		return
	}
	if err := e.ensure(ctx); err != nil { // it is the rules that drop
		e.failed(ctx, "lay out the table", err)
		return
	}
	elements, err := e.table.Bans(ctx)
	if err != nil {
		e.failed(ctx, "read the bans", err)
		return
	}
	e.inquiry.due = true // what others have put into it, only the journal knows
	n := e.ledger.missing(elements, e.clock.now(), int64(time.Second))
	if n == 0 {
		e.log.Info("the nftables table was changed by somebody else: laid out again, no ban is missing", "bans", len(e.ledger.bans))
		return
	}
	e.restoring = true
	e.log.Warn("bans were taken out of the kernel by somebody else: putting them back", "bans", n,
		"do", "to lift a ban: amifend unban ADDRESS")
}

// failed notes that the kernel did nothing of what was asked, and tells when to try it all again. A table that is gone
// is laid out at once.
func (e *enforcer) failed(ctx context.Context, what string, err error) time.Duration {
	e.dirty, e.restoring, e.lastError = true, true, err.Error()
	if ctx.Err() != nil {
		return retryLast
	}
	if errors.Is(err, firewall.ErrGone) && e.backoff == 0 {
		e.backoff, e.retry = retryFirst, 0
		e.log.Warn("the nftables table is gone: putting it back", "bans", len(e.ledger.bans), "err", err)
		return 0
	}
	e.backoff = min(max(2*e.backoff, retryFirst), retryLast)
	e.retry = e.clock.now() + int64(e.backoff)
	e.log.Error("firewall: cannot "+what, "err", err, "retry", e.backoff.String(), "bans", len(e.ledger.bans))
	return e.backoff
}
