package enforce

import (
	"context"
	"math"
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

// scanMost limits how many bans one call looks at: some 0.2 ms.
const scanMost = 4096

// Pick selects bans.
type Pick struct {
	// Match reports whether a ban is wanted. It is called by the enforcer, and must be quick.
	Match   func(*bans.Ban) bool
	Compare func(a, b *bans.Ban) int // the order of a list of Most; nil: no order
	Most    int                      // 0: all
	Counted bool                     // with what the kernel counts of each: for short lists
}

// Picked holds what was selected.
type Picked struct {
	Bans           []Ban
	Matched, Total int
}

// Select returns bans. It looks at all of them, some at a time, so that bans that come or go
// meanwhile may be missed; what it copies is what it returns.
func (e *Enforcer) Select(ctx context.Context, p Pick) (Picked, error) {
	var out Picked // of the enforcer, once a call was not answered
	type part struct {
		at    int // the ban to go on before
		total int
	}
	var found []bans.Ban
	at, scan := math.MaxInt, uint64(0)
	for at > 0 {
		got, err := owner.Do(ctx, e.calls, func() part {
			l := e.ledger
			if scan == 0 {
				l.scans++
				scan = l.scans
			}

			// From the end: a ban that takes the place of one that goes was looked at before.
			i := min(at, len(l.all))
			for end := max(0, i-scanMost); i > end; i-- {
				h := l.all[i-1]
				if h.scan == scan || !p.Match(&h.Ban) {
					continue
				}
				h.scan = scan
				out.Matched++
				found = p.add(found, &h.Ban)
			}
			return part{i, len(l.all)}
		})
		if err != nil {
			return Picked{}, err
		}
		at, out.Total = got.at, got.total
	}

	for some := range slices.Chunk(found, walkMost) {
		got, err := owner.Do(ctx, e.calls, func() []Ban { return e.describe(ctx, some, p.Counted) })
		if err != nil {
			return Picked{}, err
		}
		out.Bans = append(out.Bans, got...)
	}
	return out, nil
}

// add adds a ban to a list that keeps the first Most in order.
func (p *Pick) add(found []bans.Ban, b *bans.Ban) []bans.Ban {
	if p.Compare == nil || p.Most == 0 {
		return append(found, *b)
	}

	// Most bans come after the last one.
	if len(found) == p.Most && p.Compare(b, &found[p.Most-1]) >= 0 {
		return found
	}
	i, _ := slices.BinarySearchFunc(found, b, func(a bans.Ban, b *bans.Ban) int {
		return p.Compare(&a, b)
	})
	if len(found) == p.Most {
		found = found[:p.Most-1]
	}
	return slices.Insert(found, i, *b)
}

// describe returns bans as they are now, as far as they run.
func (e *Enforcer) describe(ctx context.Context, some []bans.Ban, counted bool) []Ban {
	keys := make([]bans.Key, len(some))
	for i := range some {
		keys[i] = some[i].Key()
	}
	out := e.describeAll(keys)
	if counted {
		e.addDrops(ctx, out)
	}
	return out
}

// Covering returns the bans that cover an address, with what the kernel counts of each.
func (e *Enforcer) Covering(ctx context.Context, addr netip.Addr) ([]Ban, error) {
	return owner.Do(ctx, e.calls, func() []Ban {
		out := e.describeAll(bans.Covering(addr))
		e.addDrops(ctx, out) // only few bans can cover one address
		return out
	})
}

// addDrops adds what the kernel counts of bans, each of which takes a message to it.
func (e *Enforcer) addDrops(ctx context.Context, list []Ban) {
	for i, b := range list {
		if d, ok := e.drops(ctx, e.ledger.bans[b.Key()]); ok {
			list[i].Drops = &d
		}
	}
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
