package policy

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/dchest/siphash"

	"github.com/amifend/amifend/policy/internal/table"
)

// accountID is an account of a server, hashed. SIP accounts and manager users differ.
type accountID uint64

// Hash needs the key only to differ between engines: the ID is a keyed hash already.
func (id accountID) Hash(k0, _ uint64) uint64 { return uint64(id) ^ k0 }

// account is the record of an account that somebody tried or owns. Times are seconds since the Unix
// epoch.
type account struct {
	strangers float32 // sources that failed on it and do not own it, as of at
	proven    float32 // those of them with proven evidence
	at        uint32
	okAt      uint32 // the last success on it, 0 if there was none
	server    uint16
	n         uint8
	text      [labelText]byte
}

// label returns the account's name, without its hash.
func (a *account) label() Label { return Label{n: a.n, text: a.text} }

// pairKey is a source and an account that it tried.
type pairKey struct {
	hi, lo  uint64
	account accountID
}

func (k pairKey) Hash(k0, k1 uint64) uint64 {
	var b [24]byte
	binary.LittleEndian.PutUint64(b[:], k.hi)
	binary.LittleEndian.PutUint64(b[8:], k.lo)
	binary.LittleEndian.PutUint64(b[16:], uint64(k.account))
	return siphash.Hash(k0, k1, b[:])
}

func (k pairKey) host() host { return host{k.hi, k.lo} }

// pair is the record of an account at one source. Times are seconds since the Unix epoch.
type pair struct {
	okAt        uint32 // the last success, 0 if there was none
	failAt      uint32 // the first failure since then
	touched     uint32 // the last event
	minuteAt    uint32 // when the minute began in which rate counts
	debt        debt   // what its failures have added to the source's scores, as of touched
	fails       uint16 // failures since the last success that counted
	provenFails uint16 // those of them that were proven
	excused     uint16 // those that rule misconfigured_endpoint let pass
	// those that were not held against a proved source, since they may be forged
	shielded      uint16
	pardon        uint8 // the number of the latest pardon of its source, see applyPardon
	excusedProven uint8 // of the excused, those that were proven
	rate          uint8 // failures in the minute
	rateProven    uint8 // those of them that were proven; not saved, since they matter for a minute
	flags         uint8
	// failures before its latest successes, less one for each success without any: see
	// suspectSpoofing
	between uint8
}

// The flags of a pair.
const (
	pairFailed       = 1 << iota // counted in source.failed
	pairFailedProven             // counted in source.failedProven
	pairChallenged               // counted in silent.accounts
	// a failure since the last success was proven, whatever became of it
	pairProven
	pairAlerted        // misconfigured_endpoint alerted of it
	pairOwned          // counted in source.owns
	pairStranger       // counted in account.strangers
	pairStrangerProven // counted in account.proven
)

// usage names the lists of the tables of pairs and of accounts, each in the order of the last
// event.
type usage uint8

// The lists, in the order in which they give up records.
const (
	listTried   usage = iota // one failure, of one source
	listGuessed              // several
	listOwned                // a success is remembered
)

const (
	triedMemory = 48 * time.Hour
	ownedMemory = 30 * 24 * time.Hour

	// strangerHalfLife is the half-life of the number of strangers that tried an account.
	strangerHalfLife = 4 * time.Hour
)

// accountOf returns the account that an observation or evidence is about.
func (e *Engine) accountOf(server uint16, service Service, l *Label) accountID {
	var b [11]byte
	binary.LittleEndian.PutUint64(b[:], l.hash)
	binary.LittleEndian.PutUint16(b[8:], server)
	if service == ServiceAMI {
		b[10] = 1
	}
	return accountID(siphash.Hash(e.k0, e.k1, b[:]))
}

// touchAccount returns an account's record as of now, made if there is none.
func (e *Engine) touchAccount(id accountID, server uint16, l *Label) (*account, table.Ref) {
	r := e.accounts.Get(id)
	if r == 0 {
		r = e.accounts.Add(id, listTried)
		a := e.accounts.Val(r)
		a.at, a.server, a.n, a.text = e.sec, server, l.n, l.text
	} else {
		e.accounts.Touch(r)
	}

	e.accounts.Mark(r)
	a := e.accounts.Val(r)
	if e.sec > a.at {
		f := fade(e.sec-a.at, strangerHalfLife.Seconds())
		a.strangers *= f
		a.proven *= f
		a.at = e.sec
	}

	return a, r
}

// touchPair returns the record of an account at a source, made if there is none, and makes it the
// newest. s is what is remembered of the source, if anything is.
func (e *Engine) touchPair(k key, s *source, id accountID) (*pair, table.Ref) {
	// A source that is not remembered is pardoned like everybody.
	pardoned := source{pardon: e.general.no}
	if s != nil {
		pardoned.pardon = s.pardon
	}

	pk := pairKey{k.hi, k.lo, id}
	r := e.pairs.Get(pk)
	if r == 0 {
		if e.pairs.Full() {
			e.removePair(e.pairs.Victim())
		}

		r = e.pairs.Add(pk, listTried)
		p := e.pairs.Val(r)
		p.touched, p.pardon = e.sec, pardoned.pardon
	} else {
		e.pairs.Touch(r)
	}

	// Scores fade when they are looked at, and pardons are applied then: neither costs a pass over
	// the table.
	e.pairs.Mark(r)
	p := e.pairs.Val(r)
	p.dropStale(e.sec)
	if e.sec > p.touched {
		p.debt.fade(fade(e.sec-p.touched, e.half), fade(e.sec-p.touched, e.slowHalf))
		p.touched = e.sec
	}

	p.applyPardon(&pardoned)
	return p, r
}

