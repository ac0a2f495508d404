package policy

import (
	"slices"

	"github.com/amifend/amifend/policy/internal/table"
)

// due returns what a source's scores ask for, by which rule, and who could have chosen the address on
// the evidence that this needs.
func (e *Engine) due(s *source) (Scope, Rule, Chooser) {
	slow := slowFactor * e.limit
	quickly, slowly := e.on(RuleScore), e.on(RuleLongMemory)
	switch {
	case e.on(RuleProvenScore) && s.proven > e.limit:
		return ScopeAll, RuleProvenScore, ChooserNobody
	case slowly && s.slowProven > slow:
		return ScopeAll, RuleLongMemory, ChooserNobody

	// What follows rests on evidence that could have been forged.
	case e.proved(s):
		return ScopeNone, RuleNone, ChooserNobody
	case quickly && s.proven+spoofedPart(s.forgeable, s.chosen) > e.limit:
		return ScopeSIP, RuleScore, ChooserSpoofer
	case slowly && s.slowProven+spoofedPart(s.slowForgeable, s.slowChosen) > slow:
		return ScopeSIP, RuleLongMemory, ChooserSpoofer
	case quickly && s.proven+s.forgeable > e.limit:
		return ScopeSIP, RuleScore, ChooserAnybody
	case slowly && s.slowProven+s.slowForgeable > slow:
		return ScopeSIP, RuleLongMemory, ChooserAnybody
	}
	return ScopeNone, RuleNone, ChooserNobody
}

// decide bans what an attempt made due: the host, or prefixes that it is in. A rule of its own, if it has one, names the
// ban.
func (e *Engine) decide(k key, s *source, r table.Ref, ev *Evidence, covered Scope, own Rule) {
	want, rule, chooser := e.due(s)
	switch {
	case trap(own):
		want = ScopeSIP
		if ev.Proven() {
			want = ScopeAll
		}
		rule, chooser = own, ev.Chooser
	case own != RuleNone && want != ScopeNone:
		rule = own
	}

	// One packet that may be forged is no offence of the prefix, nor is what anybody can do in the name
	// of an address.
	banned, offence := covered, want
	once, brief := trap(own) && !ev.Proven(), want != ScopeNone && !chooser.needsSpoofing()
	if once || brief {
		offence = ScopeNone
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
	if rule == RuleLongMemory {
		score = s.slowProven
		if want != ScopeAll {
			score += s.slowForgeable
		}
	}
	c := banCase{
		scope: want, rule: rule, score: score, attempts: s.attempts, chooser: chooser,
		forgeable: want != ScopeAll, patient: e.patient(k), brief: brief,
		short: want != ScopeAll && (e.proved(s) || s.owns > 0),
	}
	if e.banHost(k, s, r, c) && !once {
		e.settle(k, s, offence)
	}
}

// trap says whether a rule bans at the first attempt, whatever the score is.
func trap(r Rule) bool { return r == RuleInjection || r == RuleCanary }

// settle takes what the ban of a host answers from the scores of its prefixes: its neighbours do not
// answer for it. They remember that it was banned, unless scope is ScopeNone.
func (e *Engine) settle(k key, s *source, scope Scope) {
	for _, sp := range k.spreads() {
		nk := k.masked(sp.bits)
		n, nr := e.touchNetwork(nk)
		// No more than the host gave, see addFrom: else decoys would wash their prefix.
		most := float32(s.attempts) * float32(e.opt.Threshold) / 3
		n.proven = max(0, n.proven-min(s.proven, most))
		n.forgeable = max(0, n.forgeable-min(s.forgeable, most))
		if scope != ScopeNone {
			n.offend(e.part(k, sp.bits), scope, s.strikeAt)
		}
		e.classifyNetwork(nk, nr)
	}
}

// patient says whether a source's evidence spans two minutes of the clock: more than a flood of forged packets takes.
func (e *Engine) patient(k key) bool {
	r := e.sources.Get(k.host())
	return r != 0 && e.sources.Val(r).attempts > 0 && e.sources.Val(r).since/60 != e.sec/60
}

// banHost bans an address.
func (e *Engine) banHost(k key, s *source, r table.Ref, c banCase) bool {
	if !e.ban(k, &s.strikes, &s.strikeAt, c) {
		return false
	}
	if c.brief {
		s.flags |= wasBrief
	}
	e.sources.Move(r, listBanned)
	return true
}

// trapped judges what nobody legitimate sends: an injection attempt, or anything that names a canary account. False means that
// it is none, or that the rule is switched off.
func (e *Engine) trapped(k key, o *Observation) bool {
	var rule Rule
	switch {
	case o.Injected:
		rule = RuleInjection
	case len(e.canaries) > 0 && slices.Contains(e.canaries, o.Account.hash) && !o.Unknown && (!o.dialled || o.Kind != KindSuccessfulAuth):
		rule = RuleCanary
	default:
		return false
	}
	ev := e.evidence(o)
	if !e.on(rule) {
		if rule == RuleInjection {
			e.count(k, ev, RuleNone)
		}
		return rule == RuleInjection
	}
	ev.Weight = max(ev.Weight, float32(e.opt.Threshold)*(1+2*rounding))
	e.count(k, ev, rule)
	return true
}
