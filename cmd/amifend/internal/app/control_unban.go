package app

import (
	"context"
	"net/netip"
	"slices"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// pardonMost is how many prefixes the judge pardons at a time.
const pardonMost = 64

// Unban lifts all bans that lie within a prefix or cover it, an invalid one means all, and has the engine forget why.
func (k *desk) Unban(ctx context.Context, by control.Peer, within netip.Prefix) (control.Lifted, error) {
	banned, err := k.bannedWithin(ctx, within)
	if err != nil {
		return control.Lifted{}, err
	}
	if len(banned) == 0 && !within.IsValid() {
		return control.Lifted{Lifted: []netip.Prefix{}}, nil
	}
	wanted := banned
	if within.IsValid() && slices.Contains(firewall.SupportedBits(within.Addr().Is6()), within.Bits()) {
		wanted = append(wanted, within) // what is known of it is to be forgotten, banned or not
	}
	lifted := make(map[netip.Prefix]bool, len(banned))
	for part := range slices.Chunk(wanted, pardonMost) {
		done, err := ask(ctx, k.judge.asks, askJudge, func() []netip.Prefix { return k.judge.pardon(part, by.String()) })
		if err != nil {
			return control.Lifted{}, err
		}
		for _, p := range done {
			lifted[p] = true
		}
	}
	for _, p := range banned {
		lifted[p] = true // also what only the kernel knew: the engine had no room for it
	}
	if len(lifted) == 0 {
		return control.Lifted{}, control.Errorf(control.CodeNotBanned, "%s is not banned", source(within)).
			Advise("amifend bans lists who is; what was held against this one is forgotten")
	}
	what := "all"
	if within.IsValid() {
		what = source(within)
	}
	k.record(by, "unban", what, "")
	return k.lifted(ctx, lifted)
}

// lifted waits for the kernel, and tells what was done.
func (k *desk) lifted(ctx context.Context, prefixes map[netip.Prefix]bool) (control.Lifted, error) {
	out := control.Lifted{Count: len(prefixes)}
	for p := range prefixes {
		if len(out.Lifted) == control.MostLifted {
			break
		}
		out.Lifted = append(out.Lifted, p)
	}
	slices.SortFunc(out.Lifted, netip.Prefix.Compare)
	if _, err := k.settled(ctx, nil); err != nil {
		return out, err
	}
	var err error
	out.Pending, err = ask(ctx, k.enforcer.asks, askEnforcer, func() int { return len(k.enforcer.ledger.lifts) })
	return out, err
}

// bannedWithin returns the prefixes of all bans that overlap a prefix, of all bans if it is invalid.
func (k *desk) bannedWithin(ctx context.Context, within netip.Prefix) ([]netip.Prefix, error) {
	var out []netip.Prefix
	err := k.eachPart(ctx, func(part []control.Ban) {
		for _, b := range part {
			if !within.IsValid() || within.Overlaps(b.Prefix) {
				out = append(out, b.Prefix)
			}
		}
	})
	return out, err
}

// pardon lifts bans and has the engine forget: the judge's own goroutine alone may call it. It returns what the engine
// lifted.
func (j *judge) pardon(prefixes []netip.Prefix, by string) (lifted []netip.Prefix) {
	now := j.clock.now()
	why := ruleOperator + ": " + by
	for _, p := range prefixes {
		for _, v := range j.operator.Pardon(now, p) {
			if v.Action == policy.ActionUnban {
				j.lift(v.Prefix, v.Scope, by, why)
				lifted = append(lifted, v.Prefix)
			}
		}
		j.lift(p, policy.ScopeNone, by, why) // also where the engine does not know of it
	}
	return lifted
}
