package policy

// A claim is the ban that a rule asks for: the rule, and who could have chosen the address on the
// weakest evidence that it needs. The rule of no claim is RuleNone.
type claim struct {
	rule    Rule
	chooser Chooser
}

// weight orders claims by what they rest on.
type weight uint8

const (
	weightNone      weight = iota
	weightForgeable        // on evidence that may be forged
	weightProven
)

func (c claim) weight() weight {
	switch {
	case c.rule == RuleNone:
		return weightNone
	case c.chooser.Proven():
		return weightProven
	}
	return weightForgeable
}

// due returns what the scores of the source at an address ask for.
func (e *Engine) due(k key, s *source) claim {
	switch {
	case e.provenScore(s):
		return claim{RuleProvenScore, ChooserNobody}
	case e.longMemory(s, ChooserNobody):
		return claim{RuleLongMemory, ChooserNobody}
	case e.provedAt(k, s):
		return claim{} // the rest may be forged
	}

	// The less trustworthy evidence comes second: a ban that needs it is brief.
	for _, c := range [...]Chooser{ChooserSpoofer, ChooserAnybody} {
		if e.score(s, c) {
			return claim{RuleScore, c}
		}
		if e.longMemory(s, c) {
			return claim{RuleLongMemory, c}
		}
	}
	return claim{}
}

// provenScore reports whether the score of proven evidence bans a source.
func (e *Engine) provenScore(s *source) bool { return e.on(RuleProvenScore) && s.proven > e.limit }

// score reports whether the score of all evidence bans a source. Evidence of a less
// trustworthy class than c does not count.
func (e *Engine) score(s *source, c Chooser) bool {
	return e.on(RuleScore) && s.proven+upTo(c, s.forgeable, s.chosen) > e.limit
}

// longMemory reports whether the score that halves in a week bans a source. Evidence of a less
// trustworthy class than c does not count.
func (e *Engine) longMemory(s *source, c Chooser) bool {
	return e.on(RuleLongMemory) && s.slowProven+upTo(c, s.slowForgeable, s.slowChosen) > slowFactor*e.limit
}

// upTo returns the part of a forgeable score that is evidence of the class c or of a better one.
func upTo(c Chooser, forgeable float32, share uint8) float32 {
	switch {
	case c.Proven():
		return 0
	case c.needsSpoofing():
		return spoofedPart(forgeable, share)
	}
	return forgeable
}
