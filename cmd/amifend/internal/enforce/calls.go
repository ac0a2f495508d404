package enforce

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
	"github.com/amifend/amifend/firewall"
)

// The methods of this file are for operators. Each is answered by the enforcer's goroutine, or fails
// with an [owner.BusyError] when ctx ends first, as when the kernel hangs.

// walkMost is how many bans one call returns: the enforcer must not be held up by the list of all.
const walkMost = 256

// State is how far a ban has come.
type State int

// The states of a ban.
const (
	Pending  State = iota // the kernel does not have it yet
	InKernel              // the kernel has it
	Waiting               // its set is full
	Observed              // a dry run does not make it
)

// Ban is a ban as the enforcer has it.
type Ban struct {
	bans.Ban
	Ends  time.Time // by the wall clock as it is set now
	State State
	Drops *Drops // nil: not known, or not asked for
}

// Each hands over all bans, some at a time. Those that come or go meanwhile may be missed.
func (e *Enforcer) Each(ctx context.Context, visit func([]Ban)) error {
	keys, err := owner.Do(ctx, e.calls, func() []bans.Key {
		return slices.AppendSeq(make([]bans.Key, 0, len(e.ledger.bans)), maps.Keys(e.ledger.bans))
	})
	if err != nil {
		return err
	}

	for some := range slices.Chunk(keys, walkMost) {
		part, err := owner.Do(ctx, e.calls, func() []Ban {
			return e.describeAll(some)
		})
		if err != nil {
			return err
		}
		visit(part)
	}
	return nil
}

// Covering returns the bans that cover an address, with what the kernel counts of each.
func (e *Enforcer) Covering(ctx context.Context, addr netip.Addr) ([]Ban, error) {
	return owner.Do(ctx, e.calls, func() []Ban {
		out := e.describeAll(bans.Covering(addr))
		for i, b := range out {
			if d, ok := e.drops(ctx, e.ledger.bans[b.Key()]); ok {
				out[i].Drops = &d
			}
		}
		return out
	})
}

// describeAll returns the bans of keys that run.
func (e *Enforcer) describeAll(keys []bans.Key) []Ban {
	now := e.clock.Now()
	out := make([]Ban, 0, len(keys))
	for _, k := range keys {
		if h := e.ledger.bans[k]; h != nil && h.Expiry > now {
			out = append(out, Ban{
				Ban: h.Ban, Ends: e.clock.Wall(h.Expiry).Truncate(time.Second), State: e.state(h),
			})
		}
	}
	return out
}

func (e *Enforcer) state(h *held) State {
	switch {
	case e.dry:
		return Observed
	case h.acked != 0:
		return InKernel
	case e.ledger.waits(h.Key()):
		return Waiting
	default:
		return Pending
	}
}

// Flushed is how orders stand after the enforcer has worked on them.
type Flushed struct {
	States map[bans.Key]State // of the bans that were asked about
	Lifts  int                // that the kernel does not have yet
}

// Flush waits until the enforcer has taken all orders that were given before, and has tried once to
// have the kernel do them. It returns in what state some bans are then.
func (e *Enforcer) Flush(ctx context.Context, wanted ...bans.Key) (Flushed, error) {
	done := make(chan Flushed, 1)
	_, err := owner.Do(ctx, e.calls, func() struct{} {
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
	f := Flushed{States: make(map[bans.Key]State, len(wanted)), Lifts: len(e.ledger.lifts)}
	for _, k := range wanted {
		f.States[k] = Pending
		if h := e.ledger.bans[k]; h != nil {
			f.States[k] = e.state(h)
		}
	}
	return f
}

// answerFlushes answers those who wait for a round of work. It is called after each.
func (e *Enforcer) answerFlushes() {
	for _, answer := range e.flushes {
		answer()
	}
	e.flushes = nil
}

// Compares reports whether there is a journal that kernel and ledger are compared with.
func (e *Enforcer) Compares() bool { return e.comparison.journal != nil }

// Compare has kernel, journal and ledger compared now, repairs what differs, and returns what came of
// it. There must be a journal, see [Enforcer.Compares].
func (e *Enforcer) Compare(ctx context.Context) (Compared, error) {
	done := make(chan Compared, 1)
	_, err := owner.Do(ctx, e.calls, func() struct{} {
		e.comparison.hurry(e.clock.Now())
		e.comparison.waiters = append(e.comparison.waiters, done)
		return struct{}{}
	})
	if err != nil {
		return Compared{}, err
	}

	select {
	case c := <-done:
		return c, nil
	case <-ctx.Done():
		return Compared{}, e.calls.Busy()
	}
}

// Status is how the enforcer stands.
type Status struct {
	Bans        int
	Pending     int           // changes that the kernel does not have yet
	Waiting     int           // bans that wait for room
	Failure     string        // why the kernel refuses; "": it does not
	Ineffective []Ineffective // of the last day, the last one at the end
}

// Status returns how the enforcer stands.
func (e *Enforcer) Status(ctx context.Context) (Status, error) {
	return owner.Do(ctx, e.calls, func() Status {
		s := Status{
			Bans: len(e.ledger.bans), Pending: e.ledger.pending(), Waiting: e.ledger.waiting(),
			Ineffective: e.reported.latest(),
		}
		if e.failure.backoff > 0 {
			s.Failure = e.failure.text
		}
		return s
	})
}

// AreBanned returns which of some addresses are banned.
func (e *Enforcer) AreBanned(ctx context.Context, addrs []netip.Addr) ([]bool, error) {
	return owner.Do(ctx, e.calls, func() []bool {
		out := make([]bool, len(addrs))
		for i, addr := range addrs {
			out[i] = addr.IsValid() && e.ledger.covers(addr)
		}
		return out
	})
}

// SetSIPPorts changes the ports that a ban of scope sip covers. refused is the kernel's error, err
// that the enforcer does not answer.
func (e *Enforcer) SetSIPPorts(ctx context.Context, ports firewall.SIPPorts) (refused, err error) {
	return owner.Do(ctx, e.calls, func() error { return e.table.SetSIPPorts(ctx, ports) })
}
