package policy

// spreadScore returns what the score of a prefix asks for, if enough of its parts failed.
func (e *Engine) spreadScore(n *network, sp spread) claim {
	if !e.on(RuleSpreadScore) || whole(n.suspects) < sp.suspects {
		return claim{}
	}

	// A proven claim needs as many parts with proven evidence: the others may be forged.
	switch limit := sp.factor * e.limit; {
	case n.proven > limit && whole(n.provenSuspects) >= sp.suspects:
		return claim{RuleSpreadScore, ChooserNobody}
	case n.proven+spoofedPart(n.forgeable, n.chosen) > limit:
		return claim{RuleSpreadScore, ChooserSpoofer}
	case n.proven+n.forgeable > limit:
		return claim{RuleSpreadScore, ChooserAnybody}
	}

	return claim{}
}

// secondOffender returns what the bans in a prefix ask for when a ban of weight want is due for one
// more part of it.
func (e *Engine) secondOffender(n *network, sp spread, part uint32, want weight) claim {
	if !e.on(RuleSecondOffender) {
		return claim{}
	}
	offenders, proven := n.offenders, n.provenOffenders
	i := n.banned.index(part)
	if i < 0 {
		offenders++
	}
	if i < 0 || n.banned[i]&provenPart == 0 {
		proven++
	}

	// The offences of the others may be forged, however certain this one is.
	switch {
	case want == weightProven && proven >= sp.offenders:
		return claim{RuleSecondOffender, ChooserNobody}
	case offenders >= sp.offenders:
		return claim{RuleSecondOffender, ChooserSpoofer}
	}
	return claim{}
}

// mayBan reports whether a prefix may be banned at all.
func (e *Engine) mayBan(nk key) bool {
	if _, bad := e.protected.Overlaps(nk.prefix()); bad {
		return false
	}
	if e.blind && e.sec-e.blindAt < e.proofWindow {
		return false // it cannot be known which prefixes hold a proved address
	}
	return e.networks.Count(listBanned) < e.networks.Max()/2
}

// decideNetwork bans a prefix if that is due and allowed. want is the weight of the offence of its
// host; covered is what is banned already. It returns the scope of the ban, or ScopeNone if there
// is none.
func (e *Engine) decideNetwork(a *attempt, sp spread, want weight, covered Scope) Scope {
	nk, part := a.key.masked(sp.bits), e.part(a.key, sp.bits)
	n, nr := e.touchNetwork(nk)

	c := e.spreadScore(n, sp)
	if want > c.weight() {
		if o := e.secondOffender(n, sp, part, want); o.weight() > c.weight() {
			c = o
		}
	}
	if c.rule == RuleNone || !e.mayBan(nk) {
		return ScopeNone
	}
	c.chooser = a.over(c.chooser)

	st := e.sentence(e.occupantIn(nk, n), c.chooser)
	if covered.Covers(st.scope) {
		return ScopeNone
	}

	// A proved address saves its prefix, unless that is a /64 full of proven offenders.
	outweighed := c.weight() == weightProven && sp.bits == netBits && n.provenOffenders >= manyOffenders
	if e.holdsProof(n) && !outweighed {
		goesOn := sp.bits <= netBits && a.src.attempts > 1
		if goesOn && c.rule == RuleSpreadScore && want < c.weight() {
			return e.banSpread(a, n, c)
		}

		return ScopeNone
	}

	made := e.ban(nk, &n.strikes, &n.strikeAt, banCase{
		sentence: st, rule: c.rule, score: n.scoreOf(c), attempts: n.attempts, chooser: c.chooser,
		patient: e.patient(a.key), wide: true,
	})

	if !made {
		return ScopeNone
	}

	e.networks.Move(nr, listBanned)
	if !st.brief() {
		n.offend(part, max(c.weight(), want), n.strikeAt)
	}

	return st.scope
}

// scoreOf returns the score that a claim rests on.
func (n *network) scoreOf(c claim) float32 {
	if c.weight() == weightProven {
		return n.proven
	}
	return n.proven + n.forgeable
}

// manyOffenders is the number of addresses of a /64, all banned on proven evidence, that outweighs
// a proved address among them. Without it, the owner of a /64 could fill the firewall with bans of
// single addresses.
const manyOffenders = 32

// banSpread bans an address that goes on after its prefix has earned a ban, when the prefix itself
// must not be banned. On forgeable evidence it bans no address that proved itself: the attempts of
// its neighbours may be forged.
func (e *Engine) banSpread(a *attempt, n *network, c claim) Scope {
	s := a.src
	switch proven := c.weight() == weightProven; {
	case proven && s.proven == 0:
		return ScopeNone
	case !proven && e.provedAt(a.key, s):
		return ScopeNone
	}

	st := e.sentence(e.occupantOf(a.key, s), c.chooser)
	made := e.banHost(a.key, s, a.srcRef, banCase{
		sentence: st, rule: RuleSpreadScore, score: n.scoreOf(c), attempts: s.attempts,
		chooser: c.chooser, patient: e.patient(a.key),
	})

	if !made {
		return ScopeNone
	}

	return st.scope
}
