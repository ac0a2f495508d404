package enforce

import (
	"context"
	"fmt"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/compact"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/firewall"
)

// The methods of this file take over the bans of earlier runs. They must be called before
// [Enforcer.Run]: first Inspect and Expect, which may run at the same time, then Adopt.

// Found holds what a start found in the kernel.
type Found struct {
	elements *firewall.Elements
	at       int64 // when the walk began: what is left of a ban is never overrated
}

// Adopted counts the bans that a start took over.
type Adopted struct {
	Kernel  int // that the kernel had
	Journal int // that only the journal had
}

// An Admit asks the engine whether a ban of an earlier run may go on. It may shorten the ban. It
// returns the reason why the ban must not exist, or "".
type Admit func(b *bans.Ban, now int64) string

// Inspect lays out the table and reads the bans that are in it. A walk over a large set takes the
// kernel most of a second.
func (e *Enforcer) Inspect(ctx context.Context) (Found, error) {
	if err := e.table.Ensure(ctx); err != nil {
		return Found{}, fmt.Errorf("set up the firewall: %w", err)
	}

	found := Found{at: e.clock.Now()}
	var err error
	if found.elements, err = e.table.Elements(ctx); err != nil {
		return Found{}, fmt.Errorf("read the bans in the kernel: %w", err)
	}
	e.read = time.Now()

	return found, nil
}

// Expect takes in the bans of the journal. now is before Inspect began. Which of the bans the
// kernel has is not known yet.
func (e *Enforcer) Expect(snap *journal.Snapshot, now int64, admit Admit) {
	e.warnBadRows(snap)
	e.ledger.fill(func() {
		for k, o := range snap.Open {
			if !needless(k, o, snap) {
				e.expect(bans.FromJournal(k, o, leftNow(o, snap), now), now, admit)
			}
		}
	})
}

// expect takes in one ban of the journal.
func (e *Enforcer) expect(ban bans.Ban, now int64, admit Admit) {
	if ban.Expiry <= now {
		return
	}

	// The journal must know that the ban is lifted. Otherwise the next start would ask again.
	if why := admit(&ban, now); why != "" {
		e.recorder.Lift(ban.Prefix, ban.Scope, bans.ByPolicy, why)
		return
	}

	e.ledger.expect(&ban)
	e.debug("known", &ban)
}

// Adopt takes over what was found in the kernel, and wants there what only the journal has. snap is
// nil if there is no journal, or none that can be read.
func (e *Enforcer) Adopt(found Found, snap *journal.Snapshot, admit Admit) Adopted {
	var n Adopted
	adopt := func() {
		for _, el := range found.elements.All() {
			if e.confirm(el, found.at) || e.adoptFound(el, snap, found.at, admit) {
				n.Kernel++
			}
		}
	}

	// Without a journal, all of them are new.
	if snap == nil {
		e.ledger.fill(adopt)
	} else {
		adopt()
	}

	n.Journal = e.ledger.sendUnconfirmed()
	e.restoring = n.Journal > 0 && !e.dry // logged when it is done
	if snap != nil {
		e.comparison.asked = e.clock.Now() // all three agree now
	}

	return n
}

// confirm notes that the kernel has a ban that is wanted there. It reports whether there is such a
// ban.
func (e *Enforcer) confirm(el firewall.Element, now int64) bool {
	h := e.ledger.get(el.Prefix, el.Scope)
	if h == nil {
		return false
	}

	h.acked = now
	if !endsAt(el, h.expiry, now) {
		e.ledger.send(h)
	}

	e.debugHeld("adopted", h)
	e.acknowledge(h)
	return true
}

// adoptFound takes over one element, or wants it out of the kernel. It reports which.
func (e *Enforcer) adoptFound(
	el firewall.Element, snap *journal.Snapshot, now int64, admit Admit,
) bool {
	k := compact.Of(el.Prefix, el.Scope)
	why, ban := e.identify(el, snap, now)
	if why != "" {
		e.ledger.lifts[k] = why
		return false
	}

	if why := admit(&ban, now); why != "" {
		e.ledger.lifts[k] = why
		e.recorder.Lift(el.Prefix, el.Scope, bans.ByPolicy, why)
		return false
	}
	e.adopt(ban, el, now)
	return true
}
