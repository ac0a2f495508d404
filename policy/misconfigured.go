package policy

const (
	// perMinute is how many failures a minute on one account a misconfigured endpoint makes. Phones
	// try again every 15 to 60 s. perRebootMinute is the same in a minute in which many others
	// succeed, and perMinuteUntrusted where little is known of the source.
	perMinute          = 20
	perRebootMinute    = 60
	perMinuteUntrusted = 4

	// trusted is the trust from which an account of a source may fail perMinute times a minute:
	// that of two accounts, or of one for a day.
	trusted = 1.5

	// trustPerAccount is the trust that lets one more account fail, beyond the first.
	trustPerAccount = 4

	// rebootSuccesses is the number of successes of a source that make a minute a reboot minute.
	rebootSuccesses = 5

	// With phoneFailures failures over phoneSeconds, an account fails as that of a phone does:
	// users who mistype give up before, or succeed. Where several accounts of one source fail and
	// do not succeed, severalFailures are enough: so many users do not mistype at a time. This is
	// for the alert alone.
	phoneFailures   = 8
	phoneSeconds    = 600
	severalFailures = 4

	// With hiddenFailures failures, one in hiddenPace seconds or more often, an account is guessed
	// although it also succeeds there. Users who mistype now and then do not fail so often.
	hiddenFailures = 24
	hiddenPace     = 900
)

// misconfigured reports whether an attempt is a misconfigured endpoint's: one account fails where
// others succeed, or where it succeeded before, and not too fast.
func (e *Engine) misconfigured(a *attempt) bool {
	p := a.pair
	if !e.on(RuleMisconfigured) || a.ev.Kind == KindInjection || a.ev.dialled || p == &e.spare {
		return false
	}
	limit := e.excusedPerMinute(a)
	if limit == 0 {
		return false
	}

	if int(p.countRate(e.sec, a.ev.Proven())) > limit {
		return false
	}

	e.recordPassed(a.key, a.ev)
	p.excused = count16(p.excused)
	if a.ev.Proven() {
		p.excusedProven = bump(p.excusedProven, 1)
	}
	e.failsOn(a)
	return true
}

// countRate counts a failure of an account, and returns how many there were in the minute. What is
// forged in the name of a stale phone must not make its own failures too many, so those that are proven
// count by themselves.
func (p *pair) countRate(now uint32, proven bool) uint8 {
	if p.rate == 0 || now-p.minuteAt >= 60 {
		p.minuteAt, p.rate, p.rateProven = now, 0, 0
	}
	p.rate = bump(p.rate, 1)
	if !proven {
		return p.rate
	}

	p.rateProven = bump(p.rateProven, 1)
	return p.rateProven
}

// excusedPerMinute returns how many failures a minute of an attempt's account are let pass, 0 if
// none.
func (e *Engine) excusedPerMinute(a *attempt) int {
	s, limit := a.src, perMinute
	if a.pair.okAt == 0 {
		failing, trust := s.failed, e.trust(s)
		if a.ev.Proven() {
			failing = s.failedProven
		}

		switch {
		case s.owns == 0 || int(failing) > 1+whole(trust/trustPerAccount):
			return 0
		case a.others >= accountUnderAttackFrom && trust < trustPerAccount:
			return 0
		case e.drifting(a.key), a.ev.Service == ServiceAMI:
			return 0 // a stale phone is at one address; a manager is no phone
		case a.ev.Unknown || trust < trusted:
			limit = perMinuteUntrusted
		}
	}

	// When an office reboots, all its phones come within a minute.
	if limit == perMinute && s.burst >= rebootSuccesses && e.sec-s.proofAt < 60 {
		limit = perRebootMinute
	}
	return limit
}

// failsOn notes that an account fails as a misconfigured endpoint's does. It alerts when no user
// would go on that long. It does not decide what is let pass.
func (e *Engine) failsOn(a *attempt) {
	// Since the last success, not since what counts against the source began.
	about := aboutPair(a.key, a.account)
	since, count := e.sec, uint32(1)
	if r := e.conditions.Get(alertKey{about, RuleMisconfigured}); r != 0 {
		if c := e.conditions.Val(r); c.count > 0 {
			since, count = c.since, c.count+1
		}
	}

	lasted := e.sec - since
	v := Verdict{
		Rule: RuleMisconfigured, About: AboutEndpoint, Prefix: a.key.prefix(),
		Server: a.ev.Server, Account: a.ev.Account, Attempts: int(count),
		Rate: float64(count) * 60 / float64(max(60, lasted)),
	}
	told := e.lasting(lasting{
		verdict: v, about: about, bits: a.key.bits, since: since, size: int(count),
		certain: count >= phoneFailures && lasted >= phoneSeconds ||
			!a.ev.Proven() && count >= severalFailures &&
				max(a.failing, int(a.src.failed)) >= failingFrom,
	})
	if told {
		a.pair.flags |= pairAlerted
		return
	}
	e.hiddenGuesses(a, about)
}

