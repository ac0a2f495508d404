package policy

import "github.com/amifend/amifend/policy/internal/table"

const (
	// A stranger's first success is a find when guessedAccounts other accounts failed at it before.
	guessedAccounts = 3

	// ownerNear is a time in seconds. If the owner of an account succeeded elsewhere within that
	// time before the first failure at a source, the owner is still at work elsewhere: phones
	// register each hour or more often. If it is longer ago, the source may be the owner, who
	// moved.
	ownerNear = 2 * 3600
)

// A find is what a success after failures says about them.
type find struct {
	alert   bool // somebody who guessed knows the password: compromised_account
	ban     bool // and the source is banned, so the success proves nothing
	certain bool // nobody could have chosen the address of the failures, nor of the success
}

// compromised alerts when a success is that of an attacker who guessed, and reports whether it is one,
// and whether its source was banned for it. okAt is when anybody had authenticated as that account before.
//
// A source that proved itself is banned only when nobody could have chosen the address of the
// success, nor that of the failures. Otherwise a spoofer with an account could cut it off.
func (e *Engine) compromised(
	k key, s *source, r table.Ref, p *pair, o *Observation, okAt uint32,
) (found, banned bool) {
	f := e.findOf(k, s, p, o, okAt)
	if !f.alert {
		e.suspectSpoofing(k, p, o)
		return false, false
	}
	if !e.on(RuleCompromised) {
		return true, false
	}

	chooser := weakestOf(s, o, f)
	st := e.sentence(e.occupantOf(k, s), chooser)
	f.ban = f.ban && st.scope != ScopeNone

	attempts := max(p.fails, p.shielded, p.excused, s.attempts)
	e.alert(Verdict{
		Rule: RuleCompromised, Prefix: k.prefix(), Scope: st.scope, Server: o.Server, Account: o.Account,
		Attempts: int(attempts), Score: float64(s.proven + s.forgeable), Chooser: o.Chooser(),
		Evidence: e.exportEvidence(k, s.attempts),
	}, aboutPair(k, e.accountOf(o.Server, o.Service, &o.Account)), hourly)
	if !f.ban {
		return true, false
	}

	// Halved, so that a user who mistyped often gets in after some time, and a guesser is banned
	// again.
	p.fails /= 2
	p.provenFails /= 2
	p.shielded /= 2
	if !e.banScope(k).Covers(st.scope) {
		e.banHost(k, s, r, banCase{
			sentence: st, rule: RuleCompromised, score: s.proven + s.forgeable,
			attempts: max(p.fails, s.attempts, 1), chooser: chooser,
			patient: true, // the success came from there
		})
	}
	return true, true
}

// weakestOf returns who could have chosen the address on the weakest evidence of a find: of its
// success, or of the failures before it.
func weakestOf(s *source, o *Observation, f find) Chooser {
	switch by := o.Chooser(); {
	case f.certain:
		return ChooserNobody
	case !by.needsSpoofing():
		return by
	case s.slowForgeable > 0 && s.slowChosen > 0:
		return ChooserAnybody
	case by.Proven() || s.slowForgeable > 0:
		return ChooserSpoofer
	default:
		return by
	}
}

// findOf judges the failures of an account at a source by the success that follows them.
func (e *Engine) findOf(k key, s *source, p *pair, o *Observation, okAt uint32) find {
	before := p.okAt != 0
	fails, provenFails := int(p.fails), int(p.provenFails)
	if fails > 0 && !before {
		// So what was let pass was not of a misconfigured endpoint.
		fails += int(p.excused)
		provenFails += int(p.excusedProven)
	}

	// Certain: the failures, and the success, are those of the source itself.
	strangerToAll := !before && s.owns == 0
	certain := o.Chooser().Proven() &&
		(provenFails > typos || strangerToAll && e.sprayed(p, s.failedProven, pairFailedProven,
			s.proven-p.debt.proven, s.slowProven-p.debt.slowProven))
	if certain {
		return find{alert: true, ban: true, certain: true}
	}

	// Likely: some of it may be forged. Only a source that never proved itself is banned for that,
	// as it would be for the failures alone, a little later.
	forgeable, slowForgeable := float32(0), float32(0)
	if s.failPort == o.Source.Port() {
		forgeable, slowForgeable = s.forgeable-p.debt.forgeable, s.slowForgeable-p.debt.slowForgeable
	}
	likely := fails > typos && (!before || provenFails > typos) ||
		strangerToAll && e.sprayed(p, s.failed, pairFailed, s.proven-p.debt.proven+forgeable,
			s.slowProven-p.debt.slowProven+slowForgeable)
	if likely {
		return find{alert: true, ban: !e.provedAt(k, s)}
	}

	// Possible: alerted, and nobody is banned. There are three cases. The failures were not held
	// against the source, since it was proved. Or they were let pass as those of a stale phone,
	// while the account's owner works elsewhere. Or the source was banned after the first failures,
	// so that few counted.
	passed := int(p.excused) + int(p.shielded)
	whispered := !before && p.shielded > typos
	taken := !before && okAt != 0 && okAt+ownerNear > p.failAt && passed > typos
	banned := s.strikes > 0 && p.failAt <= s.strikeAt || s.flags&wasBrief != 0
	relapsed := !before && p.fails > 0 && s.attempts > typos && banned
	return find{alert: whispered || taken || relapsed}
}

// sprayed reports whether a source tried so many other accounts before its first success that this
// one is a find. failed is how many accounts failed there, flag marks the pairs of these accounts,
// and fast and slow are what the others added to its scores.
func (e *Engine) sprayed(p *pair, failed uint8, flag uint8, fast, slow float32) bool {
	others := failed
	if p.flags&flag != 0 {
		others--
	}
	return others >= guessedAccounts && max(fast, slow) > e.limit/2
}

// suspectSpoofing alerts when failures stand between successes of one account at one source, and
// could have been forged: more than a user's typos between two, or a few each time. A guesser who
// hides behind a phone that registers often makes the latter.
func (e *Engine) suspectSpoofing(k key, p *pair, o *Observation) {
	if p.okAt == 0 || p.flags&(pairProven|pairAlerted) != 0 || !e.on(RuleSpoofSuspected) {
		return
	}

	fails := int(p.fails) + int(p.excused) + int(p.shielded)
	switch {
	case fails > 0:
		p.between = bump(p.between, uint8(min(fails, 2*typos))) // at most 8
	case p.between > 0:
		p.between--
	}
	if fails <= typos && p.between <= 2*typos {
		return
	}

	fails = max(fails, int(p.between))
	p.between = 0
	e.alert(Verdict{
		Rule: RuleSpoofSuspected, Prefix: k.prefix(), Server: o.Server, Account: o.Account, Attempts: fails,
		Chooser: o.Chooser(),
	}, aboutPair(k, e.accountOf(o.Server, o.Service, &o.Account)), hourly)
}
