package policy

import (
	"math"
	"net/netip"
	"time"

	"github.com/amifend/amifend/policy/internal/table"
)

// A condition is an alert that lasts. It is reported when it is certain, at most hourly while it
// goes on, and when it is over. This file keeps the conditions of all kinds. A rule calls
// [Engine.lasting] each time that it notices the condition. The end comes by time, or by
// [Engine.endOf].

// Phase is the phase of an alert.
type Phase uint8

// The phases. The alerts of one condition have the same rule, and the same fields that [About]
// names.
const (
	PhaseEvent  Phase = iota // not a condition: reported once
	PhaseBegin               // a condition is reported for the first time
	PhaseUpdate              // it goes on; hourly at most
	PhaseEnd                 // it is over
	// PhaseYield means that it goes on, but a worse one takes its place among those that are
	// reported one by one.
	PhaseYield
)

// About names the fields of a verdict that name the subject of an alert.
type About uint8

// The subjects of alerts.
const (
	AboutAll      About = iota // none: there is one condition of the kind at a time
	AboutMore                  // none: the line about all that are not reported one by one
	AboutSource                // Prefix
	AboutAccount               // Server and Account
	AboutEndpoint              // Prefix, Server and Account
	AboutServer                // Server
)

// condition is what is remembered of a condition. Times are seconds since the Unix epoch. Server,
// bits and text are those of its subject.
type condition struct {
	since uint32 // its beginning
	last  uint32 // when it was noticed last
	told  uint32 // when an alert reported it last
	begun uint32 // when it was opened last; 0: never since it began
	count uint32 // failures
	size  uint32 // how bad it is, in a unit of its kind

	// when it last sought a place, or gave way, and how bad it was then, see openCondition
	triedAt, triedSize uint32

	server uint16
	bits   uint8 // of the prefix, see key
	about  About
	state  conditionState
	n      uint8
	text   [labelText]byte
}

// conditionState is how far a condition is.
type conditionState uint8

const (
	conditionWatched conditionState = iota // not certain, or over
	conditionWaiting                       // certain, and found no place among the reported
	conditionOpen                          // reported
	conditionStates
)

// conditionList names the lists of the table of conditions: three for each kind.
type conditionList uint8

const (
	// maxOpen is how many conditions of a kind are reported one by one: the worst. The others share
	// one line.
	maxOpen = 100

	// maxClosed bounds the conditions of a kind that are remembered and not reported. The one that
	// was quiet longest is forgotten first.
	maxClosed = 1 << 12

	// moreDelay is the time for which conditions that find no room are counted before the first
	// line about them, and placeDelay the time between two attempts to find room for one that did
	// not get worse.
	moreDelay  = 60
	placeDelay = 60
)

// conditionKinds are the kinds of conditions. pause is the silence after which one is over, in
// seconds.
var conditionKinds = [...]struct {
	rule  Rule
	pause uint32
}{
	{RuleMisconfigured, daily},
	{RuleProvedGuessing, guessingPause},
	{RuleSharedGuessing, guessingPause},
	{RuleAccountAttacked, attackPause},
	{RuleServerAttacked, attackPause},
	{RuleSpoofFlood, hourly},
}

// conditionsOf are the conditions of one kind that are not reported one by one.
type conditionsOf struct {
	more  int    // how many the line reports; 0: there is no line
	since uint32 // when the first of them came
	told  uint32 // when the line was given last
}

// lasting is a condition as a rule sees it.
type lasting struct {
	verdict Verdict // what to report: Rule and About, and what About names, are the condition's
	about   subject
	bits    uint8  // of the prefix that it is about, see key
	since   uint32 // its beginning
	count   uint32 // failures since then; 0: one more than before
	size    int    // how bad it is
	certain bool   // it may be reported
}

// kindOfCondition returns the index of a rule in conditionKinds, -1 if it gives events.
func kindOfCondition(rule Rule) int {
	for i, k := range conditionKinds {
		if k.rule == rule {
			return i
		}
	}
	return -1
}

// conditionsIn returns the list of the conditions of a kind that are in a state.
func conditionsIn(kind int, state conditionState) conditionList {
	return conditionList(kind*int(conditionStates) + int(state)) // below 3 times the kinds
}

func newConditions(k0, k1 uint64) *table.Table[alertKey, condition, conditionList] {
	most := len(conditionKinds) * (maxOpen + maxClosed + 1)
	return table.New[alertKey, condition, conditionList](most, k0, k1)
}

// lasting notes that a condition goes on, and alerts if it is certain and there was no alert of it
// within an hour. It reports whether the condition was
// reported by itself since it began.
func (e *Engine) lasting(l lasting) (told bool) {
	kind := kindOfCondition(l.verdict.Rule)
	r := e.touchCondition(kind, &l)
	c := e.conditions.Val(r)
	if !l.certain && c.state == conditionWatched {
		return false
	}

	phase := PhaseUpdate
	if c.state != conditionOpen {
		if !e.openCondition(kind, r) {
			e.tellMore(kind, &l.verdict)
			return c.begun != 0
		}
		phase = PhaseBegin
		c.begun = max(e.sec, 1)
	} else if e.sec-c.told < hourly {
		return true
	}

	c.told = e.sec
	e.tell(l.verdict, phase, c)
	return true
}

