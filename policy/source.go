package policy

import (
	"math"
	"time"
)

// source is what is remembered of an address, or of the /64 of an IPv6 address. Without pointers, and with its place in
// the table at most 112 bytes.
type source struct {
	proven    float64 // score of the evidence that cannot have been forged, as of at
	forgeable float64 // score of the rest, as of at
	at        int64
	proofAt   int64  // of the last proof; of a /64: of any of its addresses
	strikeAt  int64  // when the latest ban ends or ended, of a /64 also that of one of its addresses
	first     uint64 // of a /64: its first address that failed, the lower half
	offender  uint64 // of a /64: its latest address that was banned, the lower half
	attempts  uint32
	strikes   uint8
	flags     uint8
}

// The flags of a source.
const (
	hasProof    = 1 << iota // proofAt is set
	hasFirst                // first is set
	hasOffender             // offender is set
	several                 // of a /64: more than one of its addresses failed
)

// The lists of the table of sources. What is forgotten first when it is full: see evict.
const (
	listCalm   = iota // nothing but a score
	listStruck        // banned before
	listProved        // proved
	listBanned        // banned now; never forgotten
)

// strikeMemory is how long after the end of its latest ban a source's strikes are remembered.
const strikeMemory = 90 * 24 * time.Hour

// add adds one attempt to a record that was brought to now.
func (e *Engine) add(s *source, ev Evidence) {
	score := &s.forgeable
	if ev.Proven {
		score = &s.proven
	}
	*score = min(*score+float64(ev.Weight), maxScore*e.opt.Threshold)
	if s.attempts < math.MaxUint32 {
		s.attempts++
	}
}

// addFrom adds an attempt of one address to its /64.
func (e *Engine) addFrom(host key, net *source, ev Evidence) {
	switch {
	case net.flags&hasFirst == 0:
		net.first = host.lo
		net.flags |= hasFirst
	case net.first != host.lo:
		net.flags |= several
	}
	e.add(net, ev)
}

// maxScore is how many times the threshold a score can reach: more would only be a debt that outlives its reason.
const maxScore = 8

// touch returns a source's record as of now, made if there is none, and makes it the newest.
func (e *Engine) touch(k key) (*source, ref) {
	r := e.sources.get(k)
	if r == 0 {
		if e.sources.full() {
			e.evict()
		}
		r = e.sources.add(k, listCalm)
		e.sources.at(r).val.at = e.now
	}
	s := &e.sources.at(r).val
	e.decay(s)
	e.classify(k, r)
	return s, r
}

// struck says whether a ban of the source, or of an address of the /64, is remembered.
func (s *source) struck() bool { return s.strikes > 0 || s.flags&hasOffender != 0 }

// decay brings a record to now.
func (e *Engine) decay(s *source) {
	if s.struck() && e.now-s.strikeAt > int64(strikeMemory) {
		s.strikes = 0
		s.flags &^= hasOffender
	}
	dt := e.now - s.at
	if dt <= 0 {
		return
	}
	f := math.Exp2(-float64(dt) / float64(e.opt.HalfLife))
	s.proven *= f
	s.forgeable *= f
	s.at = e.now
	if s.proven+s.forgeable < e.calm {
		s.proven, s.forgeable, s.attempts = 0, 0, 0
		s.flags &^= hasFirst | several
	}
}

// proved says whether a source has proved within the window that it receives what is sent to it.
func (e *Engine) proved(s *source) bool {
	return s.flags&hasProof != 0 && e.now-s.proofAt < int64(e.opt.ProofWindow)
}

// classify makes a record the newest of the list where it belongs.
func (e *Engine) classify(k key, r ref) {
	s := &e.sources.at(r).val
	list := uint8(listCalm)
	switch {
	case e.banScope(k) != ScopeNone:
		list = listBanned
	case e.proved(s):
		list = listProved
	case s.struck():
		list = listStruck
	}
	e.sources.move(r, list)
}

// evict forgets one source to make room: the one that was quiet longest, of the calm first, but never so that a list falls
// under an eighth of the table. So no flood of one sort, forged or not, takes the memory of another: strangers always
// have room to add up a score, phones keep their proof, strikes are kept.
func (e *Engine) evict() {
	reserve := e.sources.max / 8
	list := listProved
	switch {
	case e.sources.lists[listCalm].n > reserve:
		list = listCalm
	case e.sources.lists[listStruck].n > reserve:
		list = listStruck
	}
	e.sources.remove(e.sources.lists[list].tail)
	e.stats.Evicted++
}

// sweepSources forgets what has no meaning any more, at most budget records of each list.
func (e *Engine) sweepSources(budget int) {
	for _, list := range [...]uint8{listCalm, listStruck, listProved} {
		for range budget {
			r := e.sources.lists[list].tail
			if r == 0 || !e.sweepSource(r) {
				break
			}
		}
	}
}

// sweepSource forgets one record, or moves it to where it belongs by now. False means that it stays.
func (e *Engine) sweepSource(r ref) bool {
	en := e.sources.at(r)
	s := &en.val
	e.decay(s)
	switch {
	case e.proved(s):
		return false
	case !s.struck() && s.proven+s.forgeable == 0:
		e.sources.remove(r)
		return true
	case en.list == listProved, en.list == listStruck && !s.struck():
		e.classify(en.key, r)
		return true
	}
	return false
}
