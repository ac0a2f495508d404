package nonce

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/dchest/siphash"

	"github.com/amifend/amifend/policy/internal/table"
)

// Limits of a judge.
const (
	// MostNonces limits how many nonces are remembered. 1,000 phones that register each minute make
	// 2,000 in the time for which they are.
	MostNonces = 65536

	// Lifetime is how long a nonce is remembered, by its own second. Who guesses answers with a nonce
	// that is about a second old. An address may have changed hands after a longer time.
	Lifetime = 120

	// GenuineFrom is how many nonces of a server must have had the form of PJSIP before the judge
	// works for it. A refusal with another one begins the count anew.
	GenuineFrom = 20

	// latest is by how many seconds an answer may leave after its nonce was made.
	latest = 2

	// sweepMost limits how many nonces are forgotten at a time, so that no call takes long. An answer
	// adds fewer.
	sweepMost = 32

	// AstrayTime is how long an address is remembered whose answers went astray.
	AstrayTime = 10 * time.Minute

	// blindTime is how long nobody is trusted after an answer may have been missed. Nonces of PJSIP live
	// 32 seconds, unless pjsip.conf says otherwise.
	blindTime = 2 * time.Minute

	// mostAstray limits how many such addresses are remembered.
	mostAstray = 4096

	// mostServers limits the servers that are told apart.
	mostServers = 256
)

// Answer is a refusal (401 or 407) that a server sent over UDP, as it left.
type Answer struct {
	At     int64  // when it was read, nanoseconds since the Unix epoch, by the clock of the PBX
	Server uint16 // which PBX
	// whether it left from an address of that PBX; without it nothing in it is clean
	Known bool
	Port  uint16     // where it left from
	To    netip.Addr // where it went

	// Received is where the request came from, as the server wrote it into the topmost Via. The zero
	// Addr if it cannot be read.
	Received netip.Addr
	// Plain is whether there is one Via, of the form `SIP/2.0/UDP host[;ttl=][;rport=];received=`:
	// whatever the sender invents comes later in it.
	Plain bool

	// Nonces are those of all challenges in it that have the form of PJSIP. They are not kept.
	Nonces []Nonce
	// Malformed is whether there are others, or none.
	Malformed bool
	// Cut is whether a part of it may be missing, or it cannot be read.
	Cut bool
}

// astray reports whether the answer went to another address than the request came from.
func (a *Answer) astray() bool {
	return !a.Plain || !a.Received.IsValid() || address(a.Received) != address(a.To)
}

// address returns an address in a form that can be compared.
func address(a netip.Addr) [16]byte {
	if !a.IsValid() {
		return [16]byte{}
	}
	return a.As16()
}

// seen is where a nonce went.
type seen struct {
	to     [16]byte
	port   uint16
	server uint16
	void   bool
}

// key is a nonce as the table keeps it.
type key Nonce

func (k key) Hash(k0, k1 uint64) uint64 {
	var b [20]byte
	copy(b[:], k.Sum[:])
	binary.LittleEndian.PutUint32(b[16:], k.Second)
	return siphash.Hash(k0, k1, b[:])
}

// place is an address as a table keeps it.
type place [16]byte

func (p place) Hash(k0, k1 uint64) uint64 { return siphash.Hash(k0, k1, p[:]) }

// only is the list of a table that has one.
type only uint8

const list only = 0

// tail is what may have been lost at the end of what was read.
type tail uint8

const (
	tailWhole   tail = iota
	tailLost         // the kernel had more than was read
	tailEmptied      // all that was left has been read since; what was lost shows at the next answer
)

// Judge remembers where nonces went. One goroutine uses it.
type Judge struct {
	nonces *table.Table[key, seen, only]
	floor  uint32 // no nonce of a second up to this one is clean
	high   uint32 // the latest second that was seen

	begun bool
	next  uint32 // the sequence number of the next answer
	tail  tail

	genuine map[uint16]int
	astray  *table.Table[place, int64, only] // when an answer to it went astray last
	blindAt int64                            // when an answer may have gone astray to anybody
	stats   Stats
}

// Stats counts what a judge saw.
type Stats struct {
	Answers uint64
	Astray  uint64 // of them, those that went elsewhere than the request came from, or may have
	Gaps    uint64 // how often answers may have been missed
}

// New returns a judge that has seen nothing. seed keys its hashes. Nothing is clean before
// [Judge.Begin].
func New(seed uint64) *Judge {
	return &Judge{
		nonces:  table.New[key, seen](MostNonces, seed, ^seed, list),
		astray:  table.New[place, int64](mostAstray, seed, ^seed, list),
		genuine: map[uint16]int{},
		tail:    tailLost,
	}
}

// Begin begins anew: with a reader that has seen no answer yet, whose sequence numbers begin anywhere.
func (j *Judge) Begin(at int64) {
	j.Gap(at)
	j.begun, j.tail = false, tailWhole
}

// Gap notes that answers may have been missed until now: all nonces are forgotten, and those of
// seconds up to this one are never clean. An answer may leave later than its nonce was made, so nonces
// of older seconds are lost as well.
func (j *Judge) Gap(at int64) {
	j.pass(at)
	j.floor = max(j.floor, j.high)
	j.blindAt = max(j.blindAt, at)
	j.stats.Gaps++
}

// Overrun notes that the kernel had more answers than were read. How many is not known before the next
// one.
func (j *Judge) Overrun(at int64) {
	j.Gap(at)
	j.tail = tailLost
}

