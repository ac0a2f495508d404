package report

import (
	"hash/maphash"
	"net/netip"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/recording"
	"github.com/amifend/amifend/policy"
)

// An event is not an attempt: one request raises up to two events, and a client that answers a
// challenge sends two requests. The policy engine tells them apart (policy/request.go and
// policy/README.md), but it does not count requests that a ban drops. So this file counts by the
// same rules, and a test compares the two.

const (
	// companionWindow is the time in which the second event of a request comes, in nanoseconds.
	companionWindow = int64(2 * time.Second)

	// creditWindow is the time in which an answer belongs to the request that was challenged, in
	// nanoseconds.
	creditWindow = int64(32 * time.Second)

	// maxRequests is the number of requests that are remembered at least, as in the engine.
	maxRequests = 1 << 16
)

// requestKey identifies a request: its events have the same key.
type requestKey struct {
	source  netip.AddrPort
	session uint64
	server  uint16
	stream  bool
}

// request is the state of the failures under one key that do not name a known account.
type request struct {
	at      int64 // of the latest failure
	account policy.Label
	kind    policy.Kind
	pending uint8 // counted failures whose companion event has not come yet
	// credit is set while the next authenticated failure belongs to the latest one, which was
	// counted.
	credit bool
	// held is set while the latest failure is not counted. It is probably the authenticated one
	// that credit waited for; its companion shows whether it is.
	held bool
	addr netip.Addr
}

// requests turns events into attempts, and calls count with each.
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

// take receives one event that is evidence, or the companion of one.
func (r *requests) take(ev *recording.Event) {
	pjsip := ev.Service == policy.ServicePJSIP

	// Injections come first, because injected text may name any kind.
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
		// The challenge of a known account is not a failure.
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

// unauthenticated handles an InvalidAccountID or FailedACL of PJSIP.
func (r *requests) unauthenticated(ev *recording.Event) {
	// PJSIP raises the same event for a request without credentials and for the one with them.
	q := r.get(ev, true)
	switch {
	case q.held:
		// Another request came before the companion of the held one, so both are attempts of their
		// own.
		r.release(q)
		q.pending = bump(q.pending, 2)
		q.credit = false
	case q.credit && q.kind == ev.Kind && q.account == ev.Account && ev.At-q.at <= creditWindow:
		if ev.At-q.at > companionWindow {
			q.pending = 0
		}

		// This is probably the same client with credentials. Its companion will show whether it is.
		q.held = true
		q.credit = false
		q.at = ev.At
		return
	default:
		if ev.At-q.at > companionWindow {
			q.pending = 0
		}
		q.pending = bump(q.pending, 1)
		q.credit = true
	}

	// A new attempt, to which the events that follow may belong.
	q.at = ev.At
	q.kind = ev.Kind
	q.account = ev.Account
	r.counted(ev)
}

// challenged handles a ChallengeSent on `<unknown>` of PJSIP.
func (r *requests) challenged(ev *recording.Event) {
	q := r.get(ev, false)
	switch {
	case q == nil:
	case q.pending > 0 && ev.At-q.at <= companionWindow:
		// The second event of a request that was counted already.
		q.pending--
	case q.held:
		// A challenge shows that the held request had no credentials: an attempt of its own.
		r.release(q)
		q.pending = 0
		q.credit = true
	}
}

// refused reports whether a ChallengeResponseFailed on `<unknown>` of PJSIP belongs to an attempt
// that was counted before.
func (r *requests) refused(ev *recording.Event) bool {
	q := r.get(ev, false)
	switch {
	case q == nil:
		return false
	case q.held:
		// The held request had credentials, so it answered a challenge: one attempt in all.
		q.held = false
		q.pending = 0
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

// succeeded handles a success: a request that failed shortly before was not an attempt.
func (r *requests) succeeded(ev *recording.Event) {
	if q := r.get(ev, false); q != nil && ev.At-q.at <= creditWindow {
		delete(r.now, r.hash(ev))
	}
}

// acl handles a FailedACL of chan_sip, which raises two for one request with credentials.
func (r *requests) acl(ev *recording.Event) {
	q := r.get(ev, true)

	// The second of two events within the window belongs to the first, if both name one account.
	fold := q.credit && q.account == ev.Account && ev.At-q.at <= companionWindow
	q.at = ev.At
	q.kind = ev.Kind
	q.account = ev.Account
	q.credit = !fold
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

// bump returns n+by, or 255 if that is smaller.
func bump(n, by uint8) uint8 { return uint8(min(int(n)+int(by), 255)) }

// get returns the state of an event's request. If there is none, it makes one if create is set, and
// otherwise returns nil. It counts a held failure whose companion did not come in time.
func (r *requests) get(ev *recording.Event, create bool) *request {
	k := r.hash(ev)

	// There are two generations. A key that is used again moves to the young one.
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

	// Without a companion in time, the held request was an attempt of its own.
	if q.held && q.at+companionWindow < ev.At {
		r.release(q)
		q.pending = 0
		q.credit = true
	}

	return q
}

// keep remembers a key, and forgets the oldest ones if there are too many.
func (r *requests) keep(k uint64, q *request) {
	// The old generation is forgotten. Its held failures count before that.
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
