package policy

import "github.com/amifend/amifend/policy/internal/table"

const (
	// perMinute is how many failures a minute on one account a misconfigured endpoint makes, perRebootMinute in a minute in
	// which many others succeed, and perMinuteUntrusted where little is known of the source: phones try again every 15 to
	// 60 s.
	perMinute          = 20
	perRebootMinute    = 60
	perMinuteUntrusted = 4

	// trusted is the trust from which on a source's failing account may fail perMinute: two accounts, or one for a day.
	trusted = 1.5

	// trustPerAccount is how much trust lets one more account fail, beyond the first.
	trustPerAccount = 4

	// rebootSuccesses is how many successes of a source make a minute a reboot minute.
	rebootSuccesses = 5

	// toldAfter and toldSeconds are how many failures, over how long, are a misconfigured endpoint's. Fewer, or faster ones,
	// may be a user's, or forged.
	toldAfter   = 4
	toldSeconds = 20
)

// evidence returns what an observation says about its source.
func (e *Engine) evidence(o *Observation) Evidence {
	ev := Evidence{
		At: e.now, Kind: o.Kind, Service: o.Service, Chooser: o.Chooser(), Unknown: o.Unknown,
		Server: o.Server, Port: o.Source.Port(), Account: o.Account, dialled: o.dialled,
	}
	if o.Injected {
		ev.Kind = KindInjection
	}
	ev.Weight = e.weight(ev.Kind, o.Unknown, o.Service)
	return ev
}

// weight is what a kind weighs before anything is known of its source.
func (e *Engine) weight(kind Kind, unknown bool, service Service) float32 {
	switch {
	case kind >= KindCount || service == ServiceAMI && !e.on(RuleAMIGuessing):
		return 0
	case kind == KindChallengeResponseFailed && unknown:
		return float32(e.opt.UnknownWeight)
	}
	return float32(e.opt.Weights[kind])
}

// count adds an attempt to the scores of its source, and decides. A rule of its own is a trap: it bans at the first attempt.
func (e *Engine) count(k key, ev Evidence, own Rule) {
	if ev.Weight <= 0 {
		return
	}
	covered, ok := e.counts(k, &ev)
	if !ok {
		return
	}
	s, r := e.touch(k)
	id := e.accountOf(ev.Server, ev.Service, &ev.Account)
	p := e.failing(k, s, id, ev.Proven())
	if p.fails == 0 && p.excused == 0 && p.shielded == 0 {
		p.failAt = e.sec
	}
	s.failPort = ev.Port
	if ev.Proven() {
		p.flags |= pairProven
	}
	first, others := false, 0
	if ev.Kind != KindInjection {
		first = s.fail(p, ev.Proven())
	}
	if p.okAt == 0 && ev.Kind != KindInjection && !ev.Unknown && ev.Account.n > 0 {
		firstHere, firstProven := p.stranger(ev.Proven())
		others = e.strangersOn(id, &ev, &ev.Account, firstHere, firstProven)
		e.accountAttacked(id, &ev)
	}
	if own == RuleNone && e.misconfigured(k, s, p, id, &ev, others) {
		e.stats.Excused++
		return
	}
	if own == RuleNone {
		e.weigh(s, p, &ev, first, others)
	}
	ev.Weight += e.arrears(s, p, &ev)
	if !ev.Proven() && e.proved(s) {
		e.stats.Shielded++
		p.shielded = count16(p.shielded)
		e.guessing(k, s, r, p, id, &ev, others)
		return
	}
	e.stats.Counted++
	p.charge(&ev)
	e.add(s, &ev)
	e.keep(k, ev)
	e.decide(k, s, r, &ev, covered, own)
}

// maxFailed is how many accounts that fail at one source are remembered, so that nobody fills the memory with names; of those
// that fail with proven evidence as many again.
const maxFailed = 64

// failing returns the record of an account that fails at a source. What it says of one too many is forgotten at once.
func (e *Engine) failing(k key, s *source, id accountID, proven bool) *pair {
	n := s.failed
	if proven {
		n = s.failedProven
	}
	if n >= maxFailed && e.pairs.Get(pairKey{k.hi, k.lo, id}) == 0 {
		e.spare = pair{touched: e.sec, pardon: s.pardon, flags: pairFailed | pairFailedProven | pairStranger | pairStrangerProven}
		return &e.spare
	}
	p, r := e.touchPair(k, s, id)
	if e.pairs.List(r) == listTried && p.fails+p.excused+p.shielded > 0 {
		e.pairs.Move(r, listGuessed)
	}
	return p
}

// counts says whether an attempt is held against its source at all, and what a running ban covers already.
func (e *Engine) counts(k key, ev *Evidence) (covered Scope, ok bool) {
	if _, listed := e.protected.listed(k.prefix().Addr()); listed {
		e.stats.Protected++
		return ScopeNone, false
	}
	if br := e.covering(k); br != 0 {
		covered = e.bans.Val(br).scope
	}
	if covered == ScopeAll || covered == ScopeSIP && !ev.Proven() {
		e.stats.Covered++
		return covered, false
	}
	return covered, true
}

