package notify

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/delivery"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
)

// Status is the state of a target.
type Status struct {
	Name, Service string
	Waiting       int       // messages
	Gathered      int       // items of the next digest
	Dropped       int       // messages that were given up since the start
	Last          time.Time // when it took a message last; zero: not since the start
	Problem       string    // why it did not take the last one; "": it did
	Retry         time.Time // when it is tried again; zero: at once
}

// Targets returns the state of all targets, in the order of the config.
func (n *Notifier) Targets(ctx context.Context) ([]Status, error) {
	return owner.Do(ctx, n.calls, func() []Status {
		out := make([]Status, 0, len(n.targets))
		for _, t := range n.targets {
			out = append(out, Status{
				Name: t.Name, Service: t.Service, Waiting: len(t.messages),
				Gathered: len(t.gathered) + t.more, Dropped: t.dropped, Last: t.last,
				Problem: t.problem, Retry: t.retry,
			})
		}
		return out
	})
}

// Tested is the outcome of a test.
type Tested struct {
	Name, Service string
	Err           error // nil: the target took the message
}

// Test sends a message to the target of a name, or to all for "". It goes past the outbox, so that
// the answer is that of the target. It returns nothing if there is no such target.
func (n *Notifier) Test(ctx context.Context, name, by string) ([]Tested, error) {
	targets, err := owner.Do(ctx, n.calls, func() (out []config.Target) {
		for _, t := range n.targets {
			if name == "" || t.Name == name {
				out = append(out, t.Target)
			}
		}
		return out
	})
	if err != nil {
		return nil, err
	}

	now := time.Now().Round(time.Second)
	m := Message{
		ID: newID(), At: now, Observing: n.o.Observing, Items: []Item{{
			Kind: config.KindTest, Phase: "event", Severity: "notice", Since: now, Last: now,
			Count: 1, Reason: "This is a test by amifend notify --test (" + by + ").",
		}},
	}

	// A target of its own: another message may be on its way by the other one.
	out := make([]Tested, len(targets))
	var all sync.WaitGroup
	for i, t := range targets {
		out[i] = Tested{Name: t.Name, Service: t.Service}
		all.Go(func() {
			to, err := delivery.New(t.URL.Reveal(), t.Secret.Reveal())
			if err == nil {
				err = to.Send(ctx, n.form(&m))
			}
			out[i].Err = err
		})
	}
	all.Wait()
	return out, nil
}

// sort sorts the messages, the oldest first.
func (t *target) sort() {
	slices.SortFunc(t.messages, func(x, y *Message) int {
		if c := x.At.Compare(y.At); c != 0 {
			return c
		}
		return strings.Compare(x.ID, y.ID)
	})
}
