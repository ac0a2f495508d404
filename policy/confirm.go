package policy

import (
	"encoding/binary"
	"time"

	"github.com/dchest/siphash"
)

// An event over UDP may be forged, so it is judged as such at once. A witness in the kernel that saw
// the digest nonce of its request leave can tell a little later that nobody could have chosen its
// source: see package nonce. Then the same attempt is judged again, as a proven one.

// fate is what became of an attempt.
type fate uint8

const (
	fateNone     fate = iota // it was not held against its source
	fateCounted              // it was added to the scores
	fateExcused              // misconfigured_endpoint let it pass
	fateShielded             // it was in the name of a proved source
	fateSuccess              // it is a success, and no sign of a guessed password
)

// tentative is an attempt that may be confirmed. It has no pointers.
type tentative struct {
	ev     Evidence // with its weight as it was judged
	passed uint16   // attempts that were let pass before, and counted with it
	pardon uint8    // of its source
	fate   fate
	rule   Rule // a trap, or RuleNone
}

// tentativeKey is that of the observation that a tentative attempt may be confirmed by.
type tentativeKey struct {
	host
	at     int64 // [Observation.At]
	port   uint16
	server uint16
}

func (k tentativeKey) Hash(k0, k1 uint64) uint64 {
	var b [28]byte
	binary.LittleEndian.PutUint64(b[:], k.hi)
	binary.LittleEndian.PutUint64(b[8:], k.lo)
	binary.LittleEndian.PutUint64(b[16:], uint64(k.at))
	binary.LittleEndian.PutUint16(b[24:], k.port)
	binary.LittleEndian.PutUint16(b[26:], k.server)
	return siphash.Hash(k0, k1, b[:])
}

const (
	// maxTentatives bounds the attempts that may be confirmed. The oldest is given up first: it stays
	// forgeable. One Asterisk was seen to raise 13,000 events/s under flood.
	maxTentatives = 1 << 13

	// confirmWindow is the time within which an attempt may be confirmed.
	confirmWindow = int64(10 * time.Second)
)

// tentative returns an attempt as it is remembered.
func (a *attempt) tentative(f fate) tentative {
	return tentative{
		ev: a.ev, passed: uint16(a.passedHere + a.passedElsewhere), // a few
		pardon: a.src.pardon, fate: f,
	}
}

// countTentative counts an observation, which may be confirmed.
func (e *Engine) countTentative(k key, o *Observation) {
	e.count(k, e.evidenceOf(o), RuleNone)
	e.keepTentative(k, o, RuleNone)
}

// keepTentative remembers the attempt that was counted last, which is that of an observation.
func (e *Engine) keepTentative(k key, o *Observation, trap Rule) {
	if !o.Confirmable || o.Injected || o.Stream || e.latest.fate == fateNone {
		return
	}
	e.latest.rule = trap
	e.putTentative(tentativeKeyOf(k, o), e.latest)
}

// keepSuccess remembers a success that may be confirmed.
func (e *Engine) keepSuccess(k key, s *source, o *Observation) {
	if o.Confirmable && !o.confirmed && !o.Stream {
		e.putTentative(tentativeKeyOf(k, o), tentative{
			ev: Evidence{At: e.now}, pardon: s.pardon, fate: fateSuccess,
		})
	}
}

func (e *Engine) putTentative(tk tentativeKey, t tentative) {
	// Two at the same time cannot be told apart, and one of them may be forged: neither is confirmed.
	if r := e.tentatives.Get(tk); r != 0 {
		e.tentatives.Val(r).fate = fateNone
		return
	}

	*e.tentatives.Val(e.tentatives.Add(tk, only)) = t
}

func tentativeKeyOf(k key, o *Observation) tentativeKey {
	return tentativeKey{host: k.host(), at: o.At, port: o.Source.Port(), server: o.Server}
}

// renameTentative has the attempt of a time be confirmed by another observation, which belongs to it.
func (e *Engine) renameTentative(k key, o *Observation, at int64) {
	tk := tentativeKeyOf(k, o)
	tk.at = at
	r := e.tentatives.Get(tk)
	if r == 0 {
		return
	}

	t := *e.tentatives.Val(r)
	e.tentatives.Remove(r)
	e.putTentative(tentativeKeyOf(k, o), t)
}

