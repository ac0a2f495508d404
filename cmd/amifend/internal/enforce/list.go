package enforce

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
)

// The methods of this file are for operators. Each is answered by the enforcer's goroutine, or
// fails with an [owner.BusyError] when ctx ends first, as when the kernel hangs.

// walkMost limits how many bans one call returns: the enforcer must not be held up by the list of
// all.
const walkMost = 256

// State says how far a ban has come on its way to the kernel.
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

		// Each counter takes a message to the kernel, but only few bans can cover one address.
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
