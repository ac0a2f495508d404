package enforce

import (
	"context"
	"errors"
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
	if err := e.ensure(ctx); err != nil {
		e.failed(ctx, "lay out the table", err)
		return
	}

	elements, err := e.table.Bans(ctx)
	if err != nil {
		e.failed(ctx, "read the bans", err)
		return
	}

	// Only the journal knows which of the other elements are bans.
	e.comparison.due = true
	n := e.ledger.sendMissing(elements, e.clock.Now(), time.Second)
	if n == 0 {
		e.log.Info("the nftables table was changed by somebody else: laid out again, no ban is "+
			"missing",
			"bans", len(e.ledger.bans))
		return
	}

	e.restoring = true
	e.log.Warn("bans were taken out of the kernel by somebody else: putting them back", "bans", n,
		"do", "to lift a ban: amifend unban ADDRESS")
}

// failed notes that the kernel did not do as asked, and returns when to try all of it again.
func (e *Enforcer) failed(ctx context.Context, what string, err error) time.Duration {
	// After a failure nobody knows what the kernel has: all of it is sent again.
	e.dirty, e.restoring = true, true

	f := &e.failure
	f.text = err.Error()
	if ctx.Err() != nil {
		return retryLast // the daemon ends
	}

	// A table that is gone is laid out at once, the first time.
	if errors.Is(err, firewall.ErrGone) && f.backoff == 0 {
		f.backoff = retryFirst
		f.retry = 0
		e.log.Warn("the nftables table is gone: putting it back", "bans", len(e.ledger.bans),
			"err", err)
		return 0
	}

	f.backoff = min(max(2*f.backoff, retryFirst), retryLast)
	f.retry = e.clock.Now() + int64(f.backoff)
	e.log.Error("firewall: cannot "+what, "err", err, "retry", f.backoff.String(),
		"bans", len(e.ledger.bans))
	return f.backoff
}
