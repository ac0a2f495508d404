package app

import (
	"errors"

	"github.com/amifend/amifend/firewall"
)

// applied notes what the kernel has acknowledged and what it has refused.
func (e *enforcer) applied(changes []firewall.Change, rejected []firewall.Rejected) {
	now := e.clock.now()
	refused := make(map[key]bool, len(rejected))
	for _, r := range rejected {
		refused[key{r.Change.Prefix, r.Change.Scope}] = true
		e.reject(r, now)
	}
	for _, c := range changes {
		if refused[key{c.Prefix, c.Scope}] {
			continue
		}
		h, why := e.ledger.done(c, now)
		switch {
		case h != nil:
			e.tell(h)
			e.acknowledge(h)
		case why != "":
			e.tellLift(c, why)
		}
	}
}

// acknowledge tells the judge that the kernel has a ban.
func (e *enforcer) acknowledge(h *held) {
	if !e.dry { // a dry run has no ban that could be ineffective
		e.acks.put(h.Prefix, ack{at: h.acked, until: h.until, scope: h.Scope})
	}
}

// reject deals with a change that the kernel did not make. A ban that found its set full stays wanted: room comes as
// elements run out.
func (e *enforcer) reject(r firewall.Rejected, now int64) {
	k := key{r.Change.Prefix, r.Change.Scope}
	h := e.ledger.bans[k]
	if h == nil || !errors.Is(r.Err, firewall.ErrFull) {
		e.ledger.drop(k)
		delete(e.ledger.lifts, k)
		e.records.lift(k.prefix, k.scope, byPolicy, "the kernel cannot have it")
		e.log.Error("firewall: the kernel cannot have a change", "source", k.prefix.String(), "scope", k.scope.String(), "err", r.Err)
		return
	}
	e.ledger.crowded(k, now+int64(retryFull))
	if e.fullTold != 0 && now < e.fullTold+int64(fullEvery) {
		return
	}
	e.fullTold = now
	e.log.Error("firewall set is full: the newest bans wait for room", "source", h.Source(), "scope", h.Scope.String(),
		"waiting", e.ledger.waiting(), "err", r.Err, "do", "raise [firewall] max_bans and restart amifend")
}

// tell prints a ban once, when the kernel has it. How many lines an attacker can cause is bounded by the policy: one a
// ban, and at most max_bans of them run at a time.
func (e *enforcer) tell(h *held) {
	if h.told {
		return
	}
	h.told = true
	verb := "banned"
	if e.dry {
		verb = "would ban"
	}
	e.log.Info(verb, h.attrs()...)
	if e.banned != nil {
		e.banned(h.Ban)
	}
	h.Evidence = "" // a kilobyte for each of 262,144 bans is too much to keep
}

func (e *enforcer) tellLift(c firewall.Change, why string) {
	verb := "ban lifted"
	if e.dry {
		verb = "would lift ban"
	}
	e.log.Info(verb, "source", source(c.Prefix), "scope", c.Scope.String(), "why", why)
}
