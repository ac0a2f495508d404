package enforce

import (
	"errors"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/compact"
	"github.com/amifend/amifend/firewall"
)

// applied notes what the kernel has acknowledged and what it has refused.
func (e *Enforcer) applied(changes []firewall.Change, rejected []firewall.Rejected) {
	now := e.clock.Now()

	refused := make(map[compact.Key]bool, len(rejected))
	for _, r := range rejected {
		refused[compact.Of(r.Change.Prefix, r.Change.Scope)] = true
		e.reject(r, now)
	}

	// Everything else is in the kernel now. A ban is logged here, and not when it was decided.
	for _, c := range changes {
		if refused[compact.Of(c.Prefix, c.Scope)] {
			continue
		}

		h, why := e.ledger.done(c, now)
		switch {
		case h != nil:
			e.logBan(h)
			e.acknowledge(h)
		case why != "": // a lift that was asked for
			e.logLift(c, why)
		}
	}
}

// acknowledge tells the judge that the kernel has a ban. A dry run acknowledges nothing: none of
// its bans could be ineffective.
func (e *Enforcer) acknowledge(h *held) {
	if !e.dry {
		e.mail.Acks.Put(h.bansKey(), bans.Ack{At: h.acked, Until: h.expiry})
	}
}

// reject deals with a change that the kernel did not make.
func (e *Enforcer) reject(r firewall.Rejected, now int64) {
	k := compact.Of(r.Change.Prefix, r.Change.Scope)
	h := e.ledger.bans[k]

	// An invalid change would be tried for ever.
	if h == nil || !errors.Is(r.Err, firewall.ErrFull) {
		if h != nil {
			e.ledger.drop(h)
		}
		delete(e.ledger.lifts, k)
		e.recorder.Lift(r.Change.Prefix, r.Change.Scope, bans.ByPolicy, "the kernel cannot have it")
		e.log.Error("firewall: the kernel cannot have a change",
			"source", r.Change.Prefix.String(), "scope", r.Change.Scope.String(), "err", r.Err)
		return
	}

	// A ban that found its set full stays wanted: room comes as elements run out.
	e.ledger.foundFull(h, now+int64(retryFull))
	if e.fullLogged != 0 && now < e.fullLogged+int64(fullEvery) {
		return
	}

	e.fullLogged = now
	e.log.Error("firewall set is full: the newest bans wait for room",
		"source", h.source(), "scope", h.key.Scope().String(), "waiting", e.ledger.waiting(),
		"err", r.Err,
		"do", "raise [firewall] max_bans and restart amifend")
}

// logBan logs a ban once, when the kernel has it. The policy bounds how many lines an attacker can
// cause: one for each ban, and at most max_bans of them run at a time.
func (e *Enforcer) logBan(h *held) {
	if h.logged {
		return
	}
	h.logged = true
	e.meter.ban(h, e.clock.Now())

	verb := "banned"
	if e.dry {
		verb = "would ban"
	}
	b := h.ban()
	e.log.Info(verb, b.Attrs()...)

	if e.banned != nil {
		e.banned(b)
	}

	h.details = nil // a kilobyte for each of 262,144 bans is too much to keep
}

func (e *Enforcer) logLift(c firewall.Change, why string) {
	verb := "ban lifted"
	if e.dry {
		verb = "would lift ban"
	}
	e.log.Info(verb, "source", bans.Source(c.Prefix), "scope", c.Scope.String(), "why", why)
}
