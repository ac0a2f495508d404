package judge

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// Pardoned is the outcome of a pardon.
type Pardoned struct {
	Lifted []netip.Prefix // each once, in no order
	Saved  bool           // the journal was handed what the engine forgot

	// Of one address that was banned:
	Seen        time.Time // the last event of it while it was banned; zero: none
	MoreUnknown int       // attempts on one unknown account that ban it again; 0: none do
	MoreKnown   int       // wrong passwords on a known account that do
}

// PardonAddr lifts all bans that cover an address, and has the engine forget why. It is one call. The
// engine may have had no room for a ban that was found in the kernel, so the enforcer is told to lift
// each prefix that can cover the address, and is asked which of them are banned: see [bans.Ask].
func (j *Judge) PardonAddr(
	ctx context.Context, addr netip.Addr, by string,
) (Pardoned, *bans.Ask, error) {
	ask := &bans.Ask{Addr: addr}
	out, err := owner.Do(ctx, j.calls, func() Pardoned {
		within := netip.PrefixFrom(addr, addr.BitLen())
		j.mail.Orders.Put(within, bans.Order{Asks: []*bans.Ask{ask}})

		var known []netip.Prefix
		for _, b := range j.engine.BansOf(addr) {
			known = append(known, b.Prefix)
		}
		out := j.pardon(within, known, nil, by)

		var covering []netip.Prefix
		for _, bits := range firewall.SupportedBits(addr.Is6()) {
			covering = append(covering, netip.PrefixFrom(addr, bits).Masked())
		}
		j.liftUnknown(covering, by)
		return out
	})
	return out, ask, err
}

// Pardon lifts all bans that lie within a prefix or cover it, and has the engine forget why. held are
// the prefixes of such bans that the enforcer has: the engine may have had no room for some. It is one
// call for up to 256 bans.
func (j *Judge) Pardon(
	ctx context.Context, within netip.Prefix, held []netip.Prefix, by string,
) (Pardoned, error) {
	first := held[:min(len(held), callMost)]
	out, err := owner.Do(ctx, j.calls, func() Pardoned { return j.pardon(within, held, first, by) })
	if err != nil {
		return out, err
	}

	// The rest comes in calls of its own, so that the judge is not held up.
	for some := range slices.Chunk(held[len(first):], callMost) {
		_, err := owner.Do(ctx, j.calls, func() struct{} {
			j.liftUnknown(some, by)
			return struct{}{}
		})
		if err != nil {
			return out, err
		}
	}

	return out, nil
}

// pardon pardons a prefix, and lifts at least the first of the held bans that the engine does not
// know.
func (j *Judge) pardon(within netip.Prefix, held, first []netip.Prefix, by string) (out Pardoned) {
	now := j.clock.Now()
	var observed []netip.Prefix
	for _, k := range j.observedWithin(within, now) {
		observed = append(observed, k.Prefix)
	}

	// What only the enforcer knows, or only the trial, counts as lifted by this call.
	lifted := make(map[netip.Prefix]bool, len(held))
	for _, p := range append(observed, held...) {
		lifted[p] = true
	}
	// The engine forgets when the last event came as soon as it has pardoned.
	single := within.IsSingleIP()
	if single {
		out.Seen = j.lastSeen(within.Addr())
	}

	for _, p := range pardons(within, slices.Collect(maps.Keys(lifted))) {
		for _, l := range j.pardonOne(p, by) {
			lifted[l] = true
		}
	}
	j.liftUnknown(observed, by)
	j.liftUnknown(first, by)

	if single {
		x := j.engine.Explain(within.Addr())
		out.MoreUnknown, out.MoreKnown = x.MoreUnknown, x.MoreKnown
	}

	out.Lifted = slices.Collect(maps.Keys(lifted))
	out.Saved = j.saver.urge(j.engine, j.servers, now)
	return out
}

// observedWithin returns the keys of bans that overlap a prefix, and that a trial that is over
// would have made. The enforcer does not have them.
func (j *Judge) observedWithin(within netip.Prefix, now int64) (out []bans.Key) {
	if !j.trial.over(now) {
		return nil
	}

	for k, b := range j.trial.bans {
		if b.Expiry > now && (!within.IsValid() || within.Overlaps(k.Prefix)) {
			out = append(out, k)
		}
	}

	return out
}

// lastSeen returns when the last event of a banned address came; zero if there was none after the
// events for which it was banned.
func (j *Judge) lastSeen(addr netip.Addr) time.Time {
	b, _ := j.engine.Ban(addr)
	if b.LastSeen == 0 || b.LastSeen < b.From+int64(bans.Grace) {
		return time.Time{}
	}
	return j.clock.Wall(b.LastSeen).Truncate(time.Second)
}

// pardons returns the prefixes to pardon: the one that was asked for, and bans that cover it.
func pardons(within netip.Prefix, banned []netip.Prefix) []netip.Prefix {
	out := []netip.Prefix{within}
	for _, p := range banned {
		// One for each length of a ban at most.
		if p.Bits() < within.Bits() && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}

	return out
}

// pardonOne has the engine pardon a prefix, and returns what was lifted.
func (j *Judge) pardonOne(p netip.Prefix, by string) (lifted []netip.Prefix) {
	for _, v := range j.engine.Pardon(j.clock.Now(), p) {
		if v.Action != policy.ActionUnban {
			j.carryOut([]policy.Verdict{v}) // what else was due
			continue
		}
		j.lift(v.Prefix, v.Scope, by, policy.RuleOperator.String()+": "+by)
		lifted = append(lifted, v.Prefix)
	}

	return lifted
}

// liftUnknown lifts bans that the engine does not know: it may have had no room when they were
// found in the kernel. One that it knows after all was decided since, and stays.
func (j *Judge) liftUnknown(prefixes []netip.Prefix, by string) {
	for _, p := range prefixes {
		known := slices.ContainsFunc(j.engine.BansOf(p.Addr()), func(b policy.Ban) bool {
			return b.Prefix == p
		})
		if known {
			continue
		}
		j.lift(p, policy.ScopeNone, by, policy.RuleOperator.String()+": "+by)
	}
}
