package policy

// maxFactor is how many times heavier an attempt gets at most. maxProvenFactor is the same for one
// that is proven: the strangers around it may be forged, and its ban is longer and of all traffic.
const (
	maxFactor       = 8
	maxProvenFactor = 2.5
)

const (
	// accountUnderAttackFrom is the number of other sources from which an account is under attack.
	accountUnderAttackFrom = 3

	// serverUnderAttackFrom is the same for all accounts of a server.
	serverUnderAttackFrom = 30
)

// everyAccount stands for all accounts of a server. An account has the same hash with a chance of 1
// in 2^64.
var everyAccount = Label{hash: 0x5eed_0f_a11_acc05}

// weightOf returns what a kind weighs before anything is known of its source. Rule ami_guessing
// lets the Manager Interface count.
func (e *Engine) weightOf(kind Kind, unknown bool, service Service) float32 {
	switch {
	case kind >= KindCount || service == ServiceAMI && !e.on(RuleAMIGuessing):
		return 0
	case kind == KindChallengeResponseFailed && unknown:
		return float32(e.opt.UnknownWeight)
	}
	return float32(e.opt.Weights[kind])
}

// weigh makes an attempt heavier where it is part of something larger: another account at the same
// source, an account or a server that many strangers try.
func (e *Engine) weigh(a *attempt) {
	factor := e.enumeration(a) * e.accountUnderAttack(a)
	factor = max(factor, e.serverUnderAttack(a))
	if a.ev.Proven() {
		factor = min(factor, maxProvenFactor)
	}
	a.ev.Weight *= min(factor, maxFactor)
}

// guessesKnown reports whether an attempt is on an account that the PBX knows: a password was
// tried, or a challenge asked for one.
func (a *attempt) guessesKnown() bool {
	return !a.ev.Unknown && (guessesPassword(a.ev.Kind) || a.ev.Kind == KindChallengeSent)
}

// enumeration returns how many times heavier the first attempt on one more account of a source is.
func (e *Engine) enumeration(a *attempt) float32 {
	if !a.first || !e.on(RuleEnumeration) {
		return 1
	}

	// What is forged makes nothing proven heavier.
	n := float32(a.src.failed)
	if a.ev.Proven() {
		n = float32(a.src.failedProven)
	}

	// Unknown accounts weigh their full weight at once, known ones catch up: either way the fourth
	// bans.
	if a.guessesKnown() {
		return 1 + min((n-1)/2, 3)
	}
	return 1 + min(max(0, n-6)/4, 3)
}

// accountUnderAttack returns how many times heavier a stranger's attempt is on an account on which
// other strangers failed within hours.
func (e *Engine) accountUnderAttack(a *attempt) float32 {
	if a.others < accountUnderAttackFrom || !e.on(RuleAccountUnderAttack) {
		return 1
	}
	return 1 + float32(min(a.others, 100)-2)/2
}

// serverUnderAttack returns how many times heavier a stranger's attempt on an unknown account is
// while other strangers try the same server: twice on its second account, four times from the third
// on.
//
// Its first account, and wrong passwords, are left alone: users who err are strangers, too. So is
// what is proven, since the other strangers may be forged.
func (e *Engine) serverUnderAttack(a *attempt) float32 {
	s := a.src
	if a.pair.okAt != 0 || a.ev.Kind == KindInjection {
		return 1
	}
	all := e.accountOf(a.ev.Server, a.ev.Service, &everyAccount)

	// The name of a source that has accounts of its own hides whoever guesses those of others.
	if s.owns > 0 || e.provedAt(a.key, s) {
		if a.first {
			e.strangersOn(all, &a.ev, &everyAccount, s.attempts == 0 && s.guess == 0, false)
			e.serverAttacked(all, &a.ev)
		}
		return 1
	}

	// The count of strangers grows whether or not it makes this attempt heavier.
	n := e.strangersOn(all, &a.ev, &everyAccount, s.attempts == 0, false)
	e.serverAttacked(all, &a.ev)

	heavier := !a.guessesKnown() && a.first && !a.ev.Proven() && e.on(RuleServerUnderAttack)
	switch {
	case !heavier || n < serverUnderAttackFrom || s.failed < 2:
		return 1
	case s.failed == 2:
		return 2
	}
	return 4
}
