// Package refusals finds requests of which a PBX raises no security event, by comparing two sums for
// each address: the refusals (401 and 407) that the PBX sent to it, as the kernel counts them, and the
// events ChallengeSent and ChallengeResponseFailed that name it. Asterisk raises exactly one of them
// for each refusal. An address with refusals that no event explains is *silent*.
//
// A [Judge] is pure: it has no clock, no I/O and no goroutine, and its memory is bounded. It accuses
// nobody on a doubt: see [State].
//
// Over UDP the sender can have the answers sent elsewhere (`maddr` in the Via). So silence is no
// evidence against an address: it shows that somebody hides requests, and where to look.
package refusals

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// Limits of a judge.
const (
	// Least is how many refusals without an event make an address silent.
	Least = 3

	// leastPart is the same as a part of all refusals, over TCP: retransmitted segments count as
	// refusals there.
	leastPart = 4

	// MostKeys limits how many addresses are remembered. Those beyond it are not judged.
	MostKeys = 65536

	// baseline is how many looks take a counter that is new to them as it is. One walk of the kernel
	// may miss an element.
	baseline = 2

	// absent is after how many looks without a counter an address is forgotten.
	absent = 3

	// settle is how often a small difference is forgotten, so that lost segments do not add up.
	settle = 10 * time.Minute

	// manyUnexplained is the number of refusals from which a PBX without ChallengeSent is taken for
	// one that filters it out.
	manyUnexplained = 20

	// manySilent is the number of silent addresses from which most of all addresses are a doubt.
	manySilent = 4

	// doubtFor is how long a doubt lasts.
	doubtFor = 10 * time.Minute
)

// Key is an address as a PBX answers it. UDP and TCP are judged each for itself.
type Key struct {
	Addr   netip.Addr // not IPv4-mapped, without a zone
	Stream bool       // TCP or WebSocket, without TLS
}

// State is whether a judge may judge, and why not.
type State uint8

// The states.
const (
	// StateBegins: no ChallengeSent has come since the beginning. It may be filtered out.
	StateBegins State = iota

	// StateJudges: the judge judges.
	StateJudges

	// StateFiltered: there were many refusals without any ChallengeSent. The PBX filters it out, or
	// another program answers from its ports.
	StateFiltered

	// StateDoubt: most addresses are silent. Another program may answer from the PBX's ports.
	StateDoubt
)

// String returns the state in words.
func (s State) String() string {
	switch s {
	case StateBegins:
		return "no ChallengeSent has come yet"
	case StateJudges:
		return "judging"
	case StateFiltered:
		return "the PBX refuses requests and raises no ChallengeSent: manager.conf filters it out, or " +
			"another SIP server answers from these ports"
	case StateDoubt:
		return "most addresses are silent: another SIP server may answer from these ports"
	}
	return "unknown"
}

// Silent is an address that gets refusals which no event explains.
type Silent struct {
	Key
	Refused   uint64 // since the address was first seen, or last seen without a difference
	Unseen    int64  // those of them that no event explains
	Confirmed bool   // it was silent at the look before, too
}

// record is what is known of a key.
type record struct {
	last    uint64 // the kernel's counter
	refused uint64
	sum     int64 // refusals less events
	even    int64 // when the sum was last 0 or set to it, nanoseconds
	look    uint64
	moved   bool // in this look
	silent  bool // at the last look
}

// Judge compares the sums of one PBX. One goroutine uses it.
type Judge struct {
	records map[Key]*record
	look    uint64 // number of this one
	full    bool   // keys were turned away since the beginning

	challenged bool   // ChallengeSent came since the beginning
	refused    uint64 // since then
	state      State
	doubtUntil int64
}

// New returns a judge. It begins like after [Judge.Begin].
func New() *Judge {
	j := &Judge{}
	j.Begin()
	return j
}

// Begin forgets all sums: events may have been missed, or refusals. Counters that are there at the
// next two looks are the baseline. The events that came before must not be handed over after it.
func (j *Judge) Begin() {
	*j = Judge{records: map[Key]*record{}, doubtUntil: j.doubtUntil}
}

