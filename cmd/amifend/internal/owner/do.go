package owner

import (
	"context"
	"time"
)

// share bounds the time that an owner spends with the calls of others: one part of this many, for
// all callers together.
const share = 10

// free is the longest time of a call that needs no pause after it. A timer is not precise enough
// for the pause that a shorter call would need.
const free = 20 * time.Microsecond

// Calls holds the functions that others want called by the goroutine that owns the data. One call
// is made at a time. After a long one there is a pause, so that the owner has time for its own
// work. A call must be short: split longer work into several.
type Calls struct {
	owner string        // for errors
	in    chan func()   // to the owner
	turn  chan struct{} // holds a token while somebody may call
}

// NewCalls returns the calls of an owner. Errors, which people read, hold its name.
func NewCalls(owner string) Calls {
	c := Calls{owner: owner, in: make(chan func(), 1), turn: make(chan struct{}, 1)}
	c.turn <- struct{}{}
	return c
}

// C delivers the functions that the owner must call.
func (c Calls) C() <-chan func() { return c.in }

// Do lets the owner call f, and returns the result of f. The owner never waits, neither for a call
// nor for the caller. When ctx ends first, Do returns a [BusyError], and f may still be called
// later.
func Do[T any](ctx context.Context, c Calls, f func() T) (T, error) {
	var none T

	// Callers wait here for each other, and for the pause after a long call.
	select {
	case <-c.turn:
	case <-ctx.Done():
		return none, c.Busy()
	}

	// Both channels have room. answer has it, so that the owner does not wait for a caller that has
	// gone. c.in has it, because only the holder of the token sends.
	answer := make(chan T, 1)
	c.in <- func() {
		began := time.Now()
		answer <- f()
		c.rest(time.Since(began))
	}

	select {
	case v := <-answer:
		return v, nil
	case <-ctx.Done():
		return none, c.Busy()
	}
}

// rest gives the token back, after a pause if the call took long.
func (c Calls) rest(took time.Duration) {
	if took < free {
		c.turn <- struct{}{}
		return
	}
	time.AfterFunc((share-1)*took, func() { c.turn <- struct{}{} })
}

// Busy returns the error of a call that was not answered in time.
func (c Calls) Busy() error { return &BusyError{c.owner} }

// BusyError is the error of a call that its owner did not answer in time.
type BusyError struct {
	Owner string // as people call it
}

func (e *BusyError) Error() string { return e.Owner + " does not answer" }
