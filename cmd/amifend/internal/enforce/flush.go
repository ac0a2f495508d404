package enforce

import (
	"context"
	"net/netip"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
)

// Flushed is the state of orders after the enforcer has worked on them.
type Flushed struct {
	States map[bans.Key]State // of the bans that were asked about
	Lifts  int                // that the kernel does not have yet
	// Refusal is why the kernel does not do as asked; "": it does, and has the latest allowlist.
	Refusal string
	Freed   uint64 // bans that were lifted by orders to lift all, since the start
}

// Flush waits until the enforcer has taken all orders and the latest allowlist that were given
// before, and has tried once to have the kernel do them. It returns in what state some bans are then.
func (e *Enforcer) Flush(ctx context.Context, wanted ...bans.Key) (Flushed, error) {
	done := make(chan Flushed, 1)
	_, err := owner.Do(ctx, e.calls, func() struct{} {
		e.takeAllow(ctx)
		e.flushes = append(e.flushes, func() { done <- e.flushed(wanted) })
		return struct{}{}
	})
	if err != nil {
		return Flushed{}, err
	}

	select {
	case f := <-done:
		return f, nil
	case <-ctx.Done():
		return Flushed{}, e.calls.Busy()
	}
}

func (e *Enforcer) flushed(wanted []bans.Key) Flushed {
	f := Flushed{
		States: make(map[bans.Key]State, len(wanted)), Lifts: e.ledger.lifting(), Freed: e.freed,
		Refusal: e.refusal(),
	}

	for _, k := range wanted {
		f.States[k] = Pending
		if h := e.ledger.get(k.Prefix, k.Scope); h != nil {
			f.States[k] = e.state(h)
		}
	}

	return f
}

// Sample returns the latest of the banned prefixes, and how many bans were lifted by orders to lift all
// since the start.
func (e *Enforcer) Sample(ctx context.Context, most int) (some []netip.Prefix, freed uint64, err error) {
	some, err = owner.Do(ctx, e.calls, func() []netip.Prefix {
		freed = e.freed
		out := make([]netip.Prefix, 0, most)
		for h := range e.ledger.byAge.after(nil) {
			if len(out) == most {
				break
			}
			out = append(out, h.key.Prefix())
		}
		return out
	})
	return some, freed, err
}

// answerFlushes answers those who wait for a round of work. It is called after each.
func (e *Enforcer) answerFlushes() {
	for _, answer := range e.flushes {
		answer()
	}
	e.flushes = nil
}
