package app

import (
	"context"
	"fmt"
	"time"

	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// Why elements that are found in the kernel are taken out.
const (
	whyEndless  = "it would never run out"
	whyUnmasked = "it matches no packet: not a prefix of this set"
)

// adopt lays out the table and takes over the bans that a run before this one left in the kernel. It must come before
// [daemon.run]. It returns how many there were.
func (d *daemon) adopt(ctx context.Context) (int, error) {
	if err := d.table.Ensure(ctx); err != nil {
		return 0, fmt.Errorf("set up the firewall: %w", err)
	}
	elements, err := d.table.Bans(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the bans in the kernel: %w", err)
	}
	now := d.clock.now()
	n := 0
	for _, el := range elements {
		if d.adoptOne(el, now) {
			n++
		}
	}
	return n, nil
}

// adoptOne takes over one element, or wants it out of the kernel.
func (d *daemon) adoptOne(el firewall.Element, now int64) bool {
	k, ledger := key{el.Prefix, el.Scope}, d.enforcer.ledger
	switch {
	case el.Prefix != el.Prefix.Masked():
		ledger.lifts[k] = whyUnmasked
		return false
	case el.Timeout == 0:
		ledger.lifts[k] = whyEndless
		return false
	}
	left, capped := min(el.Expires, d.Config.Policy.BanMax), el.Expires > d.Config.Policy.BanMax
	for _, v := range d.judge.engine.Adopt(now, el.Prefix, scopeOf[el.Scope], el.Expires) {
		switch v.Action {
		case policy.ActionUnban:
			ledger.lifts[k] = d.judge.why(v)
			return false
		case policy.ActionAlert:
			d.judge.alert(v)
		case policy.ActionBan, policy.ActionNone: // the same as capped
		}
	}
	ban := Ban{Prefix: el.Prefix, Scope: el.Scope, Rule: policy.RuleAdopted, Decided: time.Now(), Duration: left, until: now + int64(left)}
	ledger.adopt(ban, now)
	if capped {
		ledger.send[k] = struct{}{}
		d.Log.Info("a ban in the kernel is longer than ban_max: shortened", "source", ban.Source(), "scope", ban.Scope.String(),
			"until", ban.Until().UTC().Format(time.RFC3339))
	}
	d.Log.Debug("adopted", "source", ban.Source(), "scope", ban.Scope.String(), "until", ban.Until().UTC().Format(time.RFC3339), "undo", ban.undo())
	d.enforcer.acknowledge(ledger.bans[k])
	return true
}
