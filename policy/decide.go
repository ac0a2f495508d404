package policy

import "github.com/amifend/amifend/policy/internal/table"

// decide bans what an attempt made due: the host, or prefixes that it is in.
func (e *Engine) decide(a *attempt) {
	s := a.src
	want, rule, chooser := e.due(s)
	switch {
	case isTrap(a.rule):
		want = ScopeSIP
		if a.ev.Proven() {
			want = ScopeAll
		}
		rule, chooser = a.rule, a.ev.Chooser
	case a.rule != RuleNone && want != ScopeNone:
		rule = a.rule
	}

	// One packet that may be forged is no offence of the prefix, nor is what anybody can do in the
	// name of an address.
	banned, offence := a.covered, want
	once := isTrap(a.rule) && !a.ev.Proven()
	brief := want != ScopeNone && !chooser.needsSpoofing()
	if once || brief {
		offence = ScopeNone
	}

	// A ban of a prefix makes that of the host unnecessary, so the prefixes come first.
	for _, sp := range a.key.spreads() {
		nk := a.key.masked(sp.bits)
		n, _ := e.touchNetwork(nk)
		e.addFrom(e.part(a.key, sp.bits), n, &a.ev)
		e.recordEvidence(nk, a.ev)
		banned = max(banned, e.decideNetwork(a, sp, offence, banned))
	}
	if want <= banned {
		return
	}

	c := banCase{
		scope: want, rule: rule, score: s.scoreOf(rule, want), attempts: s.attempts, chooser: chooser,
		forgeable: want != ScopeAll, patient: e.patient(a.key), brief: brief,
		short: want != ScopeAll && (e.hasProof(s) || s.owns > 0),
	}
	if e.banHost(a.key, s, a.srcRef, c) && !once {
		e.takeShare(a.key, s, offence)
	}
}

// scoreOf returns the score that a ban by a rule is compared with.
func (s *source) scoreOf(rule Rule, scope Scope) float32 {
	proven, forgeable := s.proven, s.forgeable
	if rule == RuleLongMemory {
		proven, forgeable = s.slowProven, s.slowForgeable
	}
	if scope == ScopeAll {
		return proven
	}
	return proven + forgeable
}

// takeShare takes what a banned host added from the scores of its prefixes: its neighbours do not
// answer for it. They remember that it was banned, unless scope is ScopeNone.
func (e *Engine) takeShare(k key, s *source, scope Scope) {
	// No more than the host gave, see addFrom. Otherwise decoys would clear the score of their
	// prefix.
	most := float32(s.attempts) * float32(e.opt.Threshold) / 3
	for _, sp := range k.spreads() {
		nk := k.masked(sp.bits)
		n, nr := e.touchNetwork(nk)
		n.proven = max(0, n.proven-min(s.proven, most))
		n.forgeable, n.chosen = reduced(n.forgeable, n.chosen, min(s.forgeable, most), s.chosen)
		if scope != ScopeNone {
			n.offend(e.part(k, sp.bits), scope, s.strikeAt)
		}
		e.classifyNetwork(nk, nr)
	}
}

// patient reports whether a source's evidence spans two minutes of the clock: more than a flood of
// forged packets takes.
func (e *Engine) patient(k key) bool {
	r := e.sources.Get(k.host())
	if r == 0 {
		return false
	}
	s := e.sources.Val(r)
	return s.attempts > 0 && s.since/60 != e.sec/60
}

// banHost bans an address. It reports whether there was room.
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
