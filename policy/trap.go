package policy

import "slices"

// isTrap reports whether a rule bans at the first attempt, whatever the score is.
func isTrap(r Rule) bool {
	return r == RuleInjection || r == RuleCanary || r == RuleUnseen
}

// trapped judges what nobody legitimate sends, and reports whether the observation is that. What
// only an injection attempt says of accounts is not believed, so it is counted here even if the
// rule is off.
func (e *Engine) trapped(k key, o *Observation) bool {
	var rule Rule
	switch {
	case o.Kind == KindUnseenRequest && !o.Injected:
		e.unseenRequest(k, o)
		return true
	case o.Injected:
		rule = RuleInjection
	case e.canary(o):
		rule = RuleCanary
	default:
		return false
	}

	ev := e.evidenceOf(o)
	if !e.on(rule) {
		if rule == RuleInjection {
			e.count(k, ev, RuleNone)
		}
		return rule == RuleInjection
	}

	ev.Weight = max(ev.Weight, e.trapWeight())
	e.count(k, ev, rule)
	e.keepTentative(k, o, rule)
	return true
}

// trapWeight is above the threshold at once.
func (e *Engine) trapWeight() float32 { return float32(e.opt.Threshold) * (1 + 2*rounding) }

// canary reports whether an observation names one of the accounts that nobody legitimate uses. The
// number that a phone dialled may be the name of one.
func (e *Engine) canary(o *Observation) bool {
	return slices.Contains(e.canaries, o.Account.hash) && !o.Unknown &&
		(!o.dialled || o.Kind != KindSuccessfulAuth)
}
