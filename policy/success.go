package policy

import (
	"math"

	"github.com/amifend/amifend/policy/internal/table"
)

const (
	// typos is the number of failures before a success that are taken for a user's own.
	typos = 4

	// manyStrangers is the number of sources that failed on an account from which a stranger's
	// success on it is suspect.
	manyStrangers = 5
)

// succeeded judges a SuccessfulAuth. With a password, or where nobody could have chosen its
// address, it proves its source, as far as its class lets it: see [Chooser]. It lifts no ban of the
// source.
func (e *Engine) succeeded(k key, o *Observation) {
	if !o.Password && !o.Chooser().Proven() {
		return // chan_sip over TCP, without a password: anybody can cause it in any name
	}
	if o.dialled && !e.guessedAt(k, o) {
		e.proveDialled(k, o)
		return
	}

	id := e.accountOf(o.Server, o.Service, &o.Account)
	a, ar := e.touchAccount(id, o.Server, &o.Account)
	okAt := a.okAt
	a.okAt = e.sec
	e.accounts.Move(ar, listOwned)
	if e.spares(k, o.Server) {
		return
	}

	s, r := e.touch(k)
	p, pr := e.touchPair(k, s, id)
	found := false
	if !o.confirmed { // it was looked at when it came
		var banned bool
		if found, banned = e.compromised(k, s, r, p, o, okAt); banned {
			return
		}
	}
	if !found {
		e.keepSuccess(k, s, o)
	}
	if p.okAt == 0 {
		e.firstSuccess(k, s, p, a, o, id)
	}

	// What the success takes back does not depend on whether it may shield the address.
	e.answered(k, s, o.Chooser())
	e.forgiveRequest(k, s, o)
	e.forgiveAccount(s, p, o.Chooser())
	e.mended(k, id)
	innocent := s.clean()
	if !e.vouched(k, s, id, o) {
		return
	}

	before := e.ownedAccount(k, s)
	e.own(s, p, pr, ar)
	e.loggedIn(k, s, id, before, o)
	e.prove(k, s, r, o)
	e.proveNetworks(k, innocent, o.Chooser())
}

// firstSuccess takes a source out of the strangers of an account that it now authenticated as, and
// alerts when many others guess that account.
func (e *Engine) firstSuccess(k key, s *source, p *pair, a *account, o *Observation, id accountID) {
	if p.flags&pairStranger != 0 {
		// It was no stranger, but a user who erred.
		a.strangers = max(0, a.strangers-1)
		if p.flags&pairStrangerProven != 0 {
			a.proven = max(0, a.proven-1)
		}
	}

	if whole(a.strangers) >= manyStrangers && e.on(RuleSuspectLogin) {
		e.suspectLogin(k, s, o, id)
	}
}

// suspectLogin alerts of a stranger's success on an account that many others guess.
func (e *Engine) suspectLogin(k key, s *source, o *Observation, id accountID) {
	e.alert(Verdict{
		Rule: RuleSuspectLogin, Prefix: k.prefix(), Server: o.Server, Account: o.Account,
		Attempts: int(s.attempts), Chooser: o.Chooser(),
	}, aboutPair(k, id), hourly)
}

// guessedAt reports whether a source failed so often on the account of an observation that a
// success on it is a find.
func (e *Engine) guessedAt(k key, o *Observation) bool {
	id := e.accountOf(o.Server, o.Service, &o.Account)
	r := e.pairs.Get(pairKey{k.hi, k.lo, id})
	if r == 0 {
		return false
	}

	p := *e.pairs.Val(r)
	p.applyPardon(e.recordOr(k))

	return int(p.fails)+int(p.excused)+int(p.shielded) > typos
}

// proveDialled judges a success of chan_sip whose account is doubtful: it proves the address, and
// no account. Whoever has an account can dial any number, so all such successes of a server count
// as those of one account.
func (e *Engine) proveDialled(k key, o *Observation) {
	if e.spares(k, o.Server) {
		return
	}

	s, r := e.touch(k)
	innocent := s.clean()
	if !e.vouched(k, s, e.accountOf(o.Server, o.Service, &everyAccount), o) {
		return
	}

	e.prove(k, s, r, o)
	e.proveNetworks(k, innocent, o.Chooser())
}

