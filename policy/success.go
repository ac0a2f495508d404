package policy

import "math"

const (
	// typos is how many failures before a success are a user's own.
	typos = 4

	// guessedAccounts is from how many other accounts on that failed at a stranger his first success is a find.
	guessedAccounts = 3

	// manyStrangers is from how many sources on that failed on an account a stranger's success on it is suspect.
	manyStrangers = 5

	// ownerNear is how many seconds before the first failure of an account at a source its owner must have succeeded elsewhere,
	// at most, to be at work there: phones register each hour or oftener. Longer ago, the owner may be the source, which moved.
	ownerNear = 2 * 3600

	// crowdMost is by how many addresses an account may keep proof from being forgotten: far more than phones that share one,
	// or move, have in a day; far less than there is room for.
	crowdMost = 1024
)

// succeeded judges a SuccessfulAuth. Over a stream, or with a password, it proves that the source receives what is sent
// to its address. It lifts no ban of the source.
func (e *Engine) succeeded(k key, o *Observation) {
	if !o.Password && !o.Stream {
		return
	}
	if o.dialled && !e.guessedAt(k, o) {
		e.proveDialled(k, o)
		return
	}
	id := e.accountOf(o.Server, o.Service, &o.Account)
	a, ar := e.touchAccount(id, o.Server, &o.Account)
	okAt := a.okAt
	a.okAt = e.sec
	e.accounts.move(ar, listOwned)
	if _, ok := e.protected.listed(k.prefix().Addr()); ok {
		return
	}
	s, r := e.touch(k)
	p, pr := e.touchPair(k, s, id)
	if e.found(k, s, r, p, o, okAt) {
		return
	}
	if p.okAt == 0 {
		if p.flags&pairStranger != 0 {
			a.strangers = max(0, a.strangers-1) // he was none: a user who erred
			if p.flags&pairStrangerProven != 0 {
				a.proven = max(0, a.proven-1)
			}
		}
		if whole(a.strangers) >= manyStrangers && e.on(ruleSuspectLogin) {
			e.alert(Verdict{
				Rule: RuleSuspectLogin, Prefix: k.prefix(), Server: o.Server, Account: o.Account, Attempts: int(s.attempts),
			}, pairKey{k.hi, k.lo, id}, hourly)
		}
	}
	e.answered(k, s)
	e.redeem(k, s, o)
	e.forgive(s, p)
	innocent := s.clean()
	e.own(s, p, pr, ar)
	e.crowd(s, a)
	e.prove(k, s, r, o.Source.Port())
	e.proveNetworks(k, innocent)
}

// guessedAt says whether a source failed so often on the account of an observation that a success on it is a find.
func (e *Engine) guessedAt(k key, o *Observation) bool {
	r, sr := e.pairs.get(pairKey{k.hi, k.lo, e.accountOf(o.Server, o.Service, &o.Account)}), e.sources.get(k.host())
	if r == 0 {
		return false
	}
	p := e.pairs.at(r).val
	if sr != 0 {
		p.anew(&e.sources.at(sr).val)
	}
	return p.fails > typos
}

// proveDialled judges a success of chan_sip whose account is doubtful: it proves the address, and says nothing of accounts.
func (e *Engine) proveDialled(k key, o *Observation) {
	if _, ok := e.protected.listed(k.prefix().Addr()); ok {
		return
	}
	s, r := e.touch(k)
	innocent := s.clean()
	e.prove(k, s, r, o.Source.Port())
	e.proveNetworks(k, innocent)
}

// found says whether a success is that of an attacker who guessed: his source is banned, and proves nothing. okAt is when
// anybody had authenticated as that account before.
func (e *Engine) found(k key, s *source, r ref, p *pair, o *Observation, okAt uint32) bool {
	pk := pairKey{k.hi, k.lo, e.accountOf(o.Server, o.Service, &o.Account)}
	before, port := p.okAt != 0, o.Source.Port()
	fails := int(p.fails)
	if fails > 0 && !before {
		fails += int(p.excused) // what was let pass was no misconfigured endpoint's, then
	}
	guessed := fails > typos && (!before || p.flags&pairProven != 0) || !before && s.owns == 0 && e.sprayed(s, p, port)
	whispered := !before && p.shielded > typos // by a source that owns other accounts, or in its name
	// Or let pass as a stale phone's, while the account's owner works elsewhere.
	taken := !before && okAt != 0 && okAt+ownerNear > p.failAt && int(p.excused)+int(p.shielded) > typos
	// Or was banned since the first: none counted meanwhile.
	relapsed := !before && p.fails > 0 && s.attempts > typos && s.strikes > 0 && p.failAt <= s.strikeAt
	switch {
	case guessed || whispered || taken || relapsed:
	case before && p.flags&(pairProven|pairTold) == 0 && int(p.fails)+int(p.excused)+int(p.shielded) > typos && e.on(ruleSpoofSuspected):
		e.alert(Verdict{
			Rule: RuleSpoofSuspected, Prefix: k.prefix(), Server: o.Server, Account: o.Account, Attempts: int(p.fails) + int(p.excused) + int(p.shielded),
		}, pk, hourly)
		return false
	default:
		return false
	}
	if !e.on(ruleCompromised) {
		return false
	}
	scope := ScopeSIP
	if p.flags&pairProven != 0 || s.proven > e.limit/2 {
		scope = ScopeAll
	}
	e.alert(Verdict{
		Rule: RuleCompromised, Prefix: k.prefix(), Scope: scope, Server: o.Server, Account: o.Account, Attempts: int(max(p.fails, p.shielded, p.excused, s.attempts)),
		Score: float64(s.proven + s.forgeable), Evidence: e.exportEvidence(k, s.attempts),
	}, pk, hourly)
	if !guessed && (!whispered || s.failPort != port || isSIPPort(port)) {
		return false // the failures may be forged or a stale phone's: told, not banned
	}
	p.fails /= 2 // so that a user who erred long gets in some time, and who guessed long is banned again
	p.shielded /= 2
	s.flags |= washed
	s.okPort, s.failPort = port, port
	if e.banScope(k) < scope {
		e.banHost(k, s, r, banCase{
			scope: scope, rule: ruleCompromised, score: s.proven + s.forgeable, attempts: max(p.fails, s.attempts, 1),
			forgeable: scope != ScopeAll, patient: true, // the success came from there
		})
	}
	return true
}

