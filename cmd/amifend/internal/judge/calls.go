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

// The methods of this file are for operators. Each is answered by the judge's goroutine, or fails with
// an [owner.BusyError] when ctx ends first.

// callMost is how many bans one call deals with: the judge must not be held up by a list of all.
const callMost = 256

// Explained is what the engine knows of an address.
type Explained struct {
	policy.Explanation
	Servers []string // names by number
	Trial   *Trial   // nil: there is none
}

// Explain returns what the engine knows of an address.
func (j *Judge) Explain(ctx context.Context, addr netip.Addr) (Explained, error) {
	return owner.Do(ctx, j.calls, func() Explained {
		return Explained{j.engine.Explain(addr), j.servers, j.trialStatus()}
	})
}

// Imposition is a ban that an operator wants.
type Imposition struct {
	Prefix netip.Prefix
	Scope  firewall.Scope
	For    time.Duration
	Import bool // decided elsewhere: it shortens nothing
	By     string
	Why    string // with the name of the operator
}

// Imposed is what came of it.
type Imposed struct {
	Scope     firewall.Scope // 0: there is no ban
	Until     time.Time
	Observed  bool   // a trial is over: it is not made
	Shortened bool   // it ends with the trial
	Protected string // why it must not be banned; "": it may
	Err       error  // of the engine
}

// Impose bans for an operator.
func (j *Judge) Impose(ctx context.Context, i Imposition) (Imposed, error) {
	return owner.Do(ctx, j.calls, func() Imposed { return j.impose(i) })
}

func (j *Judge) impose(i Imposition) (out Imposed) {
	if reason, ok := j.protected.Overlaps(i.Prefix); ok {
		return Imposed{Protected: reason}
	}

	// An imported ban that a running one covers is in force already.
	now, scope := j.clock.Now(), bans.PolicyScope(i.Scope)
	old, running := j.engine.Ban(i.Prefix.Addr())
	if i.Import && running && old.Prefix.Bits() <= i.Prefix.Bits() && old.Scope >= scope &&
		old.Until >= now+int64(i.For) {
		return Imposed{
			Scope: bans.FirewallScope(old.Scope), Until: j.clock.Wall(old.Until).Truncate(time.Second),
		}
	}

	verdicts, err := j.engine.Impose(now, i.Prefix, scope, i.For)
	out.Err = err
	for _, v := range verdicts {
		if v.Action != policy.ActionBan || v.Prefix != i.Prefix {
			j.carryOut([]policy.Verdict{v}) // what else was due
			continue
		}
		j.imposeVerdict(v, old, i, &out)
	}
	return out
}

// imposeVerdict orders a ban that an operator wants in place of an old one.
func (j *Judge) imposeVerdict(v policy.Verdict, old policy.Ban, i Imposition, out *Imposed) {
	ban := newBan(v, j.servers, j.clock)
	ban.Evidence = i.Why

	// What an operator decides replaces a ban of a smaller scope that would end later, too.
	if v.Scope > old.Scope && old.Prefix == v.Prefix && old.Until > ban.Expiry && !i.Import && j.trial.ends == 0 {
		j.lift(old.Prefix, old.Scope, i.By, "replaced by a ban of a larger scope that ends earlier")
	}

	out.Observed = !j.ban(&ban)
	out.Shortened = !out.Observed && ban.Duration < v.Duration
	out.Scope, out.Until = ban.Scope, ban.Until().Truncate(time.Second) // a trial may have made it shorter
}

// Pardoned is what a pardon has done.
type Pardoned struct {
	Lifted []netip.Prefix // each once, in no order
	Saved  bool           // the journal was handed what the engine forgot

	// Of one address that was banned:
	Seen        time.Time // the last event of it while it was banned; zero: none
	MoreUnknown int       // attempts on one unknown account that ban it again; 0: none do
	MoreKnown   int       // wrong passwords on a known account that do
}