// forgiveAccount takes from a source's scores what an account's failures added: a user who mistypes
// and then succeeds is not an attacker. Proven failures stay unless the success is proven.
func (e *Engine) forgiveAccount(s *source, p *pair, by Chooser) {
	e.forgive(s, &p.debt, by)
	p.shielded = 0
	p.flags &^= pairAlerted
	if !by.Proven() && p.flags&pairProven != 0 {
		p.fails, p.excused = p.provenFails, uint16(p.excusedProven)
		return
	}

	p.fails, p.provenFails, p.excused, p.excusedProven, p.failAt = 0, 0, 0, 0, 0
	p.rate, p.rateProven = 0, 0
	p.flags &^= pairProven
	s.uncountFailed(p)
}

// forgiveRequest forgives the failure of the very request that now succeeded. Where Asterisk finds
// phones by auth_username, it reports an unknown account for their first requests when several come
// at once (capture 12).
func (e *Engine) forgiveRequest(k key, s *source, o *Observation) {
	r := e.requests.Get(keyOf(k, o))
	if r == 0 {
		return
	}

	q := e.requests.Val(r)
	if e.now-q.at > creditWindow {
		return
	}

	id := e.accountOf(o.Server, ServicePJSIP, &q.account)
	if pr := e.pairs.Get(pairKey{k.hi, k.lo, id}); pr != 0 && e.pairs.Val(pr).okAt == 0 {
		if !o.Stream {
			w := e.weightOf(q.kind, false, ServicePJSIP)
			s.guess, s.slowGuess = max(0, s.guess-w), max(0, s.slowGuess-w)
		}

		e.pairs.Mark(pr)
		p := e.pairs.Val(pr)
		p.applyPardon(s)
		if int(p.fails)+int(p.excused)+int(p.shielded) <= 1 { // nothing else
			e.forgiveAccount(s, p, o.Chooser())
		}
	}

	e.requests.Remove(r)
}

// own notes that a source authenticated as an account, and lets its trust grow: by one for each
// account and half day.
func (e *Engine) own(s *source, p *pair, pr, ar table.Ref) {
	const halfDay = 12 * 3600

	// 0: the source was forgotten meanwhile
	if (p.flags&pairOwned == 0 || s.owns == 0) && s.owns < math.MaxUint8 {
		s.owns++
		p.flags |= pairOwned
	}

	if p.okAt == 0 || p.okAt/halfDay != e.sec/halfDay {
		s.trust = min(s.trust+1, maxTrust)
	}

	switch minute := e.sec / 60; {
	case s.proofAt/60 != minute:
		s.burst = 1
	case p.okAt/60 != minute:
		s.burst = bump(s.burst, 1)
	}

	p.okAt = max(e.sec, 1)
	s.owned = ar
	e.pairs.Move(pr, listOwned)
}

// prove notes that a source proved itself. If it failed before its first proof, from the same port,
// that is noted for explanations: see washed.
func (e *Engine) prove(k key, s *source, r table.Ref, o *Observation) {
	port := o.Source.Port()
	switch {
	case o.Chooser().Proven():
		s.flags &^= lateProof
		s.flags |= firmProof
	case s.flags&flagProof == 0 && s.owns <= 1 && s.proven > 0: // owns counts this success
		s.flags |= lateProof
	}

	if s.flags&flagProof == 0 && s.attempts > 0 && s.failPort == port {
		s.flags |= washed
	}
	s.proofAt = e.sec
	s.okPort = port
	s.flags |= flagProof
	e.classify(k, r)
}

// proveNetworks notes that the prefixes of a host hold a proved address. If it never failed, their
// bans are lifted. A ban on proven evidence takes a success whose address nobody could have chosen.
func (e *Engine) proveNetworks(k key, innocent bool, by Chooser) {
	for _, sp := range k.spreads() {
		nk := k.masked(sp.bits)
		n, nr := e.touchNetwork(nk)
		n.proofAt = e.sec
		n.flags |= flagProof
		e.classifyNetwork(nk, nr)

		for _, r := range e.bansOf(nk) {
			if !innocent || r == 0 || e.bans.Val(r).scope != ScopeSIP && !by.Proven() {
				continue
			}

			proven, offenders := n.proven, n.provenOffenders
			e.lift(r, RuleProved)
			if !by.Proven() { // what is proven stays
				n.proven, n.provenOffenders, n.offenders = proven, offenders, offenders
			}
		}
	}
}