// touchCondition returns the record of a condition as of now, made if there is none.
func (e *Engine) touchCondition(kind int, l *lasting) table.Ref {
	k := alertKey{l.about, l.verdict.Rule}
	r := e.conditions.Get(k)
	if r == 0 {
		e.makeRoom(kind)
		r = e.conditions.Add(k, conditionsIn(kind, conditionWatched))
		c := e.conditions.Val(r)
		c.server, c.about, c.bits = l.verdict.Server, l.verdict.About, l.bits
		c.n, c.text = l.verdict.Account.n, l.verdict.Account.text
	}

	c := e.conditions.Val(r)
	if c.count == 0 {
		c.since = l.since
	}
	c.count = max(c.count+1, l.count)
	c.size = uint32(min(l.size, math.MaxUint32)) // checked
	c.last = e.sec

	// The lists are in the order of the latest failure.
	e.conditions.Move(r, conditionsIn(kind, c.state))
	e.conditions.Mark(r)
	e.conditionsDue = min(e.conditionsDue, e.sec+conditionKinds[kind].pause)
	return r
}

// makeRoom forgets a condition of a kind that is not reported, if there are too many.
func (e *Engine) makeRoom(kind int) {
	watched, waiting := conditionsIn(kind, conditionWatched), conditionsIn(kind, conditionWaiting)
	if e.conditions.Count(watched)+e.conditions.Count(waiting) < maxClosed {
		return
	}

	r := e.conditions.Oldest(watched)
	if r == 0 {
		r = e.conditions.Oldest(waiting)
	}
	e.conditions.Remove(r)
}

// setState moves a condition to the list of a state.
func (e *Engine) setState(kind int, r table.Ref, state conditionState) {
	e.conditions.Val(r).state = state
	e.conditions.Move(r, conditionsIn(kind, state))
	e.conditions.Mark(r)
}

// openCondition opens a condition that is certain, so that it is reported. It returns false if
// there is no place. Where too many are open, it takes the place of another, see [Engine.placeFor].
func (e *Engine) openCondition(kind int, r table.Ref) bool {
	if e.conditions.Count(conditionsIn(kind, conditionOpen)) < maxOpen {
		e.setState(kind, r, conditionOpen)
		return true
	}

	// A flood must not walk the list for each packet.
	c := e.conditions.Val(r)
	worse := uint64(c.size) >= 2*uint64(c.triedSize)
	if c.state == conditionWaiting && !worse && e.sec-c.triedAt < placeDelay {
		return false
	}
	c.triedAt, c.triedSize = e.sec, c.size

	place := e.placeFor(kind, c)
	if place == 0 {
		e.setState(kind, r, conditionWaiting)
		return false
	}
	e.giveWay(kind, place, r)
	return true
}

// placeFor returns the open condition that makes way for another, 0 if none does. It is the
// smallest one, if the other is at least twice as bad: so two of a size do not take turns. A
// condition that was never reported also takes the place of the smallest one that was opened over
// an hour ago. So each is reported once, unless more than maxOpen begin in an hour.
func (e *Engine) placeFor(kind int, c *condition) table.Ref {
	var least, known table.Ref
	open := conditionsIn(kind, conditionOpen)
	for t := e.conditions.Newest(open); t != 0; t = e.conditions.Older(t) {
		o := e.conditions.Val(t)
		if least == 0 || o.size < e.conditions.Val(least).size {
			least = t
		}
		if e.sec-o.begun >= hourly && (known == 0 || o.size < e.conditions.Val(known).size) {
			known = t
		}
	}

	switch {
	case uint64(c.size) >= 2*uint64(e.conditions.Val(least).size):
		return least
	case c.begun == 0:
		return known
	}
	return 0
}

// giveWay has an open condition wait, and opens another in its place.
func (e *Engine) giveWay(kind int, open, next table.Ref) {
	e.tellStored(open, PhaseYield)
	c := e.conditions.Val(open)
	c.triedAt, c.triedSize = e.sec, c.size
	e.setState(kind, open, conditionWaiting)
	e.setState(kind, next, conditionOpen)
}

// tellMore reports in one line, hourly at most, the conditions of a kind that are not reported one
// by one. about is the latest of them.
func (e *Engine) tellMore(kind int, about *Verdict) {
	of, n := &e.conditionsOf[kind], e.conditions.Count(conditionsIn(kind, conditionWaiting))
	if of.since == 0 {
		of.since = e.sec
	}
	if e.sec-of.since < moreDelay || of.more != 0 && e.sec-of.told < hourly {
		return
	}

	phase := PhaseUpdate
	if of.more == 0 {
		phase = PhaseBegin
	}
	of.more, of.told = n, e.sec
	c := condition{since: of.since, last: e.sec, count: uint32(n)} // bounded by maxClosed
	v := Verdict{Rule: about.Rule, About: AboutMore, More: n, Chooser: about.Chooser}
	e.tell(v, phase, &c)
}

