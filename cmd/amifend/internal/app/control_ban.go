package app

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// longestReason bounds what an operator may write about a ban.
const longestReason = 200

// Ban bans for an operator, and tells what the kernel says to it.
func (k *desk) Ban(ctx context.Context, by control.Peer, bans []control.NewBan) ([]control.BanResult, error) {
	results := make([]control.BanResult, 0, len(bans))
	var wanted []key
	for _, b := range bans {
		r, err := k.impose(ctx, by, b)
		if err != nil {
			return nil, err
		}
		if r.Error == nil {
			wanted = append(wanted, key{r.Prefix, scopeNamed(r.Scope)})
		}
		results = append(results, r)
	}
	for i, r := range results {
		if r.Error == nil {
			k.record(by, "ban", source(r.Prefix)+" "+r.Scope, bans[i].Reason)
		}
	}
	states, err := k.settled(ctx, wanted)
	if err != nil {
		return nil, err
	}
	for i := range results {
		if r := &results[i]; r.Error == nil && r.State == "" {
			r.State = states[key{r.Prefix, scopeNamed(r.Scope)}]
		}
	}
	if len(wanted) > 0 && !k.written(ctx) {
		for i := range results {
			if r := &results[i]; r.Error == nil {
				r.Note = joined(r.Note, "the journal does not have it yet: after a crash or a reboot now it may be lost (amifend status)")
			}
		}
	}
	return results, nil
}

// impose has the engine decide one ban. The error is that it does not answer.
func (k *desk) impose(ctx context.Context, by control.Peer, b control.NewBan) (control.BanResult, error) {
	d, bad := k.checkBan(&b)
	if bad != nil {
		return control.BanResult{Prefix: b.Prefix, Scope: b.Scope, Error: bad}, nil //nolint:nilerr // it is the result
	}
	why := by.String()
	if b.Reason != "" {
		why += ": " + ami.Quote([]byte(b.Reason))
	}
	return ask(ctx, k.judge.asks, askJudge, func() control.BanResult { return k.judge.impose(b, d, by.String(), why) })
}

// checkBan returns how long the ban is to last.
func (k *desk) checkBan(b *control.NewBan) (time.Duration, *control.Error) {
	bad := func(format string, args ...any) (time.Duration, *control.Error) {
		return 0, control.Errorf(control.CodeBadRequest, format, args...)
	}
	p := k.config.Load().Policy
	d := time.Duration(b.For * float64(time.Second))
	switch bits := firewall.SupportedBits(b.Prefix.Addr().Is6()); {
	case !b.Prefix.IsValid() || b.Prefix != b.Prefix.Masked() || b.Prefix.Addr().Is4In6():
		return bad("prefix: %v is no prefix", b.Prefix)
	case !slices.Contains(bits, b.Prefix.Bits()):
		return bad("%s: a prefix of this length cannot be banned; those of %s can; [deny] prefixes takes any", b.Prefix, lengths(bits))
	case scopeNamed(b.Scope) == 0:
		return bad("scope: write all or sip")
	case len(b.Reason) > longestReason:
		return bad("reason: is longer than %d bytes", longestReason)
	case b.Import && b.For > p.BanMax.Seconds():
		return p.BanMax, nil
	case b.For == 0:
		return min(p.BanTime, p.BanMax), nil
	case !(b.For >= 1 && b.For <= p.BanMax.Seconds()):
		return bad("a ban may last from a second to [policy] ban_max, which is %s", days(p.BanMax))
	}
	return d, nil
}

// lengths writes lengths of prefixes as people do: /32, /24.
func lengths(bits []int) string {
	out := make([]string, 0, len(bits))
	for _, b := range bits {
		out = append(out, "/"+strconv.Itoa(b))
	}
	return strings.Join(out, ", ")
}

// impose bans, by the engine: the judge's own goroutine alone may call it.
func (j *judge) impose(b control.NewBan, d time.Duration, by, why string) control.BanResult {
	out := control.BanResult{Prefix: b.Prefix, Scope: b.Scope}
	if reason, ok := j.masked.protected.Overlaps(b.Prefix); ok {
		out.Error = control.Errorf(control.CodeProtected, "%s must not be banned: %s", source(b.Prefix), printable(reason)).
			Advise("amifend allow --list shows all that is never banned")
		return out
	}
	now, scope := j.clock.now(), scopeOf[scopeNamed(b.Scope)]
	old, running := j.engine.Ban(b.Prefix.Addr())
	if b.Import && running && old.Prefix.Bits() <= b.Prefix.Bits() && old.Scope >= scope && old.Until >= now+int64(d) {
		out.Scope, out.Until = scopes[old.Scope].String(), j.clock.wallTime(old.Until).Truncate(time.Second)
		return out
	}
	verdicts, err := j.engine.Impose(now, b.Prefix, scope, d)
	for _, v := range verdicts {
		if v.Action != policy.ActionBan || v.Prefix != b.Prefix {
			j.order([]policy.Verdict{v}) // what else was due
			continue
		}
		ban := newBan(v, j.servers, j.clock)
		ban.Evidence = why
		if v.Scope > old.Scope && old.Prefix == v.Prefix && old.Until > ban.until && !b.Import && j.trial.ends == 0 {
			j.lift(old.Prefix, old.Scope, by, "replaced by a ban of a larger scope that ends earlier")
		}
		if !j.ban(&ban) {
			out.State = control.StateDry
		} else if ban.Duration < v.Duration {
			out.Note = "the trial ends then: amifend keep gives the ban its whole time"
		}
		out.Scope, out.Until = ban.Scope.String(), ban.Until().Truncate(time.Second) // a trial may have made it shorter
	}
	if err != nil {
		out.Error = control.Errorf(control.CodeFailed, "%s", err).Advise("amifend status; if there is no room, raise [firewall] max_bans and restart amifend")
	}
	return out
}

// settled waits until the enforcer has dealt with orders that were given before, and tells in what state they are.
func (k *desk) settled(ctx context.Context, wanted []key) (map[key]string, error) {
	// The enforcer works on its orders after each question, so the second one is answered when these are done.
	if _, err := ask(ctx, k.enforcer.asks, askEnforcer, func() struct{} { return struct{}{} }); err != nil {
		return nil, err
	}
	return ask(ctx, k.enforcer.asks, askEnforcer, func() map[key]string {
		out := make(map[key]string, len(wanted))
		for _, w := range wanted {
			out[w] = control.StatePending
			if h := k.enforcer.ledger.bans[w]; h != nil {
				out[w] = k.enforcer.describe(h).State
			}
		}
		return out
	})
}

// joined is two notes as one.
func joined(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// days tells a duration as the config writes it, such as 30d or 1d12h0m0s.
func days(d time.Duration) string {
	n, rest := d/(24*time.Hour), d%(24*time.Hour)
	switch {
	case n == 0:
		return d.String()
	case rest == 0:
		return fmt.Sprintf("%dd", n)
	default:
		return fmt.Sprintf("%dd%s", n, rest)
	}
}
