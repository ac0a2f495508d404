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
//
// A walk over a large set takes the kernel most of a second. Meanwhile the journal is read and its bans are taken in.
func (d *daemon) adopt(ctx context.Context) (adoption, error) {
	var elements []firewall.Element
	var snap *journal.Snapshot
	now := d.clock.now()
	walked := now // when the walk began: what is left of a ban is never overrated
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() (err error) {
		if err := d.table.Ensure(ctx); err != nil {
			return fmt.Errorf("set up the firewall: %w", err)
		}
		walked = d.clock.now()
		if elements, err = d.table.Bans(ctx); err != nil {
			return fmt.Errorf("read the bans in the kernel: %w", err)
		}
		return nil
	})
	both.Go(func() (err error) {
		if snap, err = d.recall(ctx); err != nil {
			return err
		}
		if snap == nil { // there is no journal, or none that can be read
			return nil
		}
		if err := d.remember(ctx); err != nil {
			return err
		}
		d.expect(snap, now)
		return nil
	})
	if err := both.Wait(); err != nil {
		return adoption{}, err
	}
	var n adoption
	for _, el := range elements {
		if d.enforcer.confirm(el, walked) || d.adoptOne(el, snap, walked) {
			n.kernel++
		}
	}
	n.journal = d.enforcer.ledger.sendMissing()
	d.enforcer.restoring = n.journal > 0 && !d.enforcer.dry // told when it is done
	if snap != nil {
		d.enforcer.inquiry.asked = d.clock.now() // all three agree now
	}
	return n, nil
}

// expect takes in the bans of the journal. Which of them the kernel has is not known yet.
func (d *daemon) expect(snap *journal.Snapshot, now int64) {
	d.enforcer.ledger.grow(len(snap.Open))
	for k, o := range snap.Open {
		if !needless(k, o, snap) {
			d.restoreOne(k, o, snap, now)
		}
	}
}

// confirm takes note that the kernel has a ban that is wanted there. It is false if there is no such ban.
func (e *enforcer) confirm(el firewall.Element, now int64) bool {
	k := key{el.Prefix, el.Scope}
	h := e.ledger.bans[k]
	if h == nil {
		return false
	}
	h.acked = now
	if !e.ends(el, h.until, now) {
		e.ledger.send[k] = struct{}{}
	}
	e.note("adopted", &h.Ban)
	e.acknowledge(h)
	return true
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

// restoreOne takes in a ban of the journal.
func (d *daemon) restoreOne(k journal.Key, o journal.Open, snap *journal.Snapshot, now int64) {
	ban := remembered(k, o, leftNow(o, snap), now)
	if ban.until <= now {
		return
	}
	if why := d.admit(&ban, now); why != "" {
		d.records.lift(k.Prefix, k.Scope, byPolicy, why)
		return
	}
	d.enforcer.ledger.expect(ban)
	d.enforcer.note("known", &ban)
}

// admit tells the engine of a ban of a run before, and shortens it if it is longer than a ban may be. It returns why there
// must be no such ban; "": there may.
func (d *daemon) admit(b *Ban, now int64) string {
	left := time.Duration(b.until - now)
	for _, v := range d.judge.adopt(b, now) {
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
