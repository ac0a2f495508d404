package app

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/amifend/amifend/firewall"
)

// table is the kernel as the enforcer needs it: desired state, idempotent. [firewall.Table] is one; [dryTable] is
// another.
type table interface {
	Ensure(ctx context.Context) error
	SetAllow(ctx context.Context, allow []netip.Prefix) error
	Apply(ctx context.Context, changes []firewall.Change) ([]firewall.Rejected, error)
	Bans(ctx context.Context) ([]firewall.Element, error)
}

// How the enforcer deals with a kernel that does not do as asked.
const (
	retryFirst = 250 * time.Millisecond // after a failure, doubled up to retryLast
	retryLast  = 30 * time.Second
	retryFull  = 10 * time.Second // a full set: elements run out, so room comes by itself
	drainTime  = 5 * time.Second  // at the end, for the last bans
)

// order is what the judge wants of a prefix.
type order struct {
	ban  Ban
	lift bool
	why  string // of a lift
}

// held is one ban that the kernel must have.
type held struct {
	Ban
	inKernel bool // acknowledged
	refused  bool // the kernel had no room; told once
}

// enforcer is the goroutine that owns the nftables connection and all bans as they must be in the kernel. It is the
// only one that ever waits for the kernel.
type enforcer struct {
	table    table
	clock    clock
	log      *slog.Logger
	dry      bool      // nothing reaches the kernel: bans are told as `would ban`
	banned   func(Ban) // told of each acknowledged ban; may be nil
	orders   *mailbox[netip.Prefix, order]
	acks     *mailbox[netip.Prefix, ack]
	doubts   *mailbox[netip.Prefix, doubt]
	allow    chan []netip.Prefix // the latest allowlist, at most one waiting
	damaged  chan struct{}       // a token: the table may have been changed by somebody else
	bans     map[netip.Prefix]*held
	told     map[toldKey]bool // ineffective bans
	allowed  []netip.Prefix
	dirty    bool // the kernel's state is unknown: lay out the table and send everything
	retry    time.Duration
	fullTold time.Time
}

// run serves orders until ctx ends, then delivers what is still there.
func (e *enforcer) run(ctx context.Context) error {
	wake := time.NewTimer(time.Hour)
	defer wake.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
			defer cancel()
			e.work(last)
			return nil
		case <-e.orders.wake:
		case e.allowed = <-e.allow:
			e.setAllow(ctx)
		case <-e.damaged:
			e.restore(ctx)
		case <-e.doubts.wake:
			e.answer(ctx)
		case <-wake.C:
		}
		wake.Reset(e.work(ctx))
	}
}

// work does all that is to be done, and tells when to look again.
func (e *enforcer) work(ctx context.Context) time.Duration {
	changes := e.changes()
	if e.dirty {
		changes = e.everything()
		if err := e.table.Ensure(ctx); err != nil {
			return e.failed(ctx, "lay out the table", err)
		}
		if err := e.table.SetAllow(ctx, e.allowed); err != nil {
			return e.failed(ctx, "set the allowlist", err)
		}
	}
	if len(changes) > 0 {
		rejected, err := e.table.Apply(ctx, changes)
		if err != nil {
			return e.failed(ctx, "apply bans", err)
		}
		e.applied(changes, rejected)
	}
	if e.dirty {
		e.dirty, e.retry = false, 0
		e.log.Info("firewall restored", "bans", len(e.bans))
	}
	return retryFull
}

// changes takes the orders and says what to change in the kernel for them, and for bans that were refused before.
func (e *enforcer) changes() []firewall.Change {
	var out []firewall.Change
	for prefix, o := range e.orders.take() {
		if o.lift {
			out = append(out, e.lift(prefix, o.why)...)
			continue
		}
		if h := e.bans[prefix]; h != nil && h.Scope != o.ban.Scope {
			out = append(out, remove(prefix, h.Scope)) // in one transaction with the new element: no gap
		}
		e.bans[prefix] = &held{Ban: o.ban}
	}
	for prefix, h := range e.bans {
		switch {
		case e.clock.left(h.until) <= 0:
			delete(e.bans, prefix) // the kernel lets it run out by itself
		case !h.inKernel:
			out = append(out, e.change(h))
		}
	}
	return out
}

func (e *enforcer) change(h *held) firewall.Change {
	return firewall.Change{Ban: firewall.Ban{Prefix: h.Prefix, Scope: h.Scope, Until: e.clock.deadline(h.until)}}
}

