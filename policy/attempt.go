package policy

import (
	"math"

	"github.com/amifend/amifend/policy/internal/table"
)

// An attempt is a request that is held against its source, on its way through the rules. It lives
// for one call of count or unanswered; its pointers are valid for as long.
type attempt struct {
	key     key // of the source
	ev      Evidence
	covered Scope // of the ban that covers the source already

	src    *source
	srcRef table.Ref

	pair    *pair // the account at the source
	account accountID
	first   bool // the account fails for the first time at this source
	others  int  // other sources that failed on the account lately

	failing int // accounts that log in at the site and fail there now, if this is one of them

	// attempts before it that were let pass and count with it: on its account, and on others
	passedHere, passedElsewhere int
	arrears                     float32 // their weight, a part of ev.Weight

	// rule is the rule of the ban, if there is one, in place of that of the score. It may be
	// RuleNone.
	rule Rule

	// It is judged again, as a proven one, and was counted before: see [Engine.Confirm].
	recounted bool
}

// evidence returns the attempt as it is shown, without the weight of what was let pass before it,
// which is shown by itself.
func (a *attempt) evidence() Evidence {
	ev := a.ev
	ev.Weight -= a.arrears
	return ev
}

// evidenceOf returns the evidence that an observation is.
func (e *Engine) evidenceOf(o *Observation) Evidence {
	ev := Evidence{
		At: e.now, Kind: o.Kind, Service: o.Service, Chooser: o.Chooser(), Unknown: o.Unknown,
		Server: o.Server, Port: o.Source.Port(), Account: o.Account, dialled: o.dialled,
	}
	if o.Injected {
		ev.Kind = KindInjection
	}
	ev.Weight = e.weightOf(ev.Kind, o.Unknown, o.Service)
	return ev
}

// count adds an attempt to the scores of its source, and decides. trap is the rule that bans at the
// first attempt, RuleNone if none does.
func (e *Engine) count(k key, ev Evidence, trap Rule) {
	e.latest = tentative{}
	if ev.Weight <= 0 {
		return
	}
	covered, ok := e.chargeable(k, &ev)
	if !ok {
		e.behindName(k, &ev)
		return
	}

	a := attempt{key: k, ev: ev, covered: covered, rule: trap}
	e.identify(&a)

	shared := e.sharedSite(k)
	if a.pair.okAt != 0 && ev.Kind != KindInjection { // what that names may be the attacker's text
		e.failedAtHome(shared, &a)
	}

	// A trap has its own weight, and no stale phone falls into one.
	if trap == RuleNone {
		if e.misconfigured(&a) {
			e.stats.Excused++
			e.latest = a.tentative(fateExcused)
			return
		}
		e.weigh(&a)
	}

	// Forgeable evidence is not held against a source that proved itself, and no evidence against
	// one that many share: there is only an alert.
	a.arrears = e.arrears(&a, e.heldScore(&a, shared))
	a.ev.Weight += a.arrears
	if shared != nil && a.ev.Proven() {
		e.sharedGuessing(shared, &a)
		return
	}
	if !a.ev.Proven() && (shared != nil || e.provedAt(a.key, a.src)) {
		e.stats.Shielded++
		a.pair.shielded = count16(a.pair.shielded)
		e.provedGuessing(&a)
		e.latest = a.tentative(fateShielded)
		return
	}

	a.pair.charge(&a.ev, e.slowWeight(&a.ev))
	e.charge(&a)
	e.latest = a.tentative(fateCounted)
}

// heldScore returns the score of what has been counted against a source before an attempt of it,
// as far as it is as trustworthy as the attempt. shared is its site if that is a shared one.
func (e *Engine) heldScore(a *attempt, shared *site) float32 {
	switch {
	case shared != nil && a.ev.Proven():
		e.fadeGuess(shared)
		return shared.guess
	case a.ev.Proven():
		return a.src.proven
	}
	return a.src.guess + a.src.forgeable
}

// charge adds an attempt to the scores of its source, and bans what is due.
func (e *Engine) charge(a *attempt) {
	if !a.recounted {
		e.stats.Counted++
	}
	e.add(a.src, &a.ev)
	if n := a.passedHere + a.passedElsewhere; n > 0 {
		a.src.attempts = uint16(min(int(a.src.attempts)+n, math.MaxUint16)) // checked
		e.countPassed(a, a.key)
	}
	e.recordEvidence(a.key, a.evidence())
	e.decide(a)
}

// identify finds the records of an attempt's source and account, and notes that they failed.
func (e *Engine) identify(a *attempt) {
	ev := &a.ev
	a.src, a.srcRef = e.touch(a.key)
	a.account = e.accountOf(ev.Server, ev.Service, &ev.Account)
	a.pair = e.failingPair(a.key, a.src, a.account, ev.Proven())

	p := a.pair
	if p.fails == 0 && p.excused == 0 && p.shielded == 0 {
		p.failAt = e.sec
	}
	a.src.failPort = ev.Port
	if ev.Proven() {
		p.flags |= pairProven
	}

	// The account that an injected packet names may be the attacker's text.
	if ev.Kind == KindInjection {
		return
	}
	a.first = a.src.noteFailed(p, ev.Proven())

	// Whoever authenticated as the account is no stranger to it, and `<unknown>` names no account.
	if p.okAt == 0 && !ev.Unknown && ev.Account.n > 0 {
		firstHere, firstProven := p.noteStranger(ev.Proven())
		a.others = e.strangersOn(a.account, ev, &ev.Account, firstHere, firstProven)
		e.accountAttacked(a.account, ev, false)
	}
}

// maxFailed is how many accounts that fail at one source are remembered, so that nobody fills the
// memory with names. There is as much room again for accounts that fail with proven evidence.
const maxFailed = 64

// failingPair returns the record of an account that fails at a source. An account beyond maxFailed
// gets a spare record, which is not remembered.
func (e *Engine) failingPair(k key, s *source, id accountID, proven bool) *pair {
	n := s.failed
	if proven {
		n = s.failedProven
	}
	if n >= maxFailed && e.pairs.Get(pairKey{k.hi, k.lo, id}) == 0 {
		e.spare = pair{
			touched: e.sec, pardon: s.pardon,
			flags: pairFailed | pairFailedProven | pairStranger | pairStrangerProven,
		}
		return &e.spare
	}

	p, r := e.touchPair(k, s, id)
	if e.pairs.List(r) == listTried && p.fails+p.excused+p.shielded > 0 {
		e.pairs.Move(r, listGuessed)
	}
	return p
}

// chargeable reports whether an attempt is held against its source at all, and returns the scope of
// the ban that covers the source already.
func (e *Engine) chargeable(k key, ev *Evidence) (covered Scope, ok bool) {
	if e.spares(k, ev.Server) {
		e.stats.Protected++
		return ScopeNone, false
	}

	// What a ban does not drop counts under it: proven evidence comes over a connection, which a
	// ban of the SIP ports may let pass, and forgeable evidence comes to the SIP ports.
	drops := ScopeSIP
	if ev.Chooser == ChooserNobody {
		drops = ScopeStream
	}
	_, covered = e.covering(k)
	if covered.Covers(drops) {
		e.stats.Covered++
		return covered, false
	}
	return covered, true
}
