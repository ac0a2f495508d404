package judge

import (
	"context"
	"net/netip"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// Imposition is a ban that an operator wants.
type Imposition struct {
	Prefix netip.Prefix
	Scope  firewall.Scope
	For    time.Duration
	Import bool // decided elsewhere: it shortens nothing
	By     string
	Why    string // with the name of the operator
}

// Imposed is the outcome of an [Imposition].
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
	now := j.clock.Now()
	scope := bans.PolicyScope(i.Scope)
	running := j.engine.BansOf(i.Prefix.Addr())
	for _, old := range running {
		if i.Import && old.Prefix.Bits() <= i.Prefix.Bits() && old.Scope.Covers(scope) &&
			old.Until >= now+int64(i.For) {
			return Imposed{
				Scope: bans.FirewallScope(old.Scope),
				Until: j.clock.Wall(old.Until).Truncate(time.Second),
			}
		}
	}

	// The engine may return other verdicts, which were due anyway.
	verdicts, err := j.engine.Impose(now, i.Prefix, scope, i.For)
	out.Err = err

	for _, v := range verdicts {
		if v.Action != policy.ActionBan || v.Prefix != i.Prefix {
			j.carryOut([]policy.Verdict{v})
			continue
		}
		j.imposeVerdict(v, running, i, &out)
	}

	return out
}

// imposeVerdict orders a ban that an operator wants in place of those that ran before.
func (j *Judge) imposeVerdict(
	v policy.Verdict, running []policy.Ban, i Imposition, out *Imposed,
) {
	ban := newBan(v, j.servers, j.clock)
	ban.Evidence = i.Why

	// What an operator decides replaces a ban of a smaller scope that would end later, too.
	for _, old := range running {
		if v.Scope != old.Scope && v.Scope.Covers(old.Scope) && old.Prefix == v.Prefix &&
			old.Until > ban.Expiry && !i.Import && j.trial.ends == 0 {
			j.lift(old.Prefix, old.Scope, i.By,
				"replaced by a ban of a larger scope that ends earlier")
		}
	}

	out.Observed = !j.ban(&ban)
	out.Shortened = !out.Observed && ban.Duration < v.Duration
	// A trial may have made it shorter.
	out.Scope = ban.Scope
	out.Until = ban.Until().Truncate(time.Second)
}
