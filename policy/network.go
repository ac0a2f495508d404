package policy

import (
	"math"
	"slices"
	"time"

	"github.com/amifend/amifend/policy/internal/table"
)

// network is the record of a prefix that attackers spread over: the /24 of an IPv4 address, the
// /64, /56 and /48 of an IPv6 address. Times are seconds since the Unix epoch.
type network struct {
	proven, forgeable float32 // scores, as of at
	// forgeable attempts in the names of proved addresses: alerted, not held against it
	guess           float32
	suspects        float32 // parts of it (see part) that failed, fading in networkMemory
	provenSuspects  float32 // those of them whose failures were proven
	at              uint32
	proofAt         uint32 // the last proof of one of its addresses
	strikeAt        uint32 // when the latest ban of it or in it ends or ended
	failed          recent // parts that failed
	banned          recent // parts that were banned
	attempts        uint16
	offenders       uint8 // parts that were banned
	provenOffenders uint8 // of these bans, those on proven evidence
	strikes         uint8
	flags           uint8
	// the share of forgeable whose address anybody could have chosen, see shareUnit
	chosen uint8
	gen    uint8 // as that of a source
}

// recent are the latest few different parts of a network, hashed with the engine's seed, newest
// first; 0 is none. They keep a few parts that take turns from looking like many.
type recent [4]uint32

// add notes a part. True means that it is not one of the latest.
func (r *recent) add(part uint32) bool {
	i := r.index(part)
	if i == 0 {
		return false
	}

	found := i > 0
	if found {
		part = r[i] // with its provenPart
	} else {
		i = len(r) - 1
	}

	copy(r[1:i+1], r[:i])
	r[0] = part
	return !found
}

// provenPart is set in a part that failed with proven evidence, or was banned on it.
const provenPart = 2

// index returns where a part stands, -1 if it is not one of the latest.
func (r *recent) index(part uint32) int {
	return slices.IndexFunc(r[:], func(v uint32) bool { return v&^provenPart == part })
}

// remove forgets a part. True means that it was one of the latest.
func (r *recent) remove(part uint32) bool {
	i := r.index(part)
	if i < 0 {
		return false
	}
	copy(r[i:], r[i+1:])
	r[len(r)-1] = 0
	return true
}

// networkHalfLives is the half-life of a prefix's score, in half-lives of a source's. networkMemory
// is that of its number of suspects. Both are long: an attacker who has many addresses has time.
const (
	networkHalfLives = 12
	networkMemory    = 24 * time.Hour
)

// spread is the condition under which prefixes of a length are banned: enough suspects whose
// attempts add up to a score above factor times the threshold, or enough banned ones. A /64 is one
// link, a /56 one household or office, a /48 one site (RFC 6177); a /24 is shared by strangers.
type spread struct {
	bits      uint8
	suspects  int
	factor    float32
	offenders uint8
}

var spreads4 = [...]spread{{v4Bits + 24, 5, 3, 4}}

var spreads6 = [...]spread{{64, 2, 1, 2}, {56, 2, 1.5, 2}, {48, 3, 2.5, 3}}

// spreads returns the prefixes of a host that are scored along with it, longest first: none where a
// prefix says nothing about who is behind it, see hostOnly.
func (k key) spreads() []spread {
	switch {
	case k.is4():
		return spreads4[:]
	case hostOnly(k):
		return nil
	}
	return spreads6[:]
}

// part returns the identity of a part of a network: its addresses, or its /64s. It is not 0.
func (e *Engine) part(k key, bits uint8) uint32 {
	if bits < netBits {
		k = k.masked(netBits)
	}
	return uint32(k.Hash(e.k0, e.k1))&^provenPart | 1 // the lower half is meant
}

// touchNetwork returns a prefix's record as of now, made if there is none, and makes it the newest.
func (e *Engine) touchNetwork(k key) (*network, table.Ref) {
	r := e.networks.Get(k)
	if r == 0 {
		if e.networks.Full() {
			e.evictNetwork()
		}

		r = e.networks.Add(k, listCalm)
		n := e.networks.Val(r)
		n.at, n.gen = e.sec, e.general.gen
	}

	e.networks.Mark(r)
	n := e.networks.Val(r)
	e.decayNetwork(n)
	e.classifyNetwork(k, r)
	return n, r
}