// Drained notes that all answers that had left were read.
func (j *Judge) Drained() {
	if j.tail == tailLost && j.begun {
		j.tail = tailEmptied
	}
}

// pass lets time pass. The clock may have been set back: then seconds come again, with the same nonces,
// which are never clean.
func (j *Judge) pass(at int64) {
	sec := secondOf(at)
	if sec < j.high {
		j.floor = max(j.floor, j.high)
		j.blindAt = max(j.blindAt, at)
		return
	}
	j.high = sec

	for range sweepMost {
		r := j.nonces.Oldest(list)
		if r == 0 || !j.dead(j.nonces.Key(r).Second) {
			return
		}
		j.nonces.Remove(r)
	}
}

// dead reports whether no nonce of a second can be clean any more.
func (j *Judge) dead(second uint32) bool {
	return second <= j.floor || uint64(second)+Lifetime < uint64(j.high)
}

// secondOf returns a time in seconds.
func secondOf(at int64) uint32 { return uint32(max(0, min(at/int64(time.Second), 1<<32-1))) }

// Answer notes an answer with its sequence number, and reports whether it went astray: elsewhere than
// the request came from, or nobody can say that it did not. It keeps nothing of a.
func (j *Judge) Answer(seq uint32, a *Answer) (astray bool) {
	j.stats.Answers++
	j.pass(a.At)
	if j.begun && seq != j.next || j.tail == tailEmptied || a.Cut {
		j.Gap(a.At)
	}
	if j.tail == tailEmptied {
		j.tail = tailWhole
	}
	j.begun, j.next = true, seq+1

	if a.Malformed && a.Known {
		delete(j.genuine, a.Server)
	}
	astray = !a.Cut && a.astray() // a cut one made a gap
	if astray {
		j.stats.Astray++
		j.noteAstray(a)
	}

	clean := !astray && !a.Malformed && !a.Cut && a.Known
	for _, n := range a.Nonces {
		j.note(n, a, clean)
	}
	return astray
}

// note notes a nonce of an answer.
func (j *Judge) note(n Nonce, a *Answer, clean bool) {
	// An answer cannot leave before its nonce was made. What does so shows that the clock was set back.
	clean = clean && n.Second <= j.high && n.Second+latest >= j.high
	to := seen{to: address(a.To), port: a.Port, server: a.Server, void: !clean}

	if r := j.nonces.Get(key(n)); r != 0 {
		if s := j.nonces.Val(r); *s != to {
			s.void = true
		}
		return
	}

	// What cannot become clean any more need not be remembered.
	if j.dead(n.Second) {
		return
	}
	if j.nonces.Full() {
		// The oldest are forgotten, and with them what voids them.
		oldest := j.nonces.Oldest(list)
		j.floor = max(j.floor, j.nonces.Key(oldest).Second)
		j.nonces.Remove(oldest)
		if n.Second <= j.floor {
			return
		}
	}
	*j.nonces.Val(j.nonces.Add(key(n), list)) = to
	if clean && j.tail == tailWhole {
		j.countGenuine(a.Server)
	}
}

// countGenuine counts a clean nonce of a server, up to the number that counts.
func (j *Judge) countGenuine(server uint16) {
	n, known := j.genuine[server]
	if n < GenuineFrom && (known || len(j.genuine) < mostServers) {
		j.genuine[server] = n + 1
	}
}

// noteAstray remembers whose answer went astray.
func (j *Judge) noteAstray(a *Answer) {
	if !a.Received.IsValid() {
		j.blindAt = max(j.blindAt, a.At) // it may be anybody's
		return
	}

	p := place(address(a.Received))
	r := j.astray.Get(p)
	if r == 0 {
		if j.astray.Full() {
			oldest := j.astray.Oldest(list)
			if a.At-*j.astray.Val(oldest) < int64(AstrayTime) {
				j.blindAt = max(j.blindAt, a.At)
			}
			j.astray.Remove(oldest)
		}
		r = j.astray.Add(p, list)
	}
	j.astray.Touch(r)
	*j.astray.Val(r) = a.At
}

// Works reports whether the judge works for a server: enough of its nonces have had the form of PJSIP.
func (j *Judge) Works(server uint16) bool { return j.genuine[server] >= GenuineFrom }

// Clean reports whether a nonce proves that an answer to it, which came to a port of a server, is from
// an address: it left from that port to that address, and to nobody else. at is the time, by the clock
// of Answer. Call it after all answers that had left before were read: see [Judge.Drained].
func (j *Judge) Clean(n Nonce, server, port uint16, from netip.Addr, at int64) bool {
	j.pass(at)
	if !j.Works(server) || j.tail != tailWhole || !from.IsValid() || port == 0 {
		return false
	}
	if j.dead(n.Second) {
		return false
	}

	r := j.nonces.Get(key(n))
	return r != 0 && *j.nonces.Val(r) == seen{to: address(from), port: port, server: server}
}

// Trusted reports whether the receiver of the answers to an address can be told: none of them went
// astray for so long, nor can one have been missed. A success in the name of an address needs a nonce
// of that address.
func (j *Judge) Trusted(from netip.Addr, at int64) bool {
	j.pass(at)
	if !from.IsValid() || j.tail != tailWhole || at-j.blindAt < int64(blindTime) {
		return false
	}
	r := j.astray.Get(place(address(from)))
	return r == 0 || at-*j.astray.Val(r) >= int64(AstrayTime)
}

// Len returns how many nonces are remembered.
func (j *Judge) Len() int { return j.nonces.Len() }

// Stats returns what was counted since New.
func (j *Judge) Stats() Stats { return j.stats }