// lift takes a prefix out of both scopes, whatever the kernel holds of it.
func (e *enforcer) lift(prefix netip.Prefix, why string) []firewall.Change {
	h := e.bans[prefix]
	if h == nil {
		return nil
	}
	delete(e.bans, prefix)
	verb := "ban lifted"
	if e.dry {
		verb = "would lift ban"
	}
	e.log.Info(verb, "source", h.Source(), "scope", h.Scope.String(), "why", why)
	return []firewall.Change{remove(prefix, firewall.ScopeAll), remove(prefix, firewall.ScopeSIP)}
}

func remove(prefix netip.Prefix, scope firewall.Scope) firewall.Change {
	return firewall.Change{Ban: firewall.Ban{Prefix: prefix, Scope: scope}, Lift: true}
}

// adopt takes over an element of a run before this one.
func (e *enforcer) adopt(b Ban) {
	if h := e.bans[b.Prefix]; h != nil && h.Scope == firewall.ScopeAll {
		return // the wider of two elements counts; the other runs out by itself
	}
	e.bans[b.Prefix] = &held{Ban: b, inKernel: true}
	e.acks.put(b.Prefix, ack{at: e.clock.now(), until: b.until, scope: b.Scope})
}

// everything is the whole desired state.
func (e *enforcer) everything() []firewall.Change {
	out := make([]firewall.Change, 0, len(e.bans))
	for _, h := range e.bans {
		out = append(out, e.change(h))
	}
	return out
}

// applied notes what the kernel has acknowledged and what it has refused.
func (e *enforcer) applied(changes []firewall.Change, rejected []firewall.Rejected) {
	refused := make(map[netip.Prefix]bool, len(rejected))
	for _, r := range rejected {
		refused[r.Change.Prefix] = true
		e.reject(r)
	}
	now := e.clock.now()
	for _, c := range changes {
		h := e.bans[c.Prefix]
		if c.Lift || h == nil || h.Scope != c.Scope || refused[c.Prefix] || h.inKernel {
			continue
		}
		h.inKernel = true
		e.tell(h)
		e.acks.put(c.Prefix, ack{at: now, until: h.until, scope: h.Scope})
	}
}

// reject tells of a ban that the kernel did not take. It stays desired: room comes as elements run out.
func (e *enforcer) reject(r firewall.Rejected) {
	h := e.bans[r.Change.Prefix]
	if h == nil || h.refused {
		return
	}
	h.refused = true
	if errors.Is(r.Err, firewall.ErrFull) {
		if time.Since(e.fullTold) < time.Minute {
			return
		}
		e.fullTold = time.Now()
		e.log.Error("firewall set is full: the newest bans wait for room", "source", h.Source(),
			"do", "raise [firewall] max_bans and restart amifend")
		return
	}
	e.log.Error("kernel refused a ban: trying again", "source", h.Source(), "err", r.Err)
}

// tell prints a ban, once the kernel has it.
func (e *enforcer) tell(h *held) {
	if h.Rule == ruleAdopted {
		return // told in one line for all
	}
	if e.dry {
		e.log.Info("would ban", h.attrs()...)
	} else {
		e.log.Info("banned", h.attrs()...)
	}
	if e.banned != nil {
		e.banned(h.Ban)
	}
}

func (e *enforcer) setAllow(ctx context.Context) {
	if err := e.table.SetAllow(ctx, e.allowed); err != nil {
		e.failed(ctx, "set the allowlist", err)
	}
}

// restore puts back what somebody else took away: a flushed ruleset, a deleted table, an emptied set.
func (e *enforcer) restore(ctx context.Context) {
	if e.dirty {
		return
	}
	elements, err := e.table.Bans(ctx)
	if err == nil {
		missing := e.missing(elements)
		if missing == 0 {
			return
		}
		e.log.Warn("bans were taken out of the kernel by somebody else: putting them back", "bans", missing)
	} else {
		e.log.Warn("the nftables table is gone: putting it back", "bans", len(e.bans), "err", err)
	}
	e.dirty = true
}

// missing counts the bans that the kernel should have and has not.
func (e *enforcer) missing(elements []firewall.Element) int {
	there := make(map[firewall.Ban]bool, len(elements))
	for _, el := range elements {
		there[firewall.Ban{Prefix: el.Prefix, Scope: el.Scope}] = true
	}
	n := 0
	for prefix, h := range e.bans {
		if h.inKernel && e.clock.left(h.until) > time.Second && !there[firewall.Ban{Prefix: prefix, Scope: h.Scope}] {
			n++
		}
	}
	return n
}

// failed tells of a kernel that did nothing of what was asked, and tells when to try it all again.
func (e *enforcer) failed(ctx context.Context, what string, err error) time.Duration {
	if ctx.Err() != nil {
		return retryLast
	}
	e.dirty = true
	e.retry = min(max(2*e.retry, retryFirst), retryLast)
	e.log.Error("firewall: cannot "+what, "err", err, "retry", e.retry.String(), "bans", len(e.bans))
	return e.retry
}
