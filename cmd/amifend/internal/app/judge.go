package app

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/observe"
	"github.com/amifend/amifend/policy"
)

// judge is the goroutine that owns the policy engine. It waits for nothing but its own input: not for the kernel, and
// not for the log, see [spool].
type judge struct {
	engine      *policy.Engine
	clock       clock
	log         *slog.Logger
	servers     []string
	threshold   float64
	in          <-chan sighting
	protected   <-chan *policy.Protected
	orders      *mailbox[netip.Prefix, order]
	ineffective *ineffective
	masked      *masked
}

// run judges until in is closed.
func (j *judge) run() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case s, ok := <-j.in:
			if !ok {
				return
			}
			j.observe(&s)
		case p := <-j.protected:
			j.masked.protected = p
			j.order(j.engine.Protect(j.clock.now(), p))
		case <-j.ineffective.acks.wake:
			j.ineffective.settle()
		case <-tick.C:
			now := j.clock.now()
			j.order(j.engine.Advance(now))
			j.ineffective.sweep(now)
		}
	}
}

func (j *judge) observe(s *sighting) {
	j.order(j.engine.Observe(s.Observation))
	j.ineffective.check(s)
	j.masked.check(s)
}

// order hands verdicts on to the enforcer. They are the engine's until its next call, so what stays is copied.
func (j *judge) order(verdicts []policy.Verdict) {
	for _, v := range verdicts {
		switch v.Action {
		case policy.ActionBan:
			ban := newBan(v, j.servers, j.clock)
			j.orders.put(v.Prefix, order{ban: &ban})
		case policy.ActionUnban:
			j.ineffective.forget(v.Prefix)
			j.orders.put(v.Prefix, order{lift: true, why: j.why(v)})
		case policy.ActionAlert:
			j.alert(v)
		case policy.ActionNone:
		}
	}
}

// why says why a ban is lifted: the rule, and what it found.
func (j *judge) why(v policy.Verdict) string {
	if v.Rule == policy.RuleProtected {
		if reason, ok := j.masked.protected.Overlaps(v.Prefix); ok {
			return v.Rule + ": " + reason
		}
	}
	return v.Rule
}

// alert tells of something that is no ban. What an alert is about stands in the log as attributes; which there are is an
// API.
func (j *judge) alert(v policy.Verdict) {
	attrs := []any{"kind", v.Rule, "source", source(v.Prefix)}
	if v.Account != (policy.Label{}) {
		attrs = append(attrs, "account", observe.Name(v.Account))
		if int(v.Server) < len(j.servers) {
			attrs = append(attrs, "server", j.servers[v.Server])
		}
	}
	if v.Rule == policy.RuleBansFull {
		stats := j.engine.Stats()
		attrs = append(attrs, "bans", stats.Bans, "refused", stats.BansRefused)
	}
	attrs = append(attrs, "reason", observe.Reason(v, j.threshold, j.servers), "do", observe.Advice(v))
	j.log.Error("alert", attrs...)
}
