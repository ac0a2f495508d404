package policy

import (
	"math"
	"time"

	"github.com/amifend/amifend/policy/internal/table"
)

// silent is the record of a source that was challenged and never succeeded. Times are seconds since
// the Unix epoch.
type silent struct {
	at       int64 // when it was challenged about one account more than phones explain, nanoseconds
	debt     debt  // what its challenges added to its scores, as of debtAt
	debtAt   uint32
	accounts uint16 // that were challenged
	weighed  uint16 // of them, those that count in its scores
	last     Evidence
}

// silentList names the lists of the table of silent sources.
type silentList uint8

// The lists, in the order in which they give up records.
const (
	silentsFew     silentList = iota // too few accounts, or weighed
	silentsWaiting                   // in the order of silent.at
)

const (
	// maxSilent bounds the sources that are remembered for their challenges: the oldest is
	// forgotten first.
	maxSilent = 1 << 15

	// unansweredFree is how many accounts may be challenged at a source for nothing, and
	// unansweredWeight what each further one weighs.
	unansweredFree   = 5
	unansweredWeight = 0.25

	// answerTime is how long a source has for its first success: all phones of an office may come
	// at once, and be challenged before the first of them answers.
	answerTime = int64(10 * time.Second)
)

// asked judges a challenge about a known account. One is never evidence by itself: every phone gets
// challenges all the time. But a source that collects them for one account after another, and never
// succeeds, looks for accounts that exist.
func (e *Engine) asked(k key, o *Observation) {
	if !e.on(RuleUnanswered) {
		return
	}

	// Whoever has succeeded is a phone, and gets challenges all the time.
	s := e.recordOf(k)
	if s != nil && (s.owns > 0 || e.provedAt(k, s)) {
		return
	}

	if _, covered := e.covering(k); covered != ScopeNone || e.spares(k, o.Server) {
		return
	}

	p, _ := e.touchPair(k, s, e.accountOf(o.Server, o.Service, &o.Account))
	if p.flags&pairChallenged != 0 || p.okAt != 0 {
		return
	}

	// An account counts once, however often the source is challenged about it.
	p.flags |= pairChallenged
	r := e.silents.Get(k)
	if r == 0 {
		r = e.silents.Add(k, silentsFew)
	}

	q := e.silents.Val(r)
	if q.accounts < math.MaxUint16 {
		q.accounts++
	}
	if q.accounts <= unansweredFree {
		e.silents.Touch(r)
		return
	}

	// All phones of an office may come at once, so the sixth account starts a delay.
	q.last = e.evidenceOf(o)
	q.last.Weight = unansweredWeight
	switch {
	case q.accounts == unansweredFree+1:
		q.at = e.now
		e.silents.Move(r, silentsWaiting)
	case e.silents.List(r) == silentsFew:
		e.unanswered(r)
	}
}

// unanswered counts the accounts that a source was challenged about in vain and that were not
// counted yet.
func (e *Engine) unanswered(r table.Ref) {
	k, q := e.silents.Key(r), e.silents.Val(r)
	n := q.accounts - unansweredFree - q.weighed
	q.weighed += n
	ev := q.last
	ev.At = e.now
	ev.Weight = min(unansweredWeight*float32(n), maxScore*float32(e.opt.Threshold))
	e.decaySilent(q)
	q.debt.add(&ev, e.slowWeight(&ev))
	e.silents.Move(r, silentsFew)
	covered, ok := e.chargeable(k, &ev)
	if !ok || e.shared(k) {
		return
	}

	a := attempt{key: k, ev: ev, covered: covered, rule: RuleUnanswered}
	a.src, a.srcRef = e.touch(k)
	e.charge(&a)
}

// nextUnanswered returns the source whose time to answer ends first, and when.
func (e *Engine) nextUnanswered() (table.Ref, int64) {
	r := e.silents.Oldest(silentsWaiting)
	if r == 0 {
		return 0, math.MaxInt64
	}
	return r, e.silents.Val(r).at + answerTime
}

// decaySilent brings what challenges added to scores to now.
func (e *Engine) decaySilent(q *silent) {
	q.debt.fade(fade(e.sec-q.debtAt, e.half), fade(e.sec-q.debtAt, e.slowHalf))
	q.debtAt = e.sec
}

// answered forgets, at a source's success, what was held against it for its challenges, as far as
// that success may forgive it.
func (e *Engine) answered(k key, s *source, by Chooser) {
	r := e.silents.Get(k)
	if r == 0 {
		return
	}
	q := e.silents.Val(r)
	e.decaySilent(q)
	e.forgive(s, &q.debt, by)
	e.silents.Remove(r)
}
