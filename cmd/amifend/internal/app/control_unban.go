package app

import (
	"context"
	"net/netip"
	"slices"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/policy"
)

// liftMost is how many bans the judge lifts at a time.
const liftMost = 256

// Unban lifts all bans that lie within a prefix or cover it, an invalid one means all, and has the engine forget why.
func (k *desk) Unban(ctx context.Context, by control.Peer, within netip.Prefix) (control.Lifted, error) {
	banned, err := k.bannedWithin(ctx, within)
	if err != nil {
		return control.Lifted{}, err
	}
	if len(banned) == 0 && !within.IsValid() {
		return control.Lifted{Lifted: []netip.Prefix{}}, nil
	}
	again := k.again(ctx, within, banned)
	lifted := make(map[netip.Prefix]bool, len(banned))
	for _, p := range pardons(within, banned) {
		done, err := ask(ctx, k.judge.asks, askJudge, func() []netip.Prefix { return k.judge.pardon(p, by.String()) })
		if err != nil {
			return control.Lifted{}, err
		}
		for _, l := range done {
			lifted[l] = true
		}
	}
	for part := range slices.Chunk(banned, liftMost) {
		if _, err := ask(ctx, k.judge.asks, askJudge, func() struct{} { k.judge.liftAll(part, by.String()); return struct{}{} }); err != nil {
			return control.Lifted{}, err
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
	out, err := k.lifted(ctx, lifted)
	if err == nil && again != nil {
		out.Again = k.fromNow(ctx, within.Addr(), again)
	}
	if err == nil && !k.onDisk(ctx) {
		out.Note = "the journal does not have it yet: after a crash now the ban may be back (amifend status)"
	}
	return out, err
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

// pardons are the prefixes to pardon: the one that was asked for, or all, and bans that cover it.
func pardons(within netip.Prefix, banned []netip.Prefix) []netip.Prefix {
	if !within.IsValid() {
		return []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
	}
	out := []netip.Prefix{within}
	for _, p := range banned {
		if p.Bits() < within.Bits() && !slices.Contains(out, p) { // one for each length that can be banned, at most
			out = append(out, p)
		}
	}
	return out
}

// pardon lifts bans and has the engine forget: the judge's own goroutine alone may call it. It returns what was lifted.
func (j *judge) pardon(p netip.Prefix, by string) (lifted []netip.Prefix) {
	for _, v := range j.engine.Pardon(j.clock.now(), p) {
		if v.Action != policy.ActionUnban {
			j.order([]policy.Verdict{v}) // what else was due
			continue
		}
		j.lift(v.Prefix, v.Scope, by, policy.RuleOperator+": "+by)
		lifted = append(lifted, v.Prefix)
	}
	return lifted
}

// liftAll lifts bans that the engine does not know: it may have had no room when they were found in the kernel. One that it
// knows after all was decided since, and stays.
func (j *judge) liftAll(prefixes []netip.Prefix, by string) {
	for _, p := range prefixes {
		if b, ok := j.engine.Ban(p.Addr()); ok && b.Prefix == p {
			continue
		}
		j.lift(p, policy.ScopeNone, by, policy.RuleOperator+": "+by)
	}
}