// isSIPPort says whether a forger would try this port first: that of SIP, or of SIP over TLS.
func isSIPPort(port uint16) bool { return port == 5060 || port == 5061 }

// sprayed says whether a source that owns nothing tried so many other accounts before its first success that this one is a
// find. What could have been forged counts only if it came from the very port of the success.
func (e *Engine) sprayed(s *source, p *pair, port uint16) bool {
	others := s.failed
	if p.flags&pairFailed != 0 {
		others--
	}
	score, slow := s.proven, s.slowProven
	if s.failPort == port {
		score += s.forgeable
		slow += s.slowForgeable
	}
	return others >= guessedAccounts && max(score-p.debt, slow-p.slowDebt) > e.limit/2
}

// forgive takes what an account's failures added from its source's scores: whoever errs and then succeeds is no attacker.
func (e *Engine) forgive(s *source, p *pair) {
	s.proven, s.forgeable = less(s.proven, s.forgeable, p.debt)
	s.slowProven, s.slowForgeable = less(s.slowProven, s.slowForgeable, p.slowDebt)
	if s.proven+s.forgeable < e.calm {
		s.proven, s.forgeable = 0, 0
	}
	if s.slowProven+s.slowForgeable < e.slowCalm && s.proven+s.forgeable == 0 {
		s.slowProven, s.slowForgeable, s.attempts = 0, 0, 0
	}
	p.debt, p.slowDebt, p.fails, p.excused, p.shielded, p.failAt, p.rate, p.excusedProven = 0, 0, 0, 0, 0, 0, 0, 0
	p.flags &^= pairProven | pairTold
	s.unfail(p)
}

// redeem forgives the failure of the very request that now succeeded. Where Asterisk knows phones by auth_username, it calls
// their first request one of an unknown account when several come at once (capture 12).
func (e *Engine) redeem(k key, s *source, o *Observation) {
	r := e.requests.get(keyOf(k, o))
	if r == 0 {
		return
	}
	q := &e.requests.at(r).val
	if e.now-q.at > creditWindow {
		return
	}
	if pr := e.pairs.get(pairKey{k.hi, k.lo, e.accountOf(o.Server, ServicePJSIP, &q.account)}); pr != 0 && e.pairs.at(pr).val.okAt == 0 {
		if !o.Stream {
			w := e.weight(q.kind, false, ServicePJSIP)
			s.guess, s.slowGuess = max(0, s.guess-w), max(0, s.slowGuess-w)
		}
		e.pairs.mark(pr)
		p := &e.pairs.at(pr).val
		p.anew(s)
		if int(p.fails)+int(p.excused)+int(p.shielded) <= 1 { // nothing else
			e.forgive(s, p)
		}
	}
	e.requests.remove(r)
}

// less takes debt from the forgeable score first, then from the proven one.
func less(proven, forgeable, debt float32) (p, f float32) {
	if debt <= forgeable {
		return proven, forgeable - debt
	}
	return max(0, proven-(debt-forgeable)), 0
}

// own notes that a source authenticated as an account, and lets its trust grow: by one for each account and half day.
func (e *Engine) own(s *source, p *pair, pr, ar ref) {
	const halfDay = 12 * 3600
	if (p.flags&pairOwned == 0 || s.owns == 0) && s.owns < math.MaxUint8 { // 0: the source was forgotten meanwhile
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
	e.pairs.move(pr, listOwned)
}

// crowd notes that a source is about to prove itself by an account. Who owns one account and a network of IPv6 can log in from
// more addresses than there is room for: beyond crowdMost in a proof window, their proof counts, but is the first to be
// forgotten. Else it would take the room of the proof of phones, which forged packets could then cut off.
func (e *Engine) crowd(s *source, a *account) {
	if e.proved(s) && s.flags&inCrowd == 0 {
		return
	}
	if e.sec-a.crowdAt >= e.proofWindow {
		a.crowdAt, a.crowd = e.sec, 0
	}
	s.flags &^= inCrowd
	if a.crowd >= crowdMost {
		s.flags |= inCrowd
		return
	}
	a.crowd++
}

// prove notes that a source receives what is sent to it. Its first proof does not wash what it did before, from the same
// port: see washed.
func (e *Engine) prove(k key, s *source, r ref, port uint16) {
	if s.flags&hasProof == 0 && s.attempts > 0 && s.failPort == port && !isSIPPort(port) {
		s.flags |= washed
	}
	s.proofAt = e.sec
	s.okPort = port
	s.flags |= hasProof
	e.classify(k, r)
}

// proveNetworks notes that the prefixes of a host hold a proved address. Their bans are lifted if it never failed.
func (e *Engine) proveNetworks(k key, innocent bool) {
	for _, sp := range k.spreads() {
		nk := k.masked(sp.bits)
		n, nr := e.touchNetwork(nk)
		n.proofAt = e.sec
		n.flags |= hasProof
		e.classifyNetwork(nk, nr)
		if innocent && e.banScope(nk) != ScopeNone {
			e.lift(e.bans.get(nk), RuleProved)
		}
	}
}