// Refused hands over a counter of the kernel. A counter that is lower than before has begun anew. One
// that comes twice in a look counts once.
func (j *Judge) Refused(k Key, counter uint64) {
	r, fresh := j.recordOf(k)
	if r == nil {
		return
	}

	if fresh && (j.look < baseline || j.full) {
		r.last = counter // what was refused before is not known to be unexplained
	}
	if counter < r.last {
		r.last = 0
	}
	if n := counter - r.last; n > 0 {
		r.refused += n
		r.sum += int64(n)
		r.moved = true
		j.refused += n
	}
	r.last, r.look = counter, j.look
}

// Explained hands over how many events named a key since it was last asked. Call it half a second
// after the counters of a look were read, since an event follows its answer by milliseconds.
func (j *Judge) Explained(k Key, challenged, failed uint32) {
	if challenged > 0 {
		j.challenged = true
	}
	r, fresh := j.recordOf(k)
	if r == nil {
		return
	}
	if fresh {
		r.look = j.look
	}
	r.sum -= int64(challenged) + int64(failed)
	r.moved = true
}

// recordOf returns the record of a key, nil if there is no room for it.
func (j *Judge) recordOf(k Key) (r *record, fresh bool) {
	if r := j.records[k]; r != nil {
		return r, false
	}
	if len(j.records) >= MostKeys {
		j.full = true
		return nil, false
	}
	r = &record{}
	j.records[k] = r
	return r, true
}

// Look ends a look at a time, in nanoseconds since the Unix epoch. It returns the silent addresses,
// the loudest first. timely is whether all events of the refusals are known to have been handed over:
// otherwise nothing is concluded, and the sums go on.
func (j *Judge) Look(at int64, timely bool) []Silent {
	var silent []Silent
	active := 0
	for k, r := range j.records {
		if j.look-r.look >= absent {
			delete(j.records, k)
			continue
		}
		if r.refused > 0 {
			active++
		}
		if s, ok := r.judge(k, at, timely); ok {
			silent = append(silent, s)
		}
	}
	j.look++

	if !j.mayJudge(at, len(silent), active) || !timely {
		return nil
	}
	slices.SortFunc(silent, func(a, b Silent) int {
		return cmp.Or(cmp.Compare(b.Unseen, a.Unseen), a.Addr.Compare(b.Addr))
	})
	return silent
}

// judge judges one record, and makes small differences even.
func (r *record) judge(k Key, at int64, timely bool) (Silent, bool) {
	moved := r.moved
	r.moved = false
	if r.even == 0 {
		r.even = at
	}

	if r.sum < Least || k.Stream && uint64(r.sum)*leastPart < r.refused {
		// Not while answers and their events may be on their way: an event that comes after it would
		// explain a later refusal.
		if !moved && at-r.even >= int64(settle) {
			r.sum, r.refused, r.even = 0, 0, at
		}
		r.silent = false
		return Silent{}, false
	}
	if !timely {
		return Silent{}, false
	}

	s := Silent{Key: k, Refused: r.refused, Unseen: r.sum, Confirmed: r.silent}
	r.silent = true
	return s, true
}

// mayJudge finds out the state.
func (j *Judge) mayJudge(at int64, silent, active int) bool {
	if silent >= manySilent && 2*silent >= active {
		j.doubtUntil = at + int64(doubtFor)
	}
	switch {
	case !j.challenged && j.refused >= manyUnexplained:
		j.state = StateFiltered
	case !j.challenged:
		j.state = StateBegins
	case at < j.doubtUntil:
		j.state = StateDoubt
	default:
		j.state = StateJudges
	}
	return j.state == StateJudges
}

// State returns the state as of the last look.
func (j *Judge) State() State { return j.state }

// Total returns how many refusals were counted since the beginning.
func (j *Judge) Total() uint64 { return j.refused }

// Len returns how many addresses are remembered.
func (j *Judge) Len() int { return len(j.records) }