// misconfigured says whether an attempt is a misconfigured endpoint's: one account fails where others succeed, or where it
// succeeded before, and not too fast.
func (e *Engine) misconfigured(k key, s *source, p *pair, id accountID, ev *Evidence, others int) bool {
	if !e.on(RuleMisconfigured) || ev.Kind == KindInjection || ev.dialled || p == &e.spare {
		return false
	}
	limit := perMinute
	if p.okAt == 0 {
		failing, trust := s.failed, e.trust(s)
		if ev.Proven() {
			failing = s.failedProven
		}
		switch {
		case s.owns == 0 || int(failing) > 1+whole(trust/trustPerAccount):
			return false
		case others >= crowded && trust < trustPerAccount, e.drifting(k), ev.Service == ServiceAMI:
			return false // a stale phone is at one address; a manager is no phone
		case ev.Unknown || trust < trusted:
			limit = perMinuteUntrusted
		}
	}
	if limit == perMinute && s.burst >= rebootSuccesses && e.sec-s.proofAt < 60 {
		limit = perRebootMinute
	}
	if p.rate == 0 || e.sec-p.minuteAt >= 60 {
		p.minuteAt, p.rate = e.sec, 0
	}
	p.rate = bump(p.rate, 1)
	if int(p.rate) > limit {
		return false
	}
	p.excused = count16(p.excused)
	if ev.Proven() {
		p.excusedProven = bump(p.excusedProven, 1)
	}
	if lasted := e.sec - p.failAt; p.excused >= toldAfter && lasted >= toldSeconds && p.flags&pairTold == 0 {
		told := e.alert(Verdict{
			Rule: RuleMisconfigured, Prefix: k.prefix(), Server: ev.Server, Account: ev.Account, Attempts: int(p.excused),
			Rate: perMinuteSince(p.excused, lasted),
		}, pairKey{k.hi, k.lo, id}, daily)
		if told {
			p.flags |= pairTold
		}
	}
	return true
}

// drifting says whether so many addresses of a /64 make failures that would be let pass, as no stale phone does, even one
// that changes its address each day.
func (e *Engine) drifting(k key) bool {
	if k.is4() || len(k.spreads()) == 0 {
		return false
	}
	n, _ := e.touchNetwork(k.masked(netBits))
	if n.failed.add(e.part(k, netBits)) {
		n.suspects++
	}
	return whole(n.suspects) >= manyStrangers
}

// perMinuteSince is a rate: n in so many seconds, taken for a minute at least.
func perMinuteSince(n uint16, seconds uint32) float64 {
	return float64(n) * 60 / float64(max(60, seconds))
}

// trust is what lets more of a source's accounts fail: no more than its number of accounts bears out.
func (e *Engine) trust(s *source) float32 {
	if !e.on(RuleTrust) {
		return 0
	}
	return min(s.trust, 2*float32(s.owns))
}

// arrears is what attempts that were let pass just before weigh after all, now that they turn out to be no misconfigured
// endpoint's: those on this account within the minute, and one on each other account. So an owner of an account who guesses
// is stopped at the same attempt as anybody else.
func (e *Engine) arrears(s *source, p *pair, ev *Evidence) float32 {
	if s.owns == 0 || p.okAt != 0 || ev.Kind == KindInjection || !e.on(RuleMisconfigured) {
		return 0
	}
	n := 0
	excused, failing, score := int(p.excused), s.failed, s.guess+s.forgeable
	if ev.Proven() {
		excused, failing, score = int(p.excusedProven), s.failedProven, s.proven // what is forged makes nothing else heavier
	}
	if p.fails == 0 && p.shielded == 0 && e.sec-p.failAt < 60 {
		n = excused
	}
	if score == 0 && failing > 1 {
		n += min(int(failing)-1, 1+whole(e.trust(s)/trustPerAccount))
	}
	return e.weight(ev.Kind, ev.Unknown, ev.Service) * float32(n)
}