// evictNetwork forgets a prefix to make room.
func (e *Engine) evictNetwork() {
	e.relistFreedNetworks(freedBudget)
	victim := e.networks.Victim()
	if e.networks.List(victim) == listProved {
		// from now on it is not known which prefixes hold a proved address
		e.blindAt, e.blind = e.sec, true
	}
	e.networks.Remove(victim)
	e.stats.EvictedPrefixes++
}

func (e *Engine) decayNetwork(n *network) {
	e.renewNetwork(n)
	if n.offenders > 0 && e.sec > n.strikeAt && e.sec-n.strikeAt > 3*seconds(strikeFade) {
		n.offenders, n.provenOffenders, n.banned = 0, 0, recent{}
	}

	fadeStrikes(&n.strikes, &n.strikeAt, e.sec)
	if e.sec <= n.at {
		return
	}

	// A prefix is forgotten more slowly than a source: whoever has many addresses has time.
	dt := e.sec - n.at
	n.at = e.sec
	f := fade(dt, networkHalfLives*e.half)
	n.proven *= f
	n.forgeable *= f
	n.guess *= f
	memory := fade(dt, networkMemory.Seconds())
	n.suspects *= memory
	n.provenSuspects *= memory
	if n.proven+n.forgeable < e.calm {
		n.proven, n.forgeable, n.suspects, n.provenSuspects, n.attempts = 0, 0, 0, 0, 0
		n.failed = recent{}
	}
}

func (e *Engine) holdsProof(n *network) bool {
	return n.flags&flagProof != 0 && e.sec-n.proofAt < e.proofWindow
}

func (e *Engine) classifyNetwork(k key, r table.Ref) {
	e.networks.Move(r, e.networkStanding(k, e.networks.Val(r)))
}

// networkStanding returns the list where a record belongs.
func (e *Engine) networkStanding(k key, n *network) standing {
	switch {
	case e.banScope(k) != ScopeNone:
		return listBanned
	case e.holdsProof(n):
		return listProved
	case n.strikes > 0 || n.offenders > 0:
		return listStruck
	case n.attempts > 1:
		return listActive
	}

	return listCalm
}

// addFrom adds an attempt of one address to a network.
func (e *Engine) addFrom(part uint32, n *network, ev *Evidence) {
	if n.failed.add(part) {
		n.suspects++
	}

	if ev.Proven() && n.failed[0]&provenPart == 0 {
		n.failed[0] |= provenPart
		n.provenSuspects++
	}

	// A trap weighs no more than an attempt: one source is no network.
	threshold := float32(e.opt.Threshold)
	weight := min(ev.Weight, threshold/3)
	score := &n.proven
	if !ev.Proven() {
		score = &n.forgeable
		n.chosen = shareAfter(n.forgeable, n.chosen, weight, ev.Chooser)
	}

	*score = min(*score+weight, maxScore*threshold)
	if n.attempts < math.MaxUint16 {
		n.attempts++
	}
}

// offend notes that a part of a network earned a ban of that weight that ends at until.
func (n *network) offend(part uint32, of weight, until uint32) {
	if n.banned.add(part) {
		n.offenders = bump(n.offenders, 1)
	}
	if of == weightProven && n.banned[0]&provenPart == 0 {
		n.banned[0] |= provenPart
		n.provenOffenders = bump(n.provenOffenders, 1)
	}
	n.strikeAt = max(n.strikeAt, until)
}

// sweepNetworks forgets what has no meaning any more, at most budget records of each list.
func (e *Engine) sweepNetworks(budget int) {
	for _, list := range [...]standing{listCalm, listActive, listStruck, listProved} {
		for range budget {
			r := e.networks.Oldest(list)
			if r == 0 || !e.sweepNetwork(r) {
				break
			}
		}
	}
}

func (e *Engine) sweepNetwork(r table.Ref) bool {
	n, list := e.networks.Val(r), e.networks.List(r)
	e.decayNetwork(n)
	struck, proved := n.strikes > 0 || n.offenders > 0, e.holdsProof(n)
	switch {
	case !struck && !proved && n.attempts == 0 && n.guess < e.calm:
		if e.save.begun && e.networks.Changed(r) {
			return false // the log has a score of it
		}

		e.networks.Remove(r)
		return true
	case list == listProved && !proved, list == listStruck && !struck,
		list == listActive && n.attempts == 0:
		e.classifyNetwork(e.networks.Key(r), r)
		return true
	}

	return false
}