// hiddenGuesses alerts when an account goes on failing where it also succeeds, so that no success
// ends the failures: a second phone has an old password, or somebody guesses from the address of a
// phone that registers often. misconfigured_endpoint begins anew with each success.
func (e *Engine) hiddenGuesses(a *attempt, about subject) {
	if a.pair.okAt == 0 || !e.on(RuleProvedGuessing) {
		return
	}

	// Forgeable failures between two successes are told by spoof_suspected, if they are many.
	if r := e.alerts.Get(alertKey{about, RuleSpoofSuspected}); r != 0 &&
		e.sec-*e.alerts.Val(r) < daily && !a.ev.Proven() {
		return
	}

	since, count := e.sec, uint32(1)
	if r := e.conditions.Get(alertKey{about, RuleProvedGuessing}); r != 0 {
		if c := e.conditions.Val(r); c.count > 0 {
			since, count = c.since, c.count+1
		}
	}

	lasted := e.sec - since
	e.lasting(lasting{
		verdict: Verdict{
			Rule: RuleProvedGuessing, About: AboutEndpoint, Prefix: a.key.prefix(),
			Server: a.ev.Server, Account: a.ev.Account, Attempts: int(count),
			Rate:    float64(count) * 60 / float64(max(60, lasted)),
			Chooser: a.ev.Chooser, Owns: int(a.src.owns), Owned: e.ownedBy(a.key, a.src), Guessed: 1,
		},
		about: about, bits: a.key.bits, since: since, size: int(count),
		certain: count >= hiddenFailures && lasted >= phoneSeconds &&
			uint64(lasted) <= hiddenPace*uint64(count),
	})
}

// mended ends the condition of an account that fails at a source, since it succeeded there.
func (e *Engine) mended(k key, id accountID) {
	e.endOf(alertKey{aboutPair(k, id), RuleMisconfigured})
}

// drifting reports whether more addresses of a /64, or of one embedded IPv4 address, make failures
// that would be let pass than a stale phone has, even one that changes its address each day.
func (e *Engine) drifting(k key) bool {
	nk, embedded := k.embeddedNetwork()
	switch {
	case embedded:
	case k.is4() || len(k.spreads()) == 0:
		return false
	default:
		nk = k.masked(netBits)
	}

	n, _ := e.touchNetwork(nk)
	if n.failed.add(e.part(k, netBits)) {
		n.suspects++
	}
	return whole(n.suspects) >= manyStrangers
}

// perMinuteSince returns a rate: n in so many seconds, taken for a minute at least.
func perMinuteSince(n uint16, seconds uint32) float64 {
	return float64(n) * 60 / float64(max(60, seconds))
}

// trust returns the trust of a source that lets more of its accounts fail: no more than its number
// of accounts justifies.
func (e *Engine) trust(s *source) float32 {
	if !e.on(RuleTrust) {
		return 0
	}
	return min(s.trust, 2*float32(s.owns))
}

// arrears returns the weight of attempts that were let pass just before, and that turn out to be
// not of a misconfigured endpoint: those on this account within the minute, and one on each other
// account. So an owner of an account who guesses is stopped at the same attempt as anybody else.
// The attempt notes how many they are.
func (e *Engine) arrears(a *attempt, held float32) float32 {
	s, p := a.src, a.pair
	if s.owns == 0 || p.okAt != 0 || a.ev.Kind == KindInjection || !e.on(RuleMisconfigured) {
		return 0
	}

	// What is forged makes nothing proven heavier.
	excused, failing := int(p.excused), s.failed
	if a.ev.Proven() {
		excused, failing = int(p.excusedProven), s.failedProven
	}

	mine, others := 0, 0
	if p.fails == 0 && p.shielded == 0 && e.sec-p.failAt < 60 {
		mine = excused
	}
	if held == 0 && failing > 1 {
		others = min(int(failing)-1, 1+whole(e.trust(s)/trustPerAccount))
	}

	a.passedHere, a.passedElsewhere = mine, others
	return e.weightOf(a.ev.Kind, a.ev.Unknown, a.ev.Service) * float32(mine+others)
}