// Confirm takes in that nobody could have chosen the source of an observation: its request answers a
// digest nonce that left for its source, and for nobody else. o is the observation as it was given to
// Observe, a moment ago, with Confirmable set. An attempt becomes proven evidence: it counts once, and
// a ban that it made keeps its strike, while scope and length grow. A success becomes one whose address
// nobody could have chosen. It returns what is decided, like [Engine.Observe].
//
// Nothing happens if the attempt is not known any more, was forgiven, or its source was pardoned since.
// A success after failures that were not typos is not confirmed: it proves nothing.
// Observations over TCP, of chan_sip and of unknown services are not confirmed.
func (e *Engine) Confirm(now int64, o Observation) []Verdict {
	e.begin(now)
	e.confirm(&o)
	return e.done()
}

func (e *Engine) confirm(o *Observation) {
	o.confirmed = true
	if !o.Confirmable || o.Injected || o.Chooser() != ChooserRoundTrip || !o.Source.Addr().IsValid() ||
		e.now-o.At > confirmWindow {
		return
	}
	k := hostKey(o.Source.Addr())
	if isBuiltin(k) {
		return
	}
	r := e.tentatives.Get(tentativeKeyOf(k, o))
	if r == 0 {
		return
	}
	t := *e.tentatives.Val(r)
	e.tentatives.Remove(r)
	if t.fate == fateSuccess {
		e.confirmSuccess(k, o, &t)
		return
	}
	e.confirmAttempt(k, &t)
}

// confirmSuccess judges a success again, as one whose address nobody could have chosen, if its account
// has not been heard of since.
func (e *Engine) confirmSuccess(k key, o *Observation, t *tentative) {
	r := e.pairs.Get(pairKey{k.hi, k.lo, e.accountOf(o.Server, o.Service, &o.Account)})
	s := e.recordOf(k)
	if r == 0 || s == nil || s.pardon != t.pardon || e.pairs.Val(r).touched > secondOf(t.ev.At) {
		return
	}
	e.stats.Confirmed++
	e.succeeded(k, o)
}

// confirmAttempt judges an attempt again, as a proven one.
func (e *Engine) confirmAttempt(k key, t *tentative) {
	s := e.recordOf(k)
	id := e.accountOf(t.ev.Server, t.ev.Service, &t.ev.Account)
	pr := e.pairs.Get(pairKey{k.hi, k.lo, id})
	if s == nil || s.pardon != t.pardon || pr == 0 || e.spares(k, t.ev.Server) {
		return
	}

	shared := e.sharedSite(k)
	if t.fate == fateShielded && shared == nil && e.housesSeveral(k) {
		return // it may be shared: who cuts off the others must be certain
	}
	s, sr := e.touch(k)
	p, _ := e.touchPair(k, s, id)
	if !e.takeBack(k, s, p, t) {
		return
	}
	e.stats.Confirmed++

	// It is the same attempt, at the same time, by nobody's choice.
	_, covered := e.covering(k)
	a := attempt{
		key: k, ev: t.ev, covered: covered, src: s, srcRef: sr, pair: p, account: id, rule: t.rule,
		recounted: t.fate == fateCounted,
	}
	a.ev.Chooser = ChooserRoundTrip
	e.identifyAgain(&a)
	if t.fate == fateExcused {
		p.excusedProven = bump(p.excusedProven, 1)
		p.rateProven = bump(p.rateProven, 1)
		e.confirmPassed(k, &t.ev)
		return
	}
	e.weighAgain(&a, t, shared)
}

