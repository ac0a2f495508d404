package policy

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/dchest/siphash"

	"github.com/amifend/amifend/policy/internal/table"
)

// One request to a PBX raises up to two events, and a client that answers a challenge sends two
// requests. This file turns events into attempts. The key of a request is its server, its source
// with the port, and its session. But a session is as long as the attacker likes (svcrack sends
// every guess under one Call-ID), so a key alone excuses nothing.

// requestKey identifies a request: the events of one request have it in common.
type requestKey struct {
	source  key
	session uint64
	port    uint16
	server  uint16
	// a forgeable failure, which may count nothing, must not excuse a proven one
	stream bool
}

// keyOf returns the key of an observation's request.
func keyOf(k key, o *Observation) requestKey {
	return requestKey{
		source: k, session: o.Session, port: o.Source.Port(), server: o.Server, stream: o.Stream,
	}
}

func (k requestKey) Hash(k0, k1 uint64) uint64 {
	var b [29]byte
	binary.LittleEndian.PutUint64(b[:], k.source.hi)
	binary.LittleEndian.PutUint64(b[8:], k.source.lo)
	binary.LittleEndian.PutUint64(b[16:], k.session)
	binary.LittleEndian.PutUint16(b[24:], k.port)
	binary.LittleEndian.PutUint16(b[26:], k.server)
	if k.stream {
		b[28] = 1
	}

	return siphash.Hash(k0, k1, b[:])
}

// request is the record of the failures of a key that name no known account: InvalidAccountID and
// FailedACL.
type request struct {
	at      int64 // of the latest failure
	account Label // of the latest failure
	kind    Kind  // of the latest failure
	pending uint8 // counted failures whose companion event has not come yet
	counted int64 // the time of the latest one that was counted, if it may be confirmed, else 0
	// the latest failure was counted, and an authenticated failure that follows belongs to it
	credit bool
	// the latest failure may be that authenticated one, so it waits uncounted for its companion
	held bool
}

// requestList names the lists of the table of requests.
type requestList uint8

// The lists, in the order in which they give up records.
const (
	requestsPlain requestList = iota
	requestsHeld              // in the order of request.at
)

const (
	// maxRequests bounds the keys that are remembered. One Asterisk was seen to raise 13,000
	// events/s under flood; this is about ten seconds of it. The oldest key is forgotten first, and
	// its next event counts as if it were the first. So a flood may make a request of someone else
	// count twice, but never not at all.
	maxRequests = 1 << 16

	// companionWindow is the time within which the second event of a request comes.
	companionWindow = int64(2 * time.Second)

	// creditWindow is the time within which the answer to a challenge belongs to the request that
	// was challenged: PJSIP's nonces live 32 s.
	creditWindow = int64(32 * time.Second)
)

// unauthenticated judges an InvalidAccountID or FailedACL of PJSIP. It counts at once, unless it
// may be the answer to the challenge of an earlier one. Then its companion event decides, at most
// two seconds later.
func (e *Engine) unauthenticated(k requestKey, o *Observation) {
	r := e.requests.Get(k)
	if r == 0 {
		r = e.addRequest(k)
	}

	q := e.requests.Val(r)
	switch {
	case q.held:
		// a pair ends with an authenticated request, so both failures are of further requests
		e.release(r)
		q.pending = bump(q.pending, 2)
		q.credit = false
	case q.credit && q.kind == o.Kind && q.account == o.Account && e.now-q.at <= creditWindow:
		if e.now-q.at > companionWindow {
			q.pending = 0
		}

		q.held, q.credit, q.at = true, false, e.now
		e.requests.Move(r, requestsHeld)
		return
	default:
		if e.now-q.at > companionWindow {
			q.pending = 0
		}

		q.pending = bump(q.pending, 1)
		q.credit = true
	}

	q.at, q.kind, q.account, q.counted = e.now, o.Kind, o.Account, o.At
	e.requests.Move(r, requestsPlain)
	e.countTentative(k.source, o)
}

