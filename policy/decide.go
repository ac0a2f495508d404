package policy

import "github.com/amifend/amifend/policy/internal/table"

// decide bans what an attempt made due: the host, or prefixes that it is in.
func (e *Engine) decide(a *attempt) {
	s := a.src
	want := e.due(a.key, s)
	switch {
	case isTrap(a.rule):
		want = claim{a.rule, a.ev.Chooser}
	case a.rule != RuleNone && want.rule != RuleNone:
		want.rule = a.rule
	}

	want.chooser = a.over(want.chooser)

	st := sentence{}
	if want.rule != RuleNone {
		st = e.sentence(e.occupantOf(a.key, s), want.chooser)
	}

	// One packet that may be forged is no offence of the prefix, nor is what anybody can do in the
	// name of an address.
	banned, offence := a.covered, want.weight()
	once := isTrap(a.rule) && !a.ev.Proven()
	if once || st.brief() {
		offence = weightNone
	}

	// A ban of a prefix makes that of the host unnecessary, so the prefixes come first.
	// A host that was banned for the same attempt has taken its share from them.
	shared := !a.recounted || e.banScope(a.key) == ScopeNone
	for _, sp := range a.key.spreads() {
		nk := a.key.masked(sp.bits)
		n, _ := e.touchNetwork(nk)
		if shared {
			e.addFrom(e.part(a.key, sp.bits), n, &a.ev)
			e.recordEvidence(nk, a.evidence())
		}
		banned |= e.decideNetwork(a, sp, offence, banned)
	}
	if shared {
		banned |= e.decideEmbedded(a, offence)
	}
	if banned.Covers(st.scope) {
		return // also if nothing is due
	}

	c := banCase{
		sentence: st, rule: want.rule, score: s.scoreOf(want), attempts: s.attempts,
		chooser: want.chooser, patient: e.patient(a.key),
	}
	if !e.banHost(a.key, s, a.srcRef, c) {
		return
	}
	switch {
	case once:
	case shared:
		e.takeShare(a.key, s, offence)
	default:
		e.offendIn(a.key, s, offence)
	}
	if st.scope == ScopeStream || st.length == lengthShort && want.chooser.Proven() {
		e.provedBanned(a, &c)
	}
}

// over returns the class of a claim that an attempt made due. A ban on proven evidence is of the
// transport of the attack.
func (a *attempt) over(c Chooser) Chooser {
	if c.Proven() && a.ev.Chooser == ChooserRoundTrip {
		return ChooserRoundTrip
	}
	return c
}

// offendIn notes in the prefixes of a host that it was banned.
func (e *Engine) offendIn(k key, s *source, offence weight) {
	if offence == weightNone {
		return
	}
	for _, sp := range k.spreads() {
		nk := k.masked(sp.bits)
		n, nr := e.touchNetwork(nk)
		n.offend(e.part(k, sp.bits), offence, s.strikeAt)
		e.classifyNetwork(nk, nr)
	}
}

// scoreOf returns the score that a claim rests on.
func (s *source) scoreOf(c claim) float32 {
	proven, forgeable := s.proven, s.forgeable
	if c.rule == RuleLongMemory {
		proven, forgeable = s.slowProven, s.slowForgeable
	}
	if c.weight() == weightProven {
		return proven
	}
	return proven + forgeable
}

// takeShare takes what a banned host added from the scores of its prefixes: its neighbours do not
// answer for it. They remember that it was banned, if that is an offence of any weight.
func (e *Engine) takeShare(k key, s *source, offence weight) {
	// No more than the host gave, see addFrom. Otherwise decoys would clear the score of their
	// prefix.
	most := float32(s.attempts) * float32(e.opt.Threshold) / 3
	for _, sp := range k.spreads() {
		nk := k.masked(sp.bits)
		n, nr := e.touchNetwork(nk)
		n.proven = max(0, n.proven-min(s.proven, most))
		n.forgeable, n.chosen = reduced(n.forgeable, n.chosen, min(s.forgeable, most), s.chosen)
		if offence != weightNone {
			n.offend(e.part(k, sp.bits), offence, s.strikeAt)
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
	if c.brief() {
		s.flags |= wasBrief
	}
	e.sources.Move(r, listBanned)
	return true
}
