package judge

import (
	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
	"github.com/amifend/amifend/policy"
)

// alert hands on an alert of the engine: something suspicious that does not lead to a ban. The
// alerts of one condition have the same key.
func (j *Judge) alert(v policy.Verdict) {
	a := alerts.Alert{
		Kind: v.Rule.String(), Source: bans.Source(v.Prefix),
		Text: wording.Reason(v, j.policy.Threshold, j.servers), Do: wording.Advice(v),
	}

	// The attacker chose the account's name: it is quoted.
	if v.Account != (policy.Label{}) {
		a.Account = ami.Quote(v.Account.Bytes())
	}

	// An account name means something at one server only, so the text names both.
	aboutServer := v.Account != (policy.Label{}) || v.About == policy.AboutServer
	if aboutServer && int(v.Server) < len(j.servers) {
		a.Server = j.servers[v.Server]
	}
	if v.Rule == policy.RuleBansFull {
		stats := j.engine.Stats()
		a.Attrs = []any{"bans", stats.Bans, "refused", stats.BansRefused}
	}

	switch v.Phase {
	case policy.PhaseEvent:
		j.alerts.Event(a)
	case policy.PhaseBegin, policy.PhaseUpdate:
		j.alerts.Raise(keyOf(v, &a), a, j.spanOf(v))
	case policy.PhaseEnd:
		j.alerts.Resolve(keyOf(v, &a), j.spanOf(v))
	case policy.PhaseYield:
		j.alerts.Yield(keyOf(v, &a), j.spanOf(v))
	}
}

// keyOf returns the key of a condition: its kind, and the fields that name its subject.
func keyOf(v policy.Verdict, a *alerts.Alert) string {
	switch v.About {
	case policy.AboutSource:
		return alerts.Key(a.Kind, a.Source)
	case policy.AboutAccount:
		return alerts.Key(a.Kind, a.Server, a.Account)
	case policy.AboutEndpoint:
		return alerts.Key(a.Kind, a.Source, a.Server, a.Account)
	case policy.AboutServer:
		return alerts.Key(a.Kind, a.Server)
	case policy.AboutMore:
		return alerts.Key(a.Kind, "more")
	case policy.AboutAll:
	}
	return alerts.Key(a.Kind)
}

// spanOf returns the time of a condition, with a monotonic reading: the wall clock may be set
// before it is written.
func (j *Judge) spanOf(v policy.Verdict) alerts.Span {
	return alerts.Span{
		Since: j.clock.Deadline(v.Since), Last: j.clock.Deadline(v.Last), Count: v.Count,
	}
}
