package app

import (
	"context"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// askShare is how little of its owner's time asking may take: one part of so many, whoever asks and for whatever.
const askShare = 10

// askFree is what is not reckoned: a pause could not be timed as exactly.
const askFree = 20 * time.Microsecond

// asks is how others have something done by the goroutine that owns the data. What is asked must be done quickly: longer
// work is asked for in parts. One asks at a time, and after what took long nobody does for a while, so that the owner has
// its time for what it is there for.
type asks struct {
	in   chan func()   // to the owner, which calls what it gets
	turn chan struct{} // holds a token while somebody may ask
}

func newAsks() asks {
	a := asks{in: make(chan func(), 1), turn: make(chan struct{}, 1)}
	a.turn <- struct{}{}
	return a
}

// ask has f called by the owner, and returns what it returned. The owner never waits: not for the question, and not for
// whoever asked. When ctx ends first, f may still be called later.
func ask[T any](ctx context.Context, a asks, who string, f func() T) (T, error) {
	var none T
	select {
	case <-a.turn:
	case <-ctx.Done():
		return none, busy(who)
	}
	answer := make(chan T, 1)
	a.in <- func() { // has room: there is one question at a time
		began := time.Now()
		answer <- f()
		a.rest(time.Since(began))
	}
	select {
	case v := <-answer:
		return v, nil
	case <-ctx.Done():
		return none, busy(who)
	}
}

// rest lets the next one ask, after a pause.
func (a asks) rest(took time.Duration) {
	if took < askFree {
		a.turn <- struct{}{}
		return
	}
	time.AfterFunc((askShare-1)*took, func() { a.turn <- struct{}{} })
}

func busy(who string) error {
	return control.Errorf(control.CodeBusy, "%s does not answer", who).Advise("try again; amifend status says what is wrong")
}

// Those who are asked.
const (
	askJudge    = "the policy engine"
	askEnforcer = "the firewall (the kernel may hang)"
)

// lastTime is how long a change that was begun may take.
const lastTime = time.Minute

// outlasting is the context of a change that must not stop halfway when who asked for it goes.
func outlasting(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), lastTime)
}