// weigh makes an attempt heavier where it is part of something larger: another account at the same source, an account or
// a server that many strangers try.
func (e *Engine) weigh(s *source, p *pair, ev *Evidence, first bool, others int) {
	guess := !ev.Unknown && (ev.Kind == KindChallengeResponseFailed || ev.Kind == KindInvalidPassword || ev.Kind == KindChallengeSent)
	factor := float32(1)
	if first && e.on(RuleEnumeration) {
		// Unknown accounts weigh their full weight at once, known ones catch up: either way the fourth one bans.
		n := float32(s.failed)
		if ev.Proven() {
			n = float32(s.failedProven) // what is forged makes nothing else heavier
		}
		if guess {
			factor += min((n-1)/2, 3)
		} else {
			factor += min(max(0, n-6)/4, 3)
		}
	}
	if e.on(RuleAccountUnderAttack) {
		factor *= crowd(others)
	}
	if stranger := s.owns == 0 && p.okAt == 0 && !e.proved(s) && ev.Kind != KindInjection; stranger {
		all := e.accountOf(ev.Server, ev.Service, &everyAccount)
		n := e.strangersOn(all, ev, &everyAccount, s.attempts == 0, false)
		e.serverAttacked(all, ev)
		if !guess && first && !ev.Proven() && e.on(RuleServerUnderAttack) {
			factor = max(factor, siege(n, s.failed))
		}
	}
	if ev.Proven() {
		factor = min(factor, maxProvenFactor)
	}
	ev.Weight *= min(factor, maxFactor)
}

// maxFactor is how much heavier an attempt gets at most, and maxProvenFactor one that is proven: the strangers around it
// may be forged, and its ban is longer and of all traffic.
const (
	maxFactor       = 8
	maxProvenFactor = 2.5
)

// everyAccount stands for all accounts of a server. No account can have its hash but by an accident of 1 in 2^64.
var everyAccount = Label{hash: 0x5eed_0f_a11_acc05}

// crowded is from how many other sources on an account is under attack.
const crowded = 3

// crowd is how much more a stranger's attempt weighs on an account on which n other strangers failed within hours.
func crowd(n int) float32 {
	if n < crowded {
		return 1
	}
	return 1 + float32(min(n, 100)-2)/2
}

// siege is how much more a stranger's attempt on an unknown account weighs when n other strangers failed on the server
// within hours: twice on his second account, four times from the third on. The first one, and wrong passwords, are left
// alone: users who err are strangers, too. So is what is proven, since the strangers may be forged.
func siege(n int, accounts uint8) float32 {
	switch {
	case n < 30 || accounts < 2:
		return 1
	case accounts == 2:
		return 2
	default:
		return 4
	}
}

// guessing judges forgeable evidence in the name of a proved source: it tells of it when a stranger would be banned.
func (e *Engine) guessing(k key, s *source, r table.Ref, p *pair, id accountID, ev *Evidence, others int) {
	if !e.on(RuleProvedGuessing) {
		return
	}
	if s.guess == 0 && s.attempts == 0 {
		s.since = e.sec
	}
	most := maxScore * float32(e.opt.Threshold)
	s.guess = min(s.guess+ev.Weight, most)
	s.slowGuess = min(s.slowGuess+ev.Weight, most)
	e.guessingNear(k, ev)
	about := pairKey{k.hi, k.lo, 0}
	if s.guess <= e.limit && s.slowGuess <= slowFactor*e.limit {
		if others < manyStrangers {
			return
		}
		about = pairKey{account: id} // a little each, by many who own accounts
	}
	v := Verdict{
		Rule: RuleProvedGuessing, Prefix: k.prefix(), Server: ev.Server, Account: ev.Account, Score: float64(s.guess),
		Attempts: int(p.shielded), Rate: perMinuteSince(p.shielded, e.sec-p.failAt),
		Owns: int(s.owns), Owned: e.ownedBy(k, s), Guessed: int(s.failed),
	}
	e.alert(v, about, hourly)
	if e.opt.BanProvedGuessers && about.account == 0 {
		e.keep(k, *ev)
		e.banHost(k, s, r, banCase{
			scope: ScopeSIP, rule: RuleProvedGuessing, score: s.guess, attempts: s.attempts + 1, forgeable: true,
			brief: !ev.Chooser.needsSpoofing(), patient: e.patient(k), chooser: ev.Chooser,
		})
	}
}

// guessingNear tells of guesses in the names of several proved addresses of a /64 that are few each.
func (e *Engine) guessingNear(k key, ev *Evidence) {
	if k.is4() || len(k.spreads()) == 0 {
		return
	}
	nk := k.masked(netBits)
	n, _ := e.touchNetwork(nk)
	n.guess = min(n.guess+ev.Weight, maxScore*float32(e.opt.Threshold))
	if n.guess > e.limit {
		e.alert(Verdict{
			Rule: RuleProvedGuessing, Prefix: nk.prefix(), Server: ev.Server, Account: ev.Account, Score: float64(n.guess),
		}, pairKey{nk.hi, nk.lo, 1}, hourly)
	}
}

// ownedBy returns the account that a source last authenticated as, if it is still remembered.
func (e *Engine) ownedBy(k key, s *source) Label {
	if !e.accounts.Used(s.owned) {
		return Label{}
	}
	if r := e.pairs.Get(pairKey{k.hi, k.lo, e.accounts.Key(s.owned)}); r == 0 || e.pairs.Val(r).okAt == 0 {
		return Label{}
	}
	return e.accounts.Val(s.owned).label()
}
