package enforce

import (
	"context"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
	"github.com/amifend/amifend/firewall"
)

// Status is the state of the enforcer, for operators.
type Status struct {
	Bans        int
	Scopes      map[firewall.Scope]int // of them, of each scope
	Pending     int                    // changes that the kernel does not have yet
	Waiting     int                    // bans that wait for room
	Failure     string                 // why the kernel refuses; "": it does not
	Taken       int                    // how often others took the table or bans away within an hour
	LastTaken   time.Time              // wall clock; zero: never
	Ineffective []Ineffective          // of the last day, the last one at the end
}

// Status returns the state of the enforcer.
func (e *Enforcer) Status(ctx context.Context) (Status, error) {
	return owner.Do(ctx, e.calls, func() Status {
		s := Status{
			Bans: len(e.ledger.bans), Pending: e.ledger.pending(), Waiting: e.ledger.waiting(),
			Ineffective: e.reported.latest(), Failure: e.refusal(),
			Taken: e.meddling.times(e.clock.Now()), Scopes: make(map[firewall.Scope]int),
		}
		for _, scope := range bans.Scopes() {
			s.Scopes[scope] = e.ledger.scopes[scope]
		}
		if e.dirty { // what the kernel has is not known
			s.Pending = max(s.Pending, s.Bans)
		}
		if e.meddling.last != 0 {
			s.LastTaken = e.clock.Wall(e.meddling.last)
		}
		return s
	})
}

// refusal returns why the kernel refuses; "": it does not.
func (e *Enforcer) refusal() string {
	if e.failure.backoff > 0 {
		return e.failure.text
	}
	return ""
}
