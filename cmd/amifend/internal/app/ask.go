package app

import (
	"context"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// askRoom is how many questions may wait for a goroutine that owns data.
const askRoom = 16

// asks is how others have something done by the goroutine that owns the data. What is asked must be done quickly: longer
// work is asked for in parts.
type asks chan func()

func newAsks() asks { return make(asks, askRoom) }

// ask has f called by the owner, and returns what it returned. The owner never waits: not for the question, and not for
// whoever asked. When ctx ends first, f may still be called later.
func ask[T any](ctx context.Context, a asks, who string, f func() T) (T, error) {
	answer := make(chan T, 1)
	var none T
	select {
	case a <- func() { answer <- f() }:
	case <-ctx.Done():
		return none, busy(who)
	}
	select {
	case v := <-answer:
		return v, nil
	case <-ctx.Done():
		return none, busy(who)
	}
}

func busy(who string) error {
	return control.Errorf(control.CodeBusy, "%s does not answer", who).Advise("try again; amifend status says what is wrong")
}

// Those who are asked.
const (
	askJudge    = "the policy engine"
	askEnforcer = "the firewall (the kernel may hang)"
)
