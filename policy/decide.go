package policy

import "slices"

// due says what a source's scores ask for, and by which rule.
func (e *Engine) due(s *source, ev *Evidence) (Scope, ruleID) {
	slow := slowFactor * e.limit
	proven, slowly := e.on(ruleProvenScore), e.on(ruleLongMemory)
	switch {
	case proven && s.proven > e.limit:
		return ScopeAll, ruleProvenScore
	case slowly && s.slowProven > slow:
		return ScopeAll, ruleLongMemory
	case e.shielded(s, &Evidence{Port: ev.Port}):
		return ScopeNone, ruleNone
	case e.on(ruleScore) && s.proven+s.forgeable > e.limit:
		return ScopeSIP, ruleScore
	case slowly && s.slowProven+s.slowForgeable > slow:
		return ScopeSIP, ruleLongMemory
	}
	return ScopeNone, ruleNone
}

// decide bans what an attempt made due: the host, or prefixes that it is in. A rule of its own, if it has one, names the
// ban.
func (e *Engine) decide(k key, s *source, r ref, ev *Evidence, covered Scope, own ruleID) {
	want, rule := e.due(s, ev)
	switch {
	case trap(own):
		want = ScopeSIP
		if ev.Proven {
			want = ScopeAll
		}
		rule = own
	case own != ruleNone && want != ScopeNone:
		rule = own
	}
	banned, offence := covered, want
	if trap(own) && !ev.Proven {
		offence = ScopeNone // one packet that may be forged
	}
	for _, sp := range k.spreads() {
		nk := k.masked(sp.bits)
		n, _ := e.touchNetwork(nk)
		e.addFrom(e.part(k, sp.bits), n, ev)
		e.keep(nk, *ev)
		banned = max(banned, e.decideNetwork(k, s, r, sp, offence, banned))
	}
	if want <= banned {
		return
	}
	score := s.proven
	if want != ScopeAll {
		score += s.forgeable
	}
	if rule == ruleLongMemory {
		score = s.slowProven
		if want != ScopeAll {
			score += s.slowForgeable
		}
	}
	c := banCase{
		scope: want, rule: rule, score: score, attempts: s.attempts, forgeable: want != ScopeAll, patient: e.patient(k),
		short: want != ScopeAll && (e.proved(s) || s.owns > 0),
	}
	if e.banHost(k, s, r, c) && offence != ScopeNone {
		e.settle(k, s, offence)
	}
}

// trap says whether a rule bans at the first attempt, whatever the score is.
func trap(r ruleID) bool { return r == ruleInjection || r == ruleCanary }

// settle takes what the ban of a host answers from the scores of its prefixes: its neighbours do not answer for it. They
// remember that it was banned.
func (e *Engine) settle(k key, s *source, scope Scope) {
	for _, sp := range k.spreads() {
		nk := k.masked(sp.bits)
		n, nr := e.touchNetwork(nk)
		// No more than the host gave, see addFrom: else decoys would wash their prefix.
		most := float32(s.attempts) * float32(e.opt.Threshold) / 3
		n.proven = max(0, n.proven-min(s.proven, most))
		n.forgeable = max(0, n.forgeable-min(s.forgeable, most))
		n.offend(e.part(k, sp.bits), scope, s.strikeAt)
		e.classifyNetwork(nk, nr)
	}
}

// patient says whether a source's evidence spans two minutes of the clock: more than a flood of forged packets takes.
func (e *Engine) patient(k key) bool {
	r := e.sources.get(k.host())
	return r != 0 && e.sources.at(r).val.attempts > 0 && e.sources.at(r).val.since/60 != e.sec/60
}

// banHost bans an address.
func (e *Engine) banHost(k key, s *source, r ref, c banCase) bool {
	if !e.ban(k, &s.strikes, &s.strikeAt, c) {
		return false
	}
	e.sources.move(r, listBanned)
	return true
}

// trapped judges what nobody legitimate sends: an injection attempt, or anything that names a canary account. False means that
// it is none, or that the rule is switched off.
func (e *Engine) trapped(k key, o *Observation) bool {
	var rule ruleID
	switch {
	case o.Injected:
		rule = ruleInjection
	case len(e.canaries) > 0 && slices.Contains(e.canaries, o.Account.hash) && !o.Unknown && (!o.dialled || o.Kind != KindSuccessfulAuth):
		rule = ruleCanary
	default:
		return false
	}
	ev := e.evidence(o)
	if o.Kind == KindSuccessfulAuth && !o.Injected {
		ev.Proven = o.Stream || o.Password
	}
	if !e.on(rule) {
		if rule == ruleInjection {
			e.count(k, ev, ruleNone)
		}
		return rule == ruleInjection
	}
	ev.Weight = max(ev.Weight, float32(e.opt.Threshold)*(1+2*rounding))
	e.count(k, ev, rule)
	return true
}
