package report

import (
	"hash/maphash"
	"net/netip"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/recording"
	"github.com/amifend/amifend/policy"
)

// Events are no attempts: one request raises up to two events, and a client that answers a
// challenge sends two requests. The policy engine tells them apart (policy/request.go and
// policy/README.md), but it sees nothing of what a ban drops. So this file counts by the same
// rules, and a test compares the two.

const (
	// companionWindow is within which the second event of a request comes.
	companionWindow = int64(2 * time.Second)

	// creditWindow is within which the answer to a challenge belongs to the request that was
	// challenged.
	creditWindow = int64(32 * time.Second)

	// maxRequests is how many requests are remembered at least; the engine's number.
	maxRequests = 1 << 16
)

// requestKey is what the events of one request have in common.
type requestKey struct {
	source  netip.AddrPort
	session uint64
	server  uint16
	stream  bool
}

// request is what is remembered of the failures of a key that name no known account.
type request struct {
	at      int64 // of the latest failure
	account policy.Label
	kind    policy.Kind
	pending uint8 // counted failures whose companion event has not come yet
	credit  bool  // the latest failure was counted, and the authenticated one that follows belongs to it
	held    bool  // the latest failure is not counted: it is that authenticated one, if its companion tells so
	addr    netip.Addr
}

// requests turns events into attempts, of which it calls count with each.
type requests struct {
	count    func(addr netip.Addr, a failure)
	seed     maphash.Seed
	now, old map[uint64]*request // by the hash of their keys, which is random
}

// failure is one attempt.
type failure struct {
	at      int64
	kind    policy.Kind
	account policy.Label
	ami     bool // at the Manager Interface
}

func newRequests(count func(netip.Addr, failure)) requests {
	return requests{
		count: count, seed: maphash.MakeSeed(), now: make(map[uint64]*request),
		old: make(map[uint64]*request),
	}
}

// take takes one event that is evidence, or the companion of one.
func (r *requests) take(ev *recording.Event) {
	pjsip := ev.Service == policy.ServicePJSIP
	switch {
	case ev.Injected:
		r.counted(ev)
	case pjsip && (ev.Kind == policy.KindInvalidAccountID || ev.Kind == policy.KindFailedACL):
		r.unauthenticated(ev)
	case pjsip && ev.Kind == policy.KindChallengeSent && ev.Unknown:
		r.challenged(ev)
	case pjsip && ev.Kind == policy.KindChallengeResponseFailed && ev.Unknown:
		if !r.refused(ev) {
			r.counted(ev)
		}
	case ev.Kind == policy.KindSuccessfulAuth:
		r.succeeded(ev)
	case ev.Kind == policy.KindChallengeSent:
	case ev.Service == policy.ServiceSIP && ev.Kind == policy.KindFailedACL:
		r.acl(ev)
	default:
		r.counted(ev)
	}
}

// counted counts an event as an attempt of its own.
func (r *requests) counted(ev *recording.Event) {
	kind := ev.Kind
	if ev.Injected {
		kind = policy.KindInjection
	}
	r.count(ev.Source.Addr(), failure{ev.At, kind, ev.Account, ev.Service == policy.ServiceAMI})
}

// release counts a failure that was held.
func (r *requests) release(q *request) {
	q.held = false
	r.count(q.addr, failure{q.at, q.kind, q.account, false})
}

// unauthenticated takes an InvalidAccountID or FailedACL of PJSIP.
func (r *requests) unauthenticated(ev *recording.Event) {
	q := r.get(ev, true)
	switch {
	case q.held: // an authenticated request ends the pair: this one is a further one, and so was that
		r.release(q)
		q.pending, q.credit = bump(q.pending, 2), false
	case q.credit && q.kind == ev.Kind && q.account == ev.Account && ev.At-q.at <= creditWindow:
		if ev.At-q.at > companionWindow {
			q.pending = 0
		}
		q.held, q.credit, q.at = true, false, ev.At
		return
	default:
		if ev.At-q.at > companionWindow {
			q.pending = 0
		}
		q.pending, q.credit = bump(q.pending, 1), true
	}
	q.at, q.kind, q.account = ev.At, ev.Kind, ev.Account
	r.counted(ev)
}

// challenged takes a ChallengeSent on `<unknown>` of PJSIP.
func (r *requests) challenged(ev *recording.Event) {
	q := r.get(ev, false)
	switch {
	case q == nil:
	case q.pending > 0 && ev.At-q.at <= companionWindow:
		q.pending--
	case q.held:
		r.release(q)
		q.pending, q.credit = 0, true
	}
}

// refused reports whether a ChallengeResponseFailed on `<unknown>` of PJSIP belongs to an attempt
// that was counted.
func (r *requests) refused(ev *recording.Event) bool {
	q := r.get(ev, false)
	switch {
	case q == nil:
		return false
	case q.held:
		q.held, q.pending = false, 0
	case q.pending > 0 && ev.At-q.at <= companionWindow:
		q.pending--
		q.credit = q.credit && q.pending > 0
	case q.credit && ev.At-q.at <= creditWindow:
		q.credit = false
	default:
		return false
	}
	return true
}

// succeeded takes a success: the request was no attempt, if it failed shortly before.
func (r *requests) succeeded(ev *recording.Event) {
	if q := r.get(ev, false); q != nil && ev.At-q.at <= creditWindow {
		delete(r.now, r.hash(ev))
	}
}

// acl takes a FailedACL of chan_sip, which raises two of them for one request with credentials.
func (r *requests) acl(ev *recording.Event) {
	q := r.get(ev, true)
	fold := q.credit && q.account == ev.Account && ev.At-q.at <= companionWindow
	q.at, q.kind, q.account, q.credit = ev.At, ev.Kind, ev.Account, !fold
	if !fold {
		r.counted(ev)
	}
}

// hash returns the hash of the key of an event's request.
func (r *requests) hash(ev *recording.Event) uint64 {
	return maphash.Comparable(r.seed, requestKey{
		source: ev.Source, session: ev.Session,
		server: ev.Server, stream: ev.Stream,
	})
}

// bump adds to a small number, which stops at its largest.
func bump(n, by uint8) uint8 { return uint8(min(int(n)+int(by), 255)) }

// get returns what is remembered of the request of an event. A failure whose companion is late is
// counted first.
func (r *requests) get(ev *recording.Event, create bool) *request {
	k := r.hash(ev)
	q := r.now[k]
	if q == nil {
		if q = r.old[k]; q != nil {
			delete(r.old, k)
		} else if create {
			q = &request{addr: ev.Source.Addr()}
		} else {
			return nil
		}
		r.keep(k, q)
	}
	if q.held && q.at+companionWindow < ev.At {
		r.release(q)
		q.pending, q.credit = 0, true
	}
	return q
}

// keep remembers a key, and forgets the oldest ones if there are too many.
func (r *requests) keep(k uint64, q *request) {
	if len(r.now) >= maxRequests {
		r.flush(r.old)
		r.now, r.old = r.old, r.now
		clear(r.now)
	}
	r.now[k] = q
}

// flush counts the failures that are held.
func (r *requests) flush(m map[uint64]*request) {
	for _, q := range m {
		if q.held {
			r.release(q)
		}
	}
}

// finish counts what is held at the end.
func (r *requests) finish() {
	r.flush(r.now)
	r.flush(r.old)
}
