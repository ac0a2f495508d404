package app

import (
	"context"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/journal"
)

// How often kernel, journal and ledger are compared.
const (
	reconcileEvery = 5 * time.Minute
	reconcileLeast = 10 * time.Second // between two that somebody wants
	reconcileWait  = time.Minute      // for the journal's answer
)

// memory is the journal as the enforcer asks it.
type memory interface {
	Snapshot(ctx context.Context) (*journal.Snapshot, error)
}

// inquiry is how the enforcer asks the journal without waiting for it.
type inquiry struct {
	memory  memory                 // nil: there is no journal
	wanted  chan struct{}          // a token: somebody wants kernel and journal compared
	answers chan *journal.Snapshot // nil is an answer too: the journal cannot tell
	due     bool                   // it was wanted
	open    bool                   // no answer yet
	asked   int64                  // when
	last    comparison
}

// comparison is how kernel, journal and ledger were compared last.
type comparison struct {
	count uint64 // how many there were, this one included
	found differences
	err   string // why it could not be done
}

// done notes what came of a comparison.
func (q *inquiry) done(found differences, err string) {
	q.last = comparison{q.last.count + 1, found, err}
}

// hurry has them compared now. Only the enforcer may call it.
func (q *inquiry) hurry(now int64) {
	if q.due = true; !q.open {
		q.asked = min(q.asked, now-int64(reconcileLeast))
	}
}

func newInquiry() inquiry {
	return inquiry{wanted: make(chan struct{}, 1), answers: make(chan *journal.Snapshot, 1)}
}

// next tells how long it is until the journal is to be asked.
func (q *inquiry) next(now int64) time.Duration {
	switch {
	case q.memory == nil || q.open:
		return reconcileEvery
	case q.due:
		return time.Duration(q.asked-now) + reconcileLeast
	default:
		return time.Duration(q.asked-now) + reconcileEvery
	}
}

// inquire asks the journal if it is time to.
func (e *enforcer) inquire(ctx context.Context, now int64) {
	q := &e.inquiry
	if q.memory == nil || q.open || q.next(now) > 0 {
		return
	}
	q.asked, q.open, q.due = now, true, false
	e.ledger.gone = make(map[key]struct{})
	go func() {
		ctx, cancel := context.WithTimeout(ctx, reconcileWait)
		defer cancel()
		snap, err := q.memory.Snapshot(ctx)
		if err != nil {
			snap = nil // the journal says itself what is wrong with it
		}
		q.answers <- snap // has room: there is one question at a time
	}()
}

// want has kernel, journal and ledger compared soon. It may be called from any goroutine.
func (q *inquiry) want() { offer(q.wanted, struct{}{}) }
