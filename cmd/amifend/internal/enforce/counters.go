package enforce

import (
	"context"
	"sync"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/firewall"
)

// countersAge limits how old the counters of all bans may be. To read them takes the kernel half a
// second for 100,000 bans.
const countersAge = 2 * time.Second

// counters holds the kernel's counters of all bans, as they were read last.
type counters struct {
	mu      sync.Mutex
	at      time.Time
	packets map[bans.Key]uint64
}

// Counters returns how many packets each ban has dropped, as of the last two seconds. A ban that
// the kernel does not count is missing. Without an answer of the kernel it returns what was read
// before.
//
// The walk over all elements is made by the caller's goroutine, on the table's connection for
// reading, so that no ban waits for it.
func (e *Enforcer) Counters(ctx context.Context) map[bans.Key]uint64 {
	c := &e.counters
	c.mu.Lock()
	defer c.mu.Unlock()

	if time.Since(c.at) < countersAge {
		return c.packets
	}

	elements, err := e.table.Bans(ctx)
	if err != nil {
		return c.packets // the enforcer logs what is wrong with the kernel
	}

	c.at = time.Now()
	c.packets = make(map[bans.Key]uint64, len(elements))
	for _, el := range elements {
		if el.Counted {
			c.packets[bans.Key{Prefix: el.Prefix, Scope: el.Scope}] = el.Packets
		}
	}

	// The enforcer notes this reading too, so that unban can say what was dropped since.
	e.readings.Set(elements)
	return c.packets
}

// Drops counts what the kernel has dropped for a ban.
type Drops struct {
	Packets uint64
	Lately  uint64        // of these, since the counter was read before
	Span    time.Duration // since then; 0: it was not read before
}

// drops reads the counter of a ban, and compares it with the reading before. ok is false if the
// kernel does not count, or does not answer.
func (e *Enforcer) drops(ctx context.Context, h *held) (d Drops, ok bool) {
	el, ok, err := e.table.Element(ctx, h.Prefix, h.Scope)
	if err != nil || !ok || !el.Counted {
		return Drops{}, false // the status shows what is wrong with the kernel
	}

	now := e.clock.Now()
	d.Packets = el.Packets

	// A counter that is smaller than before is that of a new element.
	if before := h.read; before.at != 0 && el.Packets >= before.packets {
		d.Lately = el.Packets - before.packets
		d.Span = time.Duration(now - before.at)
	}

	h.read = reading{el.Packets, now}
	return d, true
}

// count notes the counters of elements that were read.
func (l *ledger) count(elements []firewall.Element, now int64) {
	for _, el := range elements {
		if !el.Counted {
			continue
		}

		if h := l.bans[bans.Key{Prefix: el.Prefix, Scope: el.Scope}]; h != nil && h.acked != 0 {
			h.read = reading{el.Packets, now}
		}
	}
}