// challenged judges a ChallengeSent on `<unknown>` of PJSIP. A challenge is never evidence. It
// shows that the failure before it had no credentials.
func (e *Engine) challenged(k requestKey) {
	r := e.requests.Get(k)
	if r == 0 {
		return
	}

	q := e.requests.Val(r)
	switch {
	case q.pending > 0 && e.now-q.at <= companionWindow:
		q.pending--
	case q.held:
		e.release(r)
		q.pending, q.credit = 0, true
	}
}

// refused judges a ChallengeResponseFailed on `<unknown>` of PJSIP.
func (e *Engine) refused(k requestKey, o *Observation) {
	if r := e.requests.Get(k); r != 0 {
		q := e.requests.Val(r)
		switch {
		case q.held: // the companion: the failure was the answer to the challenge
			q.held, q.pending = false, 0
			e.requests.Move(r, requestsPlain)
			e.fold(k.source, q, o)
			return
		case q.pending > 0 && e.now-q.at <= companionWindow:
			// The companion: the first request had credentials already.
			q.pending--
			q.credit = q.credit && q.pending > 0
			e.fold(k.source, q, o)
			return
		case q.credit && e.now-q.at <= creditWindow:
			// The answer to the challenge. Asterisk held back the failure that belongs to it.
			q.credit = false
			e.fold(k.source, q, o)
			return
		}
	}

	e.countTentative(k.source, o)
}

// fold notes that an event belongs to an attempt that was counted before. That is proven if the event
// turns out to be.
func (e *Engine) fold(k key, q *request, o *Observation) {
	e.stats.Folded++
	if o.Confirmable && q.counted != 0 {
		e.renameTentative(k, o, q.counted)
	}
	q.counted = 0
}

// chanSIPACL judges a FailedACL of chan_sip, which raises two of them for one request with
// credentials (capture 20) and no companion that tells them apart.
func (e *Engine) chanSIPACL(k requestKey, o *Observation) {
	r := e.requests.Get(k)
	if r == 0 {
		r = e.addRequest(k)
	}

	q := e.requests.Val(r)
	fold := q.credit && q.account == o.Account && e.now-q.at <= companionWindow
	q.at, q.kind, q.account, q.credit = e.now, o.Kind, o.Account, !fold
	e.requests.Move(r, requestsPlain)
	if fold {
		e.stats.Folded++
		return
	}

	e.count(k.source, e.evidenceOf(o), RuleNone)
}

// addRequest makes room for a key.
func (e *Engine) addRequest(k requestKey) table.Ref {
	if e.requests.Full() {
		r := e.requests.Victim()
		if e.requests.Val(r).held {
			e.release(r)
		}

		e.requests.Remove(r)
		e.stats.EvictedRequests++
	}

	return e.requests.Add(k, requestsPlain)
}

// release counts a failure that was held.
func (e *Engine) release(r table.Ref) {
	k, q := e.requests.Key(r), e.requests.Val(r)
	q.held = false
	e.requests.Move(r, requestsPlain)
	e.count(k.source, Evidence{
		At: q.at, Kind: q.kind, Service: ServicePJSIP,
		Chooser: WhoChooses(ServicePJSIP, k.stream, q.kind), Server: k.server, Port: k.port,
		Weight: float32(e.opt.Weights[q.kind]), Account: q.account,
	}, RuleNone)
}

// nextHeld returns the failure whose companion is late first, and when it will be.
func (e *Engine) nextHeld() (table.Ref, int64) {
	r := e.requests.Oldest(requestsHeld)
	if r == 0 {
		return 0, math.MaxInt64
	}
	return r, e.requests.Val(r).at + companionWindow
}

// releaseLate counts a held failure whose companion did not come in time.
func (e *Engine) releaseLate(r table.Ref) {
	e.release(r)
	q := e.requests.Val(r)
	q.pending, q.credit = 0, true
}

// sweepRequests forgets keys that excuse nothing any more, at most budget of them.
func (e *Engine) sweepRequests(budget int) {
	for range budget {
		r := e.requests.Oldest(requestsPlain)
		if r == 0 || e.now-e.requests.Val(r).at <= creditWindow {
			return
		}
		e.requests.Remove(r)
	}
}

// bump adds to a counter that must not wrap.
func bump(n, by uint8) uint8 { return uint8(min(int(n)+int(by), 255)) } // at most 255