// Pardon lifts all bans that lie within a prefix or cover it, an invalid one means all, and has the
// engine forget why. held are the prefixes of such bans that the enforcer has: the engine may have had
// no room for some. It is one call for up to 256 bans.
func (j *Judge) Pardon(
	ctx context.Context, within netip.Prefix, held []netip.Prefix, by string,
) (Pardoned, error) {
	first := held[:min(len(held), callMost)]
	out, err := owner.Do(ctx, j.calls, func() Pardoned { return j.pardon(within, held, first, by) })
	if err != nil {
		return out, err
	}

	for some := range slices.Chunk(held[len(first):], callMost) {
		_, err := owner.Do(ctx, j.calls, func() struct{} { j.liftUnknown(some, by); return struct{}{} })
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// pardon pardons a prefix, and lifts those of the held bans that the engine does not know, the first
// ones at least.
func (j *Judge) pardon(within netip.Prefix, held, first []netip.Prefix, by string) (out Pardoned) {
	now := j.clock.Now()
	observed := j.observedWithin(within, now)
	lifted := make(map[netip.Prefix]bool, len(held))
	for _, p := range append(observed, held...) {
		lifted[p] = true
	}
	if len(lifted) == 0 && !within.IsValid() {
		out.Saved = true
		return out // nobody is banned
	}

	single := within.IsValid() && within.IsSingleIP()
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

// observedWithin returns the prefixes of bans that overlap a prefix, and that a trial that is over
// would have made. The enforcer does not have them.
func (j *Judge) observedWithin(within netip.Prefix, now int64) (out []netip.Prefix) {
	if !j.trial.over(now) {
		return nil
	}
	for p, b := range j.trial.bans {
		if b.Expiry > now && (!within.IsValid() || within.Overlaps(p)) {
			out = append(out, p)
		}
	}
	return out
}

// lastSeen returns when the last event of a banned address came; zero if there was none but the rest
// of what it was banned for.
func (j *Judge) lastSeen(addr netip.Addr) time.Time {
	b, _ := j.engine.Ban(addr)
	if b.LastSeen == 0 || b.LastSeen < b.From+int64(bans.Grace) {
		return time.Time{}
	}
	return j.clock.Wall(b.LastSeen).Truncate(time.Second)
}

// pardons returns the prefixes to pardon: the one that was asked for, or all, and bans that cover it.
func pardons(within netip.Prefix, banned []netip.Prefix) []netip.Prefix {
	if !within.IsValid() {
		return []netip.Prefix{
			netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0),
		}
	}
	out := []netip.Prefix{within}
	for _, p := range banned {
		if p.Bits() < within.Bits() && !slices.Contains(out, p) { // one for each length of a ban at most
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
		j.lift(v.Prefix, v.Scope, by, policy.RuleOperator+": "+by)
		lifted = append(lifted, v.Prefix)
	}
	return lifted
}

// liftUnknown lifts bans that the engine does not know: it may have had no room when they were found
// in the kernel. One that it knows after all was decided since, and stays.
func (j *Judge) liftUnknown(prefixes []netip.Prefix, by string) {
	for _, p := range prefixes {
		if b, ok := j.engine.Ban(p.Addr()); ok && b.Prefix == p {
			continue
		}
		j.lift(p, policy.ScopeNone, by, policy.RuleOperator+": "+by)
	}
}

// Keep ends a trial: its bans get their whole time, and from now on bans are made as usual. It returns
// how many bans were kept, and whether there was a trial.
func (j *Judge) Keep(ctx context.Context) (kept int, wasOn bool, err error) {
	type answer struct {
		on   bool
		kept int
		more bool
	}
	for first := true; ; first = false {
		a, err := owner.Do(ctx, j.calls, func() answer {
			on := j.trial.bans != nil // also when a call before this one was cut off
			n, more := j.keep(callMost)
			return answer{on, n, more}
		})
		if err != nil || first && !a.on {
			return kept, wasOn, err
		}
		wasOn = true
		kept += a.kept
		if !a.more {
			return kept, wasOn, nil
		}
	}
}

// EachObserved hands over the bans that a trial that is over would have made, some at a time. Those
// that come or go meanwhile may be missed.
func (j *Judge) EachObserved(ctx context.Context, visit func([]bans.Ban)) error {
	if j.trialFor == 0 {
		return nil
	}
	prefixes, err := owner.Do(ctx, j.calls, func() []netip.Prefix {
		return j.observedWithin(netip.Prefix{}, j.clock.Now())
	})
	if err != nil {
		return err
	}

	for some := range slices.Chunk(prefixes, callMost) {
		part, err := owner.Do(ctx, j.calls, func() []bans.Ban {
			out := make([]bans.Ban, 0, len(some))
			for _, p := range some {
				if b, ok := j.trial.bans[p]; ok {
					out = append(out, b)
				}
			}
			return out
		})
		if err != nil {
			return err
		}
		visit(part)
	}
	return nil
}

// AwaitProtected waits until the judge knows that a prefix must not be banned.
func (j *Judge) AwaitProtected(ctx context.Context, prefix netip.Prefix) error {
	type answer struct {
		known    bool
		replaced <-chan struct{}
	}
	for {
		a, err := owner.Do(ctx, j.calls, func() answer {
			_, ok := j.protected.Overlaps(prefix)
			return answer{ok, j.replaced}
		})
		if err != nil || a.known {
			return err
		}

		select {
		case <-a.replaced:
		case <-ctx.Done():
			return j.calls.Busy()
		}
	}
}

// Save hands to the journal what the engine has to save, pardons first. It returns false if the journal
// has no room for it now.
func (j *Judge) Save(ctx context.Context) (bool, error) {
	return owner.Do(ctx, j.calls, func() bool {
		return j.saver.urge(j.engine, j.servers, j.clock.Now())
	})
}

// HandOverCounts hands to the journal what was counted until now.
func (j *Judge) HandOverCounts(ctx context.Context) error {
	_, err := owner.Do(ctx, j.calls, func() struct{} {
		j.hourly.handOver(j.clock.Now(), j.servers)
		return struct{}{}
	})
	return err
}

// Tune gives the engine new options. refused is the engine's error, err that it does not answer.
func (j *Judge) Tune(ctx context.Context, o policy.Options) (refused, err error) {
	return owner.Do(ctx, j.calls, func() error { return j.tune(o) })
}

func (j *Judge) tune(o policy.Options) error {
	verdicts, err := j.engine.Tune(j.clock.Now(), o)
	if err != nil {
		return err
	}
	j.policy = o
	j.hidden.weights, j.hourly.weights = o.Weights, o.Weights
	j.carryOut(verdicts)
	return nil
}

// SetServers has the judge know the names of all servers by number. They begin with those that it
// knows.
func (j *Judge) SetServers(ctx context.Context, names []string) error {
	_, err := owner.Do(ctx, j.calls, func() struct{} { j.setServers(names); return struct{}{} })
	return err
}

func (j *Judge) setServers(names []string) {
	j.servers = names
	j.hidden.grow(len(names))
}

// SetSIPPorts changes the ports that a ban of scope sip covers.
func (j *Judge) SetSIPPorts(ctx context.Context, ports firewall.SIPPorts) error {
	_, err := owner.Do(ctx, j.calls, func() struct{} { j.ineffective.sipPorts = ports; return struct{}{} })
	return err
}
