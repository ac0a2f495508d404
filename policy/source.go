package policy

import (
	"math"
	"time"

	"github.com/amifend/amifend/policy/internal/table"
)

// source is the record of an address. Times are seconds since the Unix epoch. It holds no pointers,
// and takes 107 bytes at most with its place in the table.
type source struct {
	// scores, as of at: of the evidence that cannot have been forged, and of the rest
	proven, forgeable         float32
	slowProven, slowForgeable float32 // the same on the scale of slowHalfLife
	// forgeable attempts in the name of a proved source: alerted, not held against it
	guess, slowGuess float32
	trust            float32

	at uint32
	// the first attempt since the scores were last zero; without one, the time of its pardon
	since    uint32
	proofAt  uint32    // the last proof
	strikeAt uint32    // when the latest ban ends or ended
	owned    table.Ref // the account as which it last authenticated; the place may be reused

	attempts uint16
	okPort   uint16 // of the last proof
	failPort uint16 // of the last attempt

	failed       uint8 // accounts that failed here and never succeeded
	failedProven uint8 // those of them that failed with proven evidence
	owns         uint8 // accounts that succeeded here
	strikes      uint8
	burst        uint8 // accounts that succeeded in the minute of proofAt
	// the share of forgeable whose address anybody could have chosen, see shareUnit
	chosen     uint8
	slowChosen uint8 // the same of slowForgeable
	// the number of its latest pardon, 0 for none; failures of pairs before it do not count
	pardon uint8
	flags  uint8
	gen    uint8 // the latest PardonAll that it has been brought to, see general
}

// The flags of a source.
const (
	flagProof = 1 << iota // proofAt is set
	// it failed before its first proof, from the port where that came from, and not by typos
	washed
	inCrowd  // its proof came by an account that proved crowdMost others: see crowded
	wasBrief // it was banned without a strike since its score was last zero

	// It had proven evidence against it when a success that could have been forged first proved it.
	// So that a friend of a guesser does not get it a smaller ban: see occupantOf.
	lateProof

	// A success whose address nobody could have chosen proved it, and the proof has not ended since.
	firmProof
)

// standing names the lists of the tables of sources and of networks.
type standing uint8

// The lists, in the order in which they give up records.
const (
	listCalm   standing = iota // a single attempt, or nothing
	listActive                 // several attempts
	listStruck                 // banned before
	listProved                 // proved
	listBanned                 // banned now; never forgotten
)

const (
	// slowHalfLife is the half-life of the second scale of scores: one attempt an hour adds up to a
	// ban, and so does one in six hours.
	slowHalfLife = 7 * 24 * time.Hour

	// slowFactor times the threshold is the limit of a score on the slow scale.
	slowFactor = 2

	// slowCalm is the slow score, in parts of the threshold, below which a source counts as having
	// none: one attempt on an unknown account is forgotten in two weeks.
	slowCalm = 1.0 / 12

	// maxScore times the threshold is the highest score. More would only be a debt that outlives
	// its reason.
	maxScore = 8

	// strikeFade is the time after the end of its latest ban in which a source loses one strike,
	// and then another.
	strikeFade = 30 * 24 * time.Hour

	// trustHalfLife is the half-life of trust, and maxTrust its highest value.
	trustHalfLife = 7 * 24 * time.Hour
	maxTrust      = 32

	// minTrust is the trust below which a source has none: what two weeks leave of a single
	// success.
	minTrust = 0.25
)

// seconds returns a duration in the unit of records.
func seconds(d time.Duration) uint32 { return uint32(min(d/time.Second, math.MaxUint32)) } // checked

// fade returns what is left of 1 after dt seconds, with a half-life in seconds.
func fade(dt uint32, half float64) float32 {
	if dt == 0 {
		return 1
	}
	return float32(math.Exp2(-float64(dt) / half))
}

// add adds one attempt to a record that was brought to now.
func (e *Engine) add(s *source, ev *Evidence) {
	most, slow := maxScore*float32(e.opt.Threshold), e.slowWeight(ev)
	if ev.Proven() {
		s.proven = min(s.proven+ev.Weight, most)
		s.slowProven = min(s.slowProven+slow, most)
	} else {
		s.chosen = shareAfter(s.forgeable, s.chosen, ev.Weight, ev.Chooser)
		s.slowChosen = shareAfter(s.slowForgeable, s.slowChosen, slow, ev.Chooser)
		s.forgeable = min(s.forgeable+ev.Weight, most)
		s.slowForgeable = min(s.slowForgeable+slow, most)
	}

	if s.attempts == 0 {
		s.since = e.sec
	}
	if s.attempts < math.MaxUint16 {
		s.attempts++
	}
}

// slowWeight returns what an attempt adds to a score on the slow scale. Forgeable evidence adds at
// most the threshold there. A stranger's attempt may weigh far more while others attack, so one
// forged packet would be over the limit, and would ban its victim a second time for an hour.
func (e *Engine) slowWeight(ev *Evidence) float32 {
	if ev.Proven() {
		return ev.Weight
	}
	return min(ev.Weight, float32(e.opt.Threshold))
}