// weighAgain finds the weight of a confirmed attempt, and counts it.
func (e *Engine) weighAgain(a *attempt, t *tentative, shared *site) {
	if t.rule == RuleNone {
		a.ev.Weight = e.weightOf(a.ev.Kind, a.ev.Unknown, a.ev.Service)

		// What others forged may have kept it from being let pass. It counts in the minute once.
		a.pair.rate = max(a.pair.rate, 1) - 1
		if e.misconfigured(a) {
			e.stats.Excused++
			return
		}
		a.ev.Weight *= min(e.enumeration(a)*e.accountUnderAttack(a), maxProvenFactor)
	} else {
		a.ev.Weight = max(a.ev.Weight, e.trapWeight())
	}

	a.arrears = e.arrears(a, e.heldScore(a, shared))
	a.ev.Weight += a.arrears
	if shared != nil {
		e.sharedGuessing(shared, a)
		return
	}
	a.pair.charge(&a.ev, e.slowWeight(&a.ev))
	e.charge(a)
}

// takeBack undoes what an attempt did as a forgeable one, and reports whether it is still held
// against its source. Scores fade and round, so none falls below zero.
func (e *Engine) takeBack(k key, s *source, p *pair, t *tentative) bool {
	w, slow := t.ev.Weight, e.slowWeight(&t.ev)
	switch t.fate {
	case fateExcused:
		return p.excused > uint16(p.excusedProven)
	case fateShielded:
		if p.shielded == 0 {
			return false
		}
		p.shielded--
		s.guess, s.slowGuess = max(0, s.guess-w), max(0, s.slowGuess-w)
		if !k.is4() && len(k.spreads()) > 0 {
			n, _ := e.touchNetwork(k.masked(netBits))
			n.guess = max(0, n.guess-w)
		}
		return true
	case fateCounted:
	case fateNone, fateSuccess:
		return false
	}

	// The forgeable ones of an account are forgiven all at once.
	if p.fails <= p.provenFails {
		return false
	}
	p.fails--
	share := uint8(0)
	if !t.ev.Chooser.needsSpoofing() {
		share = shareUnit
	}
	p.debt.forgeable, p.debt.chosen = reduced(p.debt.forgeable, p.debt.chosen, w, share)
	p.debt.slowForgeable, p.debt.slowChosen = reduced(p.debt.slowForgeable, p.debt.slowChosen, slow, share)
	s.forgeable, s.chosen = reduced(s.forgeable, s.chosen, w, share)
	s.slowForgeable, s.slowChosen = reduced(s.slowForgeable, s.slowChosen, slow, share)
	s.attempts -= min(s.attempts, 1+t.passed)
	if e.banScope(k) == ScopeNone {
		e.takeBackIn(k, t, share)
	}
	return true
}

// takeBackIn undoes what an attempt added to the prefixes of its source.
func (e *Engine) takeBackIn(k key, t *tentative, share uint8) {
	w := min(t.ev.Weight, float32(e.opt.Threshold)/3) // see addFrom
	back := func(nk key) {
		n, _ := e.touchNetwork(nk)
		n.forgeable, n.chosen = reduced(n.forgeable, n.chosen, w, share)
		n.attempts -= min(n.attempts, 1)
	}

	for _, sp := range k.spreads() {
		back(k.masked(sp.bits))
	}
	if nk, ok := k.embeddedNetwork(); ok {
		back(nk)
	}
}

// identifyAgain notes that the account of an attempt failed with proven evidence: see identify.
func (e *Engine) identifyAgain(a *attempt) {
	p, ev := a.pair, &a.ev
	if p.fails == 0 && p.excused == 0 && p.shielded == 0 {
		p.failAt = e.sec
	}
	p.flags |= pairProven
	before := p.flags & pairFailedProven
	a.src.noteFailed(p, true)
	a.first = p.flags&pairFailedProven != before

	if p.okAt == 0 && !ev.Unknown && ev.Account.n > 0 {
		first, firstProven := p.noteStranger(true)
		a.others = e.strangersOn(a.account, ev, &ev.Account, first, firstProven)
	}
}

// housesSeveral reports whether so many accounts logged in at a site that it is shared if their
// successes were not forged.
func (e *Engine) housesSeveral(k key) bool {
	t := e.siteOf(k)
	if t == nil {
		return false
	}
	n := 0
	for i := range t.users {
		if u := &t.users[i]; u.account != 0 && u.at != 0 && e.sec-min(u.at, e.sec) < e.proofWindow {
			n++
		}
	}
	return n >= sharedFrom
}
