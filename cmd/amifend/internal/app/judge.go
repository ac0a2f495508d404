package app

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/amifend/amifend/policy"
)

// ruleAdopted is the policy's name for a ban that was in the kernel when the daemon started.
const ruleAdopted = "adopted"

// judge is the goroutine that owns the policy engine. It waits for nothing but its own input.
type judge struct {
	engine      *policy.Engine
	clock       clock
	log         *slog.Logger
	servers     []string
	in          <-chan sighting
	protected   <-chan *policy.Protected
	orders      *mailbox[netip.Prefix, order]
	ineffective *ineffective
	masked      *masked
}

// run judges until in is closed.
func (j *judge) run() error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case s, ok := <-j.in:
			if !ok {
				return nil
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
			j.orders.put(v.Prefix, order{ban: newBan(v, j.servers)})
		case policy.ActionUnban:
			j.ineffective.forget(v.Prefix)
			j.orders.put(v.Prefix, order{lift: true, why: v.Rule})
		case policy.ActionAlert:
			j.log.Warn("alert", "rule", v.Rule, "source", v.Prefix.String(), "score", v.Score, "evidence", describe(v.Evidence, j.servers))
		case policy.ActionNone:
		}
	}
}