// touch returns an address's record as of now, made if there is none, and makes it the newest.
func (e *Engine) touch(k key) (*source, table.Ref) {
	r := e.sources.Get(k.host())
	if r == 0 {
		if e.sources.Full() {
			e.evictSource()
		}

		r = e.sources.Add(k.host(), listCalm)
		s := e.sources.Val(r)
		s.at, s.gen, s.pardon = e.sec, e.general.gen, e.general.no
	}

	e.sources.Mark(r)
	s := e.sources.Val(r)
	e.decay(s)
	e.classify(k, r)
	return s, r
}

// decay brings a record to now.
func (e *Engine) decay(s *source) {
	e.renew(s)
	fadeStrikes(&s.strikes, &s.strikeAt, e.sec)

	// A record with nothing but such a proof may be forgotten at any time, so it must mean nothing.
	if s.owns == 0 && !e.hasProof(s) {
		s.flags &^= flagProof
	}
	if !e.hasProof(s) {
		s.flags &^= firmProof
	}

	dt := e.sec - s.at
	if e.sec <= s.at {
		return
	}

	s.at = e.sec
	f, slow := fade(dt, e.half), fade(dt, e.slowHalf)
	s.proven *= f
	s.forgeable *= f
	s.guess *= f
	s.slowProven *= slow
	s.slowForgeable *= slow
	s.slowGuess *= slow
	s.trust *= fade(dt, trustHalfLife.Seconds())

	// A score below calm stays so until the next attempt, so it can be set to zero at any time.
	if s.proven+s.forgeable < e.calm {
		s.proven, s.forgeable = 0, 0
		if s.slowProven+s.slowForgeable < e.slowCalm {
			s.slowProven, s.slowForgeable, s.attempts = 0, 0, 0
			s.flags &^= washed | wasBrief | lateProof
		}
	}

	if s.guess < e.calm {
		s.guess = 0
		if s.slowGuess < e.slowCalm {
			s.slowGuess = 0
		}
	}

	if s.trust < minTrust {
		s.trust = 0
	}
}

// fadeStrikes takes away the strikes that have faded.
func fadeStrikes(n *uint8, at *uint32, now uint32) {
	for *n > 0 && now > *at && now-*at >= seconds(strikeFade) {
		*n--
		*at += seconds(strikeFade)
	}
}

// hasProof reports whether a source has proved within the window that it receives what is sent to it.
func (e *Engine) hasProof(s *source) bool {
	return s.flags&flagProof != 0 && e.sec-s.proofAt < e.proofWindow
}

// provedAt reports whether the source at an address has proved itself, or the IPv4 address that its
// address holds.
func (e *Engine) provedAt(k key, s *source) bool {
	if e.hasProof(s) {
		return true
	}
	s4 := e.embeddedRecord(k)
	return s4 != nil && e.hasProof(s4)
}

// clean reports whether nothing is held against a source.
func (s *source) clean() bool { return s.attempts == 0 && s.strikes == 0 && s.failed == 0 }

// classify makes a record the newest of the list where it belongs.
func (e *Engine) classify(k key, r table.Ref) { e.sources.Move(r, e.standingOf(k, e.sources.Val(r))) }

// standingOf returns the list where a record belongs.
func (e *Engine) standingOf(k key, s *source) standing {
	switch {
	case e.banScope(k) != ScopeNone:
		return listBanned
	case e.hasProof(s) && s.flags&inCrowd == 0:
		return listProved
	case s.strikes > 0:
		return listStruck
	case s.attempts > 1:
		return listActive
	}

	return listCalm
}

// evictSource makes room for a source.
func (e *Engine) evictSource() {
	e.relistFreed(freedBudget)
	e.sources.Remove(e.sources.Victim())
	e.stats.Evicted++
}

// sweepSources forgets what has no meaning any more, at most budget records of each list.
func (e *Engine) sweepSources(budget int) {
	for _, list := range [...]standing{listCalm, listActive, listStruck, listProved} {
		for range budget {
			r := e.sources.Oldest(list)
			if r == 0 || !e.sweepSource(r) {
				break
			}
		}
	}
}

// pardonedLately reports whether there may be pairs from before a source was pardoned by itself. A
// new record would have the number of the latest general pardon again.
func (e *Engine) pardonedLately(s *source) bool {
	return s.pardon != e.general.no && e.sec-s.since < seconds(triedMemory)
}

// forgettable reports whether a record means nothing any more.
func (e *Engine) forgettable(s *source) bool {
	held := s.guess+s.slowGuess > 0 || s.trust > 0 || s.owns > 0 || e.hasProof(s)
	return s.clean() && !held && !e.pardonedLately(s)
}

// sweepSource forgets one record, or moves it to where it belongs by now. False means that it
// stays.
func (e *Engine) sweepSource(r table.Ref) bool {
	s, list := e.sources.Val(r), e.sources.List(r)
	e.decay(s)
	switch {
	case e.forgettable(s):
		if e.save.begun && e.sources.Changed(r) {
			return false // the log has a score of it
		}

		e.sources.Remove(r)
		return true
	case list == listProved && !e.hasProof(s), list == listStruck && s.strikes == 0,
		list == listActive && s.attempts == 0:
		e.classify(e.sources.Key(r).key(), r)
		return true
	}

	return false
}
