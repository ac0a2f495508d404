package app

import (
	"context"
	"reflect"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/firewall"
)

// walkMost is how many bans the enforcer tells at a time.
const walkMost = 256

// countersAge is how old the kernel's counters may be: to read all of them takes it half a second for 100,000 bans.
const countersAge = 2 * time.Second

// Bans lists all bans as they are decided, with what the kernel counts.
func (k *desk) Bans(ctx context.Context) ([]control.Ban, error) {
	var bans []control.Ban
	if err := k.eachPart(ctx, func(part []control.Ban) { bans = append(bans, part...) }); err != nil {
		return nil, err
	}
	counters := k.kernelCounters(ctx)
	for i := range bans {
		el, ok := counters[key{bans[i].Prefix, scopeNamed(bans[i].Scope)}]
		if ok && el.Counted {
			bans[i].Dropped = &el.Packets
		}
	}
	return bans, nil
}

// eachPart hands on all bans, a part at a time: the enforcer must not be held up by the list of all.
func (k *desk) eachPart(ctx context.Context, visit func([]control.Ban)) error {
	type part struct {
		bans []control.Ban
		more bool
	}
	var at *reflect.MapIter // a map's iterator may stand still while the map changes: only the enforcer moves it
	for {
		p, err := ask(ctx, k.enforcer.asks, askEnforcer, func() part {
			if at == nil {
				at = reflect.ValueOf(k.enforcer.ledger.bans).MapRange()
			}
			bans, more := k.enforcer.walk(at, walkMost)
			return part{bans, more}
		})
		if err != nil {
			return err
		}
		visit(p.bans)
		if !p.more {
			return k.eachWatched(ctx, visit)
		}
	}
}

// walk returns the next bans of the ledger, and whether there are more. Those that come or go meanwhile may be missed.
func (e *enforcer) walk(at *reflect.MapIter, most int) (bans []control.Ban, more bool) {
	now := e.clock.now()
	for len(bans) < most {
		if !at.Next() {
			return bans, false
		}
		h := at.Value().Interface().(*held)
		if h.until > now {
			bans = append(bans, e.describe(h))
		}
	}
	return bans, true
}

func (e *enforcer) describe(h *held) control.Ban {
	b := control.Ban{
		Prefix: h.Prefix, Scope: h.Scope.String(), Rule: h.Rule, Score: round(h.Score), Attempts: h.Attempts, Strike: h.Strike,
		Servers: h.Servers, Since: h.Decided, Until: e.clock.wallTime(h.until).Truncate(time.Second), State: control.StatePending,
	}
	switch {
	case e.dry:
		b.State = control.StateDry
	case h.acked != 0:
		b.State = control.StateInKernel
	case e.ledger.waits(h.key()):
		b.State = control.StateWaiting
	}
	return b
}

// kernelCounters reads what the kernel counts, not too often. Without an answer it is what was read before.
func (k *desk) kernelCounters(ctx context.Context) map[key]firewall.Element {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.counted) < countersAge {
		return k.counters
	}
	elements, err := k.table.Bans(ctx)
	if err != nil {
		return k.counters // the enforcer tells what is wrong with the kernel
	}
	k.counters, k.counted = make(map[key]firewall.Element, len(elements)), time.Now()
	for _, el := range elements {
		k.counters[key{el.Prefix, el.Scope}] = el
	}
	return k.counters
}

// scopeNamed is the scope of a name that firewall.Scope gave; 0 for any other.
func scopeNamed(name string) firewall.Scope {
	for _, s := range [...]firewall.Scope{firewall.ScopeAll, firewall.ScopeSIP} {
		if s.String() == name {
			return s
		}
	}
	return 0
}