// endMore ends the line about the conditions of a kind that are not reported one by one, if there
// are none any more.
func (e *Engine) endMore(kind int) {
	of := &e.conditionsOf[kind]
	if of.since == 0 || e.conditions.Count(conditionsIn(kind, conditionWaiting)) > 0 {
		return
	}

	if of.more != 0 {
		c := condition{since: of.since, last: e.sec, count: uint32(of.more)} // bounded by maxClosed
		v := Verdict{Rule: conditionKinds[kind].rule, About: AboutMore, More: of.more}
		e.tell(v, PhaseEnd, &c)
	}
	*of = conditionsOf{}
}

// endOf ends a condition, if it goes on.
func (e *Engine) endOf(k alertKey) {
	if r := e.conditions.Get(k); r != 0 && e.conditions.Val(r).count > 0 {
		e.endCondition(kindOfCondition(k.rule), r)
	}
}

// endCondition reports that a condition is over, if it was reported. The record stays for a while,
// so that what was saved of it is corrected.
func (e *Engine) endCondition(kind int, r table.Ref) {
	if e.conditions.Val(r).state == conditionOpen {
		e.tellStored(r, PhaseEnd)
	}
	c := e.conditions.Val(r)
	c.count, c.begun, c.triedAt, c.triedSize = 0, 0, 0, 0
	e.setState(kind, r, conditionWatched)
	e.endMore(kind)
}

// nextOver returns the condition that is over next by time, and when, in nanoseconds since the Unix
// epoch. It returns 0 if surely none is over before the given time.
func (e *Engine) nextOver(before int64) (next table.Ref, at int64) {
	if int64(e.conditionsDue)*int64(time.Second) >= before {
		return 0, math.MaxInt64
	}

	// conditionsDue may be too early, for a condition that went on since: now it becomes exact.
	e.conditionsDue = math.MaxUint32
	for i, k := range conditionKinds {
		for state := range conditionStates {
			r := e.conditions.Oldest(conditionsIn(i, state))
			if r == 0 {
				continue
			}
			if due := e.conditions.Val(r).last + k.pause; next == 0 || due < e.conditionsDue {
				next, e.conditionsDue = r, due
			}
		}
	}
	return next, int64(e.conditionsDue) * int64(time.Second)
}

// conditionOver ends a condition that was quiet for long, or forgets one that was not reported.
func (e *Engine) conditionOver(r table.Ref) {
	kind := kindOfCondition(e.conditions.Key(r).rule)
	if c := e.conditions.Val(r); c.state == conditionOpen {
		e.endCondition(kind, r)
		c.last = e.sec // what was saved of it is corrected before it is forgotten
		return
	}
	e.conditions.Remove(r)
	e.endMore(kind)
}

// isForgotten reports whether a condition was quiet for so long that nothing is left of it. An
// open condition is kept twice as long.
func (e *Engine) isForgotten(r table.Ref) bool {
	c := e.conditions.Val(r)
	pause := int64(conditionKinds[kindOfCondition(e.conditions.Key(r).rule)].pause)
	if c.state == conditionOpen {
		pause *= 2
	}
	return (int64(c.last)+pause)*int64(time.Second) < e.now
}

// tellStored reports a condition by what is remembered of it.
func (e *Engine) tellStored(r table.Ref, phase Phase) {
	k, c := e.conditions.Key(r), e.conditions.Val(r)
	v := Verdict{Rule: k.rule, About: c.about, Attempts: int(c.count)}
	switch c.about {
	case AboutAll, AboutMore:
	case AboutSource:
		v.Prefix = c.prefix(k.about)
	case AboutAccount:
		v.Server, v.Account = c.server, Label{n: c.n, text: c.text}
	case AboutEndpoint:
		v.Prefix = c.prefix(k.about)
		v.Server, v.Account = c.server, Label{n: c.n, text: c.text}
	case AboutServer:
		v.Server = c.server
	}
	e.tell(v, phase, c)
}

// prefix returns the prefix of a subject.
func (c *condition) prefix(s subject) netip.Prefix { return key{s.hi, s.lo, c.bits}.prefix() }

// tell gives an alert of a condition.
func (e *Engine) tell(v Verdict, phase Phase, c *condition) {
	if phase == PhaseBegin || phase == PhaseUpdate {
		e.stats.Alerts++
	}
	v.Action, v.At, v.Phase = ActionAlert, e.now, phase
	v.Since, v.Last = int64(c.since)*int64(time.Second), int64(c.last)*int64(time.Second)
	v.Count = int(c.count)
	e.emit(v)
}
