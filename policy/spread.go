package policy

import "slices"

// A claim is what a rule asks for: a ban of a scope, on evidence of a class at worst.
type claim struct {
	scope   Scope
	rule    Rule
	chooser Chooser
}

// spreadScore returns what the score of a prefix asks for, if enough of its parts failed.
func (e *Engine) spreadScore(n *network, sp spread) claim {
	if !e.on(RuleSpreadScore) || whole(n.suspects) < sp.suspects {
		return claim{chooser: ChooserNobody}
	}

	// Scope all needs as many parts with proven evidence: the others may be forged.
	switch limit := sp.factor * e.limit; {
	case n.proven > limit && whole(n.provenSuspects) >= sp.suspects:
		return claim{ScopeAll, RuleSpreadScore, ChooserNobody}
	case n.proven+spoofedPart(n.forgeable, n.chosen) > limit:
		return claim{ScopeSIP, RuleSpreadScore, ChooserSpoofer}
	case n.proven+n.forgeable > limit:
		return claim{ScopeSIP, RuleSpreadScore, ChooserAnybody}
	}

	return claim{ScopeNone, RuleSpreadScore, ChooserNobody}
}

// secondOffender returns what the bans in a prefix ask for, now that a ban of the scope want is due
// for one more part of it.
func (e *Engine) secondOffender(n *network, sp spread, part uint32, want Scope) claim {
	if !e.on(RuleSecondOffender) {
		return claim{}
	}
	offenders, proven := n.offenders, n.provenOffenders
	if !slices.Contains(n.banned[:], part) {
		offenders++
		proven++
	}

	// The offences of the others may be forged, however certain this one is.
	switch {
	case want == ScopeAll && proven >= sp.offenders:
		return claim{ScopeAll, RuleSecondOffender, ChooserNobody}
	case offenders >= sp.offenders:
		return claim{ScopeSIP, RuleSecondOffender, ChooserSpoofer}
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

// decideNetwork bans a prefix if that is due and allowed. want is what its host asks for, covered
// what is banned already. It returns the scope of the ban that it made, none if it made none.
func (e *Engine) decideNetwork(a *attempt, sp spread, want, covered Scope) Scope {
	nk, part := a.key.masked(sp.bits), e.part(a.key, sp.bits)
	n, nr := e.touchNetwork(nk)

	c := e.spreadScore(n, sp)
	if want > c.scope {
		if o := e.secondOffender(n, sp, part, want); o.scope > c.scope {
			c = o
		}
	}

	if c.scope <= covered || !e.mayBan(nk) {
		return ScopeNone
	}

	// A proved address saves its prefix, but for a /64 full of proven offenders.
	outweighed := c.scope == ScopeAll && sp.bits == netBits && n.provenOffenders >= manyOffenders
	if e.holdsProof(n) && !outweighed {
		goesOn := sp.bits <= netBits && a.src.attempts > 1
		if goesOn && c.rule == RuleSpreadScore && want < c.scope {
			return e.banSpread(a, n, c)
		}

		return ScopeNone
	}

	made := e.ban(nk, &n.strikes, &n.strikeAt, banCase{
		scope: c.scope, rule: c.rule, score: n.scoreOf(c.scope), attempts: n.attempts, chooser: c.chooser,
		forgeable: c.scope != ScopeAll, patient: e.patient(a.key), wide: true,
		brief: !c.chooser.needsSpoofing(),
	})

	if !made {
		return ScopeNone
	}

	e.networks.Move(nr, listBanned)
	if c.chooser.needsSpoofing() {
		n.offend(part, max(c.scope, want), n.strikeAt)
	}

	return c.scope
}

// scoreOf returns the score that a ban of a scope rests on.
func (n *network) scoreOf(scope Scope) float32 {
	if scope == ScopeAll {
		return n.proven
	}
	return n.proven + n.forgeable
}

// manyOffenders is the number of banned addresses of a /64, all on proven evidence, that outweighs
// a proved one among them. Otherwise its owner would fill the firewall with bans of single
// addresses.
const manyOffenders = 32

// banSpread bans an address that went on, for what its prefix earned, which must not be banned
// itself. On forgeable evidence it bans no address that proved itself: the neighbours may be
// forged.
func (e *Engine) banSpread(a *attempt, n *network, c claim) Scope {
	s := a.src
	switch {
	case c.scope == ScopeAll && s.proven == 0:
		return ScopeNone
	case c.scope != ScopeAll && e.hasProof(s):
		return ScopeNone
	}

	made := e.banHost(a.key, s, a.srcRef, banCase{
		scope: c.scope, rule: RuleSpreadScore, score: n.scoreOf(c.scope), attempts: s.attempts,
		chooser: c.chooser, forgeable: c.scope != ScopeAll, patient: e.patient(a.key),
		brief: !c.chooser.needsSpoofing(), short: c.scope != ScopeAll && s.owns > 0,
	})

	if !made {
		return ScopeNone
	}

	return c.scope
}
