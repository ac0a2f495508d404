package enforce

import (
	"context"
	"net/netip"
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
	mu   sync.Mutex
	at   time.Time
	last *Counters
}

// Counters has what the kernel counts of each ban.
type Counters struct{ elements *firewall.Elements }

// Of returns how many packets a ban has dropped. ok is false if the kernel does not have it, or does
// not count.
func (c *Counters) Of(prefix netip.Prefix, scope firewall.Scope) (packets uint64, ok bool) {
	if c == nil {
		return 0, false
	}
	el, ok := c.elements.Find(prefix, scope)
	return el.Packets, ok && el.Counted
}

// Counters returns how many packets each ban has dropped, as of the last two seconds. Without an
// answer of the kernel it returns what was read before, which may be nil.
//
// The walk over all elements is made by the caller's goroutine, on the table's connection for
// reading, so that no ban waits for it.
func (e *Enforcer) Counters(ctx context.Context) *Counters {
	c := &e.counters
	c.mu.Lock()
	defer c.mu.Unlock()

	if time.Since(c.at) < countersAge {
		return c.last
	}

	elements, err := e.table.Elements(ctx)
	if err != nil {
		return c.last // the enforcer logs what is wrong with the kernel
	}

	c.at = time.Now()
	c.last = &Counters{elements}
	time.AfterFunc(countersAge, c.forget)

	// The enforcer notes this reading too, so that unban can say what was dropped since.
	e.readings.Set(elements)
	return c.last
}

// forget gives the memory of a reading back that is too old.
func (c *counters) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.at) >= countersAge {
		c.last = nil
	}
}

// drops reads the counter of a ban, and compares it with the reading before. ok is false if the
// kernel does not count, or does not answer.
func (e *Enforcer) drops(ctx context.Context, h *held) (d bans.Drops, ok bool) {
	el, ok, err := e.table.Element(ctx, h.key.Prefix(), h.key.Scope())
	if err != nil || !ok || !el.Counted {
		return bans.Drops{}, false // the status shows what is wrong with the kernel
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

// counting is a reading of all counters that is being noted in the ledger, some at a time.
type counting struct {
	elements *firewall.Elements // nil: none
	at       int64              // when it was read
	next     int                // the element to go on with
}

// countSome notes some of the counters that were read.
func (e *Enforcer) countSome() {
	c := &e.counting
	if c.elements == nil {
		return
	}

	for end := min(c.next+compareMost, c.elements.Len()); c.next < end; c.next++ {
		el := c.elements.At(c.next)
		if h := e.ledger.get(el.Prefix, el.Scope); h != nil {
			h.count(el, c.at)
		}
	}
	if c.next == c.elements.Len() {
		*c = counting{}
	}
}

// count notes the counter of a ban's element.
func (h *held) count(el firewall.Element, now int64) {
	// A ban that the kernel took since has another element, which begins at 0.
	if !el.Counted || h.acked == 0 || h.acked > now {
		return
	}

	// A counter that is smaller than before is that of a new element, too.
	h.hot = el.Packets != h.read.packets && el.Packets > 0
	h.read = reading{el.Packets, now}
}