// applyPardon forgets the failures of a pair from before its source was pardoned.
func (p *pair) applyPardon(s *source) {
	if p.pardon != s.pardon {
		p.clear(s.pardon)
	}
}

// dropStale forgets the failures of a pair that its source does not count as owned, as after a
// crash, when the source may have been pardoned and forgotten since: see pardonedLately.
func (p *pair) dropStale(now uint32) {
	if p.okAt != 0 && p.flags&pairOwned == 0 && now-p.touched >= seconds(triedMemory) {
		p.clear(p.pardon)
	}
}

// clear forgets the failures of a pair.
func (p *pair) clear(pardon uint8) {
	kept := p.flags & (pairOwned | pairStranger | pairStrangerProven)
	*p = pair{okAt: p.okAt, touched: p.touched, pardon: pardon, flags: kept, between: p.between}
}

// removePair forgets an account at a source.
func (e *Engine) removePair(r table.Ref) {
	p := e.pairs.Val(r)
	if sr := e.sources.Get(e.pairs.Key(r).host()); sr != 0 {
		s := e.sources.Val(sr) // no reason to save it: Recall counts anew
		p.applyPardon(s)
		s.uncountFailed(p)
		if p.flags&pairOwned != 0 && s.owns > 0 {
			s.owns--
		}
	}

	e.pairs.Remove(r)
}

// uncountFailed takes a pair out of the count of accounts that failed at its source.
func (s *source) uncountFailed(p *pair) {
	if p.flags&pairFailed != 0 && s.failed > 0 {
		s.failed--
	}
	if p.flags&pairFailedProven != 0 && s.failedProven > 0 {
		s.failedProven--
	}
	p.flags &^= pairFailed | pairFailedProven | pairStranger | pairStrangerProven
}

// noteFailed notes that an account failed at a source where it never succeeded, and reports whether
// it is the first time.
func (s *source) noteFailed(p *pair, proven bool) (first bool) {
	if p.okAt != 0 {
		return false
	}

	first = p.flags&pairFailed == 0
	if first && s.failed < math.MaxUint8 {
		s.failed++
		p.flags |= pairFailed
	}

	if proven && p.flags&pairFailedProven == 0 && s.failedProven < math.MaxUint8 {
		s.failedProven++
		p.flags |= pairFailedProven
	}

	return first
}

// charge notes that a failure counted, with its weight on the slow scale.
func (p *pair) charge(ev *Evidence, slow float32) {
	p.fails = count16(p.fails)
	if ev.Proven() {
		p.provenFails = count16(p.provenFails)
	}
	p.debt.add(ev, slow)
}

// expirePairs forgets the accounts at sources that were quiet for long. It does so exactly in time,
// since verdicts depend on how many there are. Each was caused by at least one observation, so this
// costs no more than observing did.
func (e *Engine) expirePairs() {
	for list, memory := range pairMemory() {
		list := usage(list) // an index of pairMemory
		for r := e.pairs.Oldest(list); r != 0; r = e.pairs.Oldest(list) {
			if e.sec-e.pairs.Val(r).touched < memory {
				break
			}

			e.removePair(r)
		}
	}
}

// pairMemory returns for how many seconds the records of each list are remembered.
func pairMemory() [3]uint32 {
	return [...]uint32{
		listTried: seconds(triedMemory), listGuessed: seconds(triedMemory),
		listOwned: seconds(ownedMemory),
	}
}

// listOfTried returns the list of an account, or of one at a source: by its last success, and how
// often it was tried.
func listOfTried(okAt uint32, tried int) usage {
	switch {
	case okAt != 0:
		return listOwned
	case tried > 1:
		return listGuessed
	}
	return listTried
}

// noteStranger notes that a failure is a stranger's. It reports whether it is the first one of that
// source, and the first proven one.
func (p *pair) noteStranger(proven bool) (first, firstProven bool) {
	first = p.flags&pairStranger == 0
	firstProven = proven && p.flags&pairStrangerProven == 0
	p.flags |= pairStranger
	if proven {
		p.flags |= pairStrangerProven
	}
	return first, firstProven
}

// strangersOn notes that a stranger failed on an account, and returns how many others did lately.
// Against proven evidence only proven strangers count: the others may be forged.
func (e *Engine) strangersOn(id accountID, ev *Evidence, l *Label, first, firstProven bool) int {
	a, r := e.touchAccount(id, ev.Server, l)
	if first {
		a.strangers++
	}
	if firstProven {
		a.proven++
	}
	if a.okAt == 0 && whole(a.strangers) > 1 {
		e.accounts.Move(r, listGuessed)
	}
	if ev.Proven() {
		return whole(a.proven - 1)
	}

	return whole(a.strangers - 1)
}

// whole rounds a number of strangers or suspects that fade: one counts as a whole one for some
// minutes.
func whole(n float32) int { return int(n + 0.1) }

// count16 adds one to a counter that must not wrap.
func count16(n uint16) uint16 { return uint16(min(int(n)+1, math.MaxUint16)) } // checked
