package app

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// Why elements that are found in the kernel are taken out.
const (
	whyEndless  = "it would never run out"
	whyUnmasked = "it matches no packet: not a prefix of this set"
	whyLifted   = "it was lifted before"
)

// adoption is how many bans a start took over.
type adoption struct {
	kernel  int // that the kernel had
	journal int // that only the journal had
}

// adopt lays out the table and takes over the bans of the runs before this one: those that the kernel has, as the journal
// says until when, and those that only the journal has. It must come before [daemon.run].
func (d *daemon) adopt(ctx context.Context) (adoption, error) {
	var elements []firewall.Element
	var snap *journal.Snapshot
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() (err error) {
		if err := d.table.Ensure(ctx); err != nil {
			return fmt.Errorf("set up the firewall: %w", err)
		}
		if elements, err = d.table.Bans(ctx); err != nil {
			return fmt.Errorf("read the bans in the kernel: %w", err)
		}
		return nil
	})
	both.Go(func() (err error) {
		snap, err = d.recall(ctx)
		return err
	})
	if err := both.Wait(); err != nil {
		return adoption{}, err
	}
	var n adoption
	now := d.clock.now()
	for _, el := range elements {
		if d.adoptOne(el, snap, now) {
			n.kernel++
		}
	}
	if snap == nil {
		return n, nil
	}
	for k, o := range snap.Open {
		if d.enforcer.ledger.bans[keyOf(k)] == nil && !needless(k, o, snap) && d.restoreOne(k, o, snap, now) {
			n.journal++
		}
	}
	d.enforcer.restoring = n.journal > 0 // told when it is done
	return n, nil
}

// adoptOne takes over one element, or wants it out of the kernel.
func (d *daemon) adoptOne(el firewall.Element, snap *journal.Snapshot, now int64) bool {
	k := key{el.Prefix, el.Scope}
	why, ban := d.enforcer.weigh(el, snap, now)
	if why != "" {
		d.enforcer.ledger.lifts[k] = why
		return false
	}
	if why := d.admit(&ban, now); why != "" {
		d.enforcer.ledger.lifts[k] = why
		d.records.lift(k.prefix, k.scope, byPolicy, why)
		return false
	}
	d.enforcer.takeOver(ban, el, now)
	return true
}

// restoreOne wants a ban in the kernel that only the journal has.
func (d *daemon) restoreOne(k journal.Key, o journal.Open, snap *journal.Snapshot, now int64) bool {
	ban := remembered(k, o, leftNow(o, snap), now)
	if ban.until <= now {
		return false
	}
	if why := d.admit(&ban, now); why != "" {
		d.records.lift(k.Prefix, k.Scope, byPolicy, why)
		return false
	}
	d.enforcer.putBack(ban)
	return true
}

// admit tells the engine of a ban of a run before, and shortens it if it is longer than a ban may be. It returns why there
// must be no such ban; "": there may.
func (d *daemon) admit(b *Ban, now int64) string {
	left := time.Duration(b.until - now)
	for _, v := range d.judge.engine.Adopt(now, b.Prefix, scopeOf[b.Scope], left) {
		switch v.Action {
		case policy.ActionUnban:
			return d.judge.why(v)
		case policy.ActionAlert:
			d.judge.alert(v)
		case policy.ActionBan, policy.ActionNone: // the same as below
		}
	}
	if most := d.Config.Policy.BanMax; left > most {
		b.until = now + int64(most)
		b.Decided, b.Duration = d.clock.wallTime(now), most
		d.Log.Info("a ban of a run before is longer than ban_max: shortened", "source", b.Source(), "scope", b.Scope.String(),
			"until", b.Until().UTC().Format(time.RFC3339))
		d.records.ban(b)
	}
	return ""
}
