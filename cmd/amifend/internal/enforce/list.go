package enforce

import (
	"cmp"
	"context"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/compact"
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
	Drops *bans.Drops // nil: not known, or not asked for
}

// scanMost limits how many bans one call looks at: some 0.3 ms.
const scanMost = 4096

// Order is an order of bans.
type Order int

// The orders of bans. Bans that are equal in one are in that of their prefixes.
const (
	Newest Order = iota
	ByEnd
	BySource
	ByScore
)

// Pick selects bans.
type Pick struct {
	Within netip.Prefix // only bans that overlap with it; invalid: all
	// Match reports whether a ban is wanted; nil: all are. It is called by the enforcer, and must be
	// quick. With it, all bans are looked at.
	Match   func(*bans.Ban) bool
	Order   Order
	Most    int  // the first ones; 0: all
	Counted bool // with what the kernel counts of each: for short lists
}

// Picked holds what was selected.
type Picked struct {
	Bans           []Ban // only of Select
	Keys           []compact.Key
	Matched, Total int
}

// ranked is a ban in a list.
type ranked struct {
	rank int64
	key  compact.Key
}

func (r ranked) compare(o ranked) int {
	return cmp.Or(cmp.Compare(r.rank, o.rank), r.key.Compare(o.key))
}

// rank returns where a ban stands in an order.
func (o Order) rank(h *held) int64 {
	switch o {
	case Newest:
		return -seconds(h.decided)
	case ByEnd:
		return seconds(h.expiry)
	case ByScore:
		return -int64(math.Round(h.score * 100)) // two decimals, as lists show it
	case BySource:
	}
	return 0
}

// Select returns bans, see [Enforcer.Pick].
func (e *Enforcer) Select(ctx context.Context, p Pick) (Picked, error) {
	out, err := e.Pick(ctx, p)
	if err != nil {
		return Picked{}, err
	}

	for some := range slices.Chunk(out.Keys, walkMost) {
		got, err := e.Describe(ctx, some, p.Counted)
		if err != nil {
			return Picked{}, err
		}
		out.Bans = append(out.Bans, got...)
	}
	return out, nil
}

// Pick returns the keys of bans. It looks at as many as it returns, or at all in the prefix, or at
// all if there is a Match. It looks at some at a time, so that bans that come or go meanwhile may be
// missed.
func (e *Enforcer) Pick(ctx context.Context, p Pick) (Picked, error) {
	w := walk{Pick: p}
	for more := true; more; {
		var err error
		if more, err = owner.Do(ctx, e.calls, func() bool { return w.step(e.ledger) }); err != nil {
			return Picked{}, err
		}
	}

	// A ban whose end was corrected meanwhile may have been found twice.
	if p.Most == 0 {
		slices.SortFunc(w.found, ranked.compare)
		w.found = slices.CompactFunc(w.found, func(a, b ranked) bool { return a.key == b.key })
		w.matched = len(w.found)
	}

	out := Picked{Matched: w.matched, Total: w.total, Keys: make([]compact.Key, len(w.found))}
	for i, r := range w.found {
		out.Keys[i] = r.key
	}
	return out, nil
}

// walk is a Pick at work. Only the enforcer's goroutine uses it.
type walk struct {
	Pick
	began          bool
	last           *held // that was looked at
	found          []ranked
	matched, total int
}

// step looks at the next bans, and reports whether there are more.
func (w *walk) step(l *ledger) (more bool) {
	w.total = len(l.bans)
	order := w.order(l)
	if !w.began {
		w.began = true
		if w.Within.IsValid() {
			w.addWider(l)
			w.last = firstOf(w.Within)
		}
	}

	n := 0
	for h := range order.after(w.last) {
		if w.Within.IsValid() && !w.Within.Contains(h.key.Prefix().Addr()) {
			return false
		}
		if n++; n > scanMost {
			return true
		}
		w.last = h
		w.add(h)

		// The rest need not be looked at if all match and stand in the order that is wanted.
		if w.Match == nil && !w.Within.IsValid() && w.Order != ByScore && len(w.found) == w.Most &&
			w.Most > 0 {
			w.matched = w.total
			return false
		}
	}
	return false
}

// order returns the bans in the order in which they are looked at.
func (w *walk) order(l *ledger) *ordered {
	switch {
	case w.Within.IsValid():
		return &l.byKey
	case w.Order == Newest:
		return &l.byAge
	case w.Order == ByEnd:
		return &l.byEnd
	default:
		return &l.byKey
	}
}

// addWider adds the bans of prefixes that begin before Within and cover it.
func (w *walk) addWider(l *ledger) {
	within := w.Within.Masked()
	for _, k := range bans.Covering(within.Addr()) {
		h := l.get(k.Prefix, k.Scope)
		if h != nil && k.Prefix.Bits() < within.Bits() && k.Prefix.Addr() != within.Addr() {
			w.add(h)
		}
	}
}

// add adds a ban, if it is wanted, to a list that has the first Most in order.
func (w *walk) add(h *held) {
	if w.Match != nil {
		if b := h.ban(); !w.Match(&b) {
			return
		}
	}

	w.matched++
	r := ranked{w.Order.rank(h), h.key}
	if w.Most == 0 {
		w.found = append(w.found, r)
		return
	}

	// Most bans come after the last one.
	if len(w.found) == w.Most && r.compare(w.found[w.Most-1]) >= 0 {
		return
	}
	i, _ := slices.BinarySearchFunc(w.found, r, ranked.compare)
	if len(w.found) == w.Most {
		w.found = w.found[:w.Most-1]
	}
	w.found = slices.Insert(w.found, i, r)
}

// Describe returns bans as they are now, as far as they run: of 256 keys at most. counted is with
// what the kernel counts of each.
func (e *Enforcer) Describe(ctx context.Context, keys []compact.Key, counted bool) ([]Ban, error) {
	return owner.Do(ctx, e.calls, func() []Ban {
		out := e.describeAll(keys)
		if counted {
			e.addDrops(ctx, out)
		}
		return out
	})
}

// Covering returns the bans that cover an address, with what the kernel counts of each.
func (e *Enforcer) Covering(ctx context.Context, addr netip.Addr) ([]Ban, error) {
	return owner.Do(ctx, e.calls, func() []Ban { return e.covering(ctx, addr) })
}

// covering is Covering.
func (e *Enforcer) covering(ctx context.Context, addr netip.Addr) []Ban {
	var keys []compact.Key
	for _, k := range bans.Covering(addr) {
		keys = append(keys, compact.Of(k.Prefix, k.Scope))
	}
	out := e.describeAll(keys)
	e.addDrops(ctx, out) // only few bans can cover one address
	return out
}

// addDrops adds what the kernel counts of bans, each of which takes a message to it.
func (e *Enforcer) addDrops(ctx context.Context, list []Ban) {
	for i, b := range list {
		if d, ok := e.drops(ctx, e.ledger.get(b.Prefix, b.Scope)); ok {
			list[i].Drops = &d
		}
	}
}

// describeAll returns the bans of keys that run.
func (e *Enforcer) describeAll(keys []compact.Key) []Ban {
	now := e.clock.Now()
	out := make([]Ban, 0, len(keys))
	for _, k := range keys {
		if h := e.ledger.bans[k]; h != nil && h.expiry > now {
			out = append(out, Ban{
				Ban: h.ban(), Ends: e.clock.Wall(h.expiry).Truncate(time.Second), State: e.state(h),
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
	case e.ledger.waits(h.key):
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
