// Package enforce owns the kernel's table: what the judge decides becomes elements of nftables sets
// here, and stays there whatever others do to the table.
//
//	judge    ── Orders ───→ Enforcer ── Ensure, Apply, SetAllow, Element, Bans ──→ kernel
//	judge    ←─ Acks ────── Enforcer      the kernel has a ban
//	judge    ── Doubts ───→ Enforcer      does this ban work?
//	judge    ←─ External ── Enforcer      bans that the engine did not decide
//	journal  ←─ Recorder ── Enforcer      what was adopted, or cannot be made
//	journal  ←─ Snapshot ── Enforcer      asked on a goroutine of its own; the answer comes back by a channel
//	operate  ── calls ────→ Enforcer      [Enforcer.Flush], [Enforcer.Covering], …
//	protect  ── SetAllow ─→ Enforcer      the latest allowlist
//	watch    ── Damaged ──→ Enforcer      somebody else changed the table
//	Enforcer ── LaidOut ──→ Denier ── SetDeny ──→ kernel
//
// Except for calls, nothing that is sent to the enforcer makes the sender wait. All that waits is
// bounded: one order, doubt and acknowledgement for each prefix. While the kernel refuses, orders
// are taken all the same and stay in the ledger; the kernel is tried again after a pause that
// grows.
//
// In the daemon, only this package reads and writes the table. The enforcer's goroutine is the one
// that writes bans, layout and allowlist. Two others would hold it up for seconds, so they have
// goroutines of their own: the [Denier] writes the deny lists, and [Enforcer.Counters] reads the
// counters of all bans.
//
// The other methods with a context are for operators. Each is answered by the enforcer's goroutine,
// or fails with an [owner.BusyError] when its context ends first, as when the kernel hangs.
package enforce

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
	"github.com/amifend/amifend/firewall"
)

// How the enforcer deals with a kernel that refuses.
const (
	retryFirst = 250 * time.Millisecond // after a failure, doubled up to retryLast
	retryLast  = 30 * time.Second
	retryFull  = 10 * time.Second // a full set: room comes as elements run out
	drainTime  = DrainTime
	sweepEvery = time.Minute
	fullEvery  = time.Minute // how often a full set is logged
)

// DrainTime limits how long [Enforcer.Run] may take at its end to deliver the last changes.
const DrainTime = 5 * time.Second

// Options configure an [Enforcer].
type Options struct {
	Table    Table
	Clock    clock.Clock
	Log      *slog.Logger
	Mail     *bans.Mail
	Recorder bans.Recorder
	Alerts   *alerts.Book // nil: one that only logs
	// Journal is compared with the kernel every five minutes; nil: there is none.
	Journal Snapshotter
	// Compare is set by whoever wants kernel and journal compared soon; nil: nobody does.
	Compare *owner.Latest[struct{}]
	Dry     bool           // nothing reaches the kernel: bans are logged as `would ban`
	Banned  func(bans.Ban) // called for each acknowledged ban, must not block; may be nil
	LaidOut func()         // called when the table was laid out, must not block; may be nil
}

// Enforcer is the goroutine that writes bans to the kernel. It owns the ledger: all bans as they
// must be in the kernel. It waits for the kernel, and for nothing else.
type Enforcer struct {
	table    Table
	clock    clock.Clock
	log      *slog.Logger
	mail     *bans.Mail
	recorder bans.Recorder
	alerts   *alerts.Book
	dry      bool
	banned   func(bans.Ban)
	laidOut  func()

	allow    *owner.Latest[[]netip.Prefix]
	damaged  *owner.Latest[struct{}]
	compare  *owner.Latest[struct{}]
	calls    owner.Calls
	readings *owner.Latest[*firewall.Elements] // of all bans, see Counters
	counters counters
	meter    meter
	counting counting // of a reading that is being noted

	ledger     *ledger
	comparison comparison
	failure    failure
	meddling   meddling
	look       look
	dirty      bool  // the kernel's state is unknown: lay out the table, and send everything
	restoring  bool  // bans are being put back, and the end of that is not logged yet
	swept      int64 // when the ledger was
	sweeping   bool  // not all that has run out is forgotten yet
	fullLogged int64 // 0: never
	doubts     map[bans.Key]bans.Doubt
	reported   reported  // ineffective bans
	badRows    int       // of the journal, as last logged
	read       time.Time // when a walk over the kernel's elements ended last
	all        uint64    // the latest order to lift all bans
	freed      uint64    // how many bans such orders have lifted
	flushes    []func()  // called after the next round of work
}

// failure describes why the kernel does not do as asked, and when it is asked again. A table that
// another program deleted is no failure, see meddling.
type failure struct {
	backoff time.Duration // after the last failure; 0: there was none
	text    string        // of it
	retry   int64         // not before
}

// New returns an enforcer. It does nothing before [Enforcer.Inspect] or [Enforcer.Run].
func New(o Options) *Enforcer {
	if o.Alerts == nil {
		o.Alerts = alerts.New(alerts.Options{Log: o.Log})
	}

	e := &Enforcer{
		table: o.Table, clock: o.Clock, log: o.Log, mail: o.Mail, recorder: o.Recorder,
		alerts: o.Alerts, dry: o.Dry, banned: o.Banned, laidOut: o.LaidOut, compare: o.Compare,
		allow:      owner.NewLatest[[]netip.Prefix](),
		damaged:    owner.NewLatest[struct{}](),
		calls:      owner.NewCalls("the firewall (the kernel may hang)"),
		readings:   owner.NewLatest[*firewall.Elements](),
		ledger:     newLedger(),
		comparison: newComparison(o.Journal),
		look:       look{answers: make(chan compared, 1)},
		doubts:     make(map[bans.Key]bans.Doubt),
	}

	if e.compare == nil {
		e.compare = owner.NewLatest[struct{}]()
	}
	return e
}

// SetAllow hands over the addresses that the kernel must always let through. It does not wait;
// [Enforcer.Flush] does.
func (e *Enforcer) SetAllow(allow []netip.Prefix) { e.allow.Set(allow) }

// Damaged reports that somebody else may have changed the table.
func (e *Enforcer) Damaged() { e.damaged.Set(struct{}{}) }

// Held returns how many bans there are. It must not be called while Run runs.
func (e *Enforcer) Held() int { return len(e.ledger.bans) }

// Run serves until ctx ends, then delivers what is still there.
func (e *Enforcer) Run(ctx context.Context) {
	wake := time.NewTimer(0)
	defer wake.Stop()

	for {
		select {
		case <-ctx.Done():
			e.drain(context.WithoutCancel(ctx))
			return
		case <-e.mail.Orders.C(): // work takes them
		case allow := <-e.allow.C():
			e.setAllow(ctx, allow)
		case <-e.damaged.C():
			e.restore(ctx)
		case <-e.mail.Doubts.C(): // so are these
		case <-e.compare.C():
			e.comparison.due = true
		case a := <-e.comparison.answers:
			e.reconcile(ctx, a)
		case a := <-e.look.answers:
			e.looked(ctx, a)
		case elements := <-e.readings.C():
			e.counting = counting{elements: elements, at: e.clock.Now()}
		case f := <-e.calls.C():
			f()
		case <-wake.C:
		}

		// Whatever came, one round of work is done. Those who wait for a flush wait for that.
		wait := e.work(ctx)
		if e.busy() {
			wait = 0
		}
		wake.Reset(wait)
		e.answerFlushes()
	}
}

// drain does what is left to do, failures or not, but not for ever.
func (e *Enforcer) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()

	// What was sent before the end counts, although the loop may not have received it.
	e.takeAllow(ctx)
	select {
	case <-e.damaged.C():
		e.restore(ctx)
	default:
	}

	// No pause is worth a lost ban now.
	e.failure.backoff, e.failure.retry = 0, 0
	e.meddling.retry = 0
	for ctx.Err() == nil {
		wait := e.work(ctx)
		e.lookNow(ctx) // when all is sent; what it misses is pending
		if !e.dirty && e.ledger.pending() == 0 {
			return
		}
		clock.Sleep(ctx, wait)
	}

	e.log.Error("firewall: the last changes did not reach the kernel",
		"bans", e.ledger.sending, "lifts", len(e.ledger.lifts))
}

// work does one round of what is to be done, and returns when to do the next one.
func (e *Enforcer) work(ctx context.Context) time.Duration {
	// Orders are taken also while the kernel refuses: the ledger keeps them.
	e.obey(ctx)

	now := e.clock.Now()
	e.askJournal(ctx, now)
	if now >= e.swept+int64(sweepEvery) {
		e.swept = now
		e.sweeping = true
	}
	if e.sweeping {
		e.sweeping = e.ledger.sweep(now)
	}
	e.lookSome(ctx)
	e.compareSome(ctx)
	e.countSome()

	// Bans that an attacker causes must not make the enforcer ask a failing kernel more often.
	if wait := max(e.failure.retry, e.meddling.retry) - now; wait > 0 {
		return time.Duration(wait)
	}

	// Lifting all bans comes first: it makes room, and an operator may be waiting.
	if e.ledger.clearing != nil {
		if err := e.clear(ctx); err != nil {
			return e.failed(ctx, "lift all bans", err)
		}
	}

	// The layout comes first: without its rules no element drops anything.
	if e.dirty {
		if err := e.ensure(ctx); err != nil {
			return e.failed(ctx, "lay out the table", err)
		}
		e.dirty = false
		e.ledger.resend()
	}

	if changes := e.ledger.next(now, e.clock); len(changes) > 0 {
		rejected, err := e.table.Apply(ctx, changes)
		// An invalid change is among the rejected: it must not keep the others from the kernel.
		if err != nil && !errors.Is(err, firewall.ErrInvalid) {
			return e.failed(ctx, "apply bans", err)
		}
		e.applied(changes, rejected)
	}

	e.failure.backoff = 0
	if e.restoring && e.ledger.sending == 0 {
		e.restoring = false
		e.log.Info("firewall restored", "bans", len(e.ledger.bans))
	}

	// Bans come before doubts, which take the kernel a message each.
	e.answerDoubts(ctx)
	return e.next()
}

// ensure lays out the table.
func (e *Enforcer) ensure(ctx context.Context) error {
	err := e.table.Ensure(ctx)
	if err == nil && e.laidOut != nil {
		e.laidOut()
	}
	return err
}

// obey takes the judge's orders into the ledger.
func (e *Enforcer) obey(ctx context.Context) {
	orders := e.mail.Orders.Take()

	// All other orders were given after the one to lift all bans.
	if o, ok := orders[bans.Everybody()]; ok {
		delete(orders, bans.Everybody())
		e.liftAll(o)
	}

	// What is asked must be read before the first lift.
	for _, o := range orders {
		for _, ask := range o.Asks {
			for _, b := range e.covering(ctx, ask.Addr) {
				ask.Held = append(ask.Held, bans.Held{Prefix: b.Prefix, Drops: b.Drops})
			}
		}
	}

	for prefix, o := range orders {
		if o.Lift {
			e.ledger.lift(prefix, o.Why)
		}
		for _, b := range o.Bans {
			e.ledger.ban(b)
		}
	}
}

// liftAll takes an order to lift all bans into the ledger. If the journal was asked before, its
// answer has bans that are lifted now, so it is asked again.
func (e *Enforcer) liftAll(o bans.Order) {
	e.all = o.All
	e.freed += uint64(len(e.ledger.bans)) // never negative
	e.ledger.liftAll(o.Why)
	e.comparison.outdated = e.comparison.open
	clear(e.doubts)
}

// clear has the kernel lift all bans.
func (e *Enforcer) clear(ctx context.Context) error {
	if err := e.table.Clear(ctx); err != nil {
		return err
	}

	c := e.ledger.clearing
	e.ledger.clearing = nil
	verb := "all bans lifted"
	if e.dry {
		verb = "would lift all bans"
	}
	e.log.Info(verb, "bans", c.bans, "why", c.why)
	return nil
}

// busy reports whether a part of long work is left, which is done some at a time.
func (e *Enforcer) busy() bool {
	return e.sweeping || e.comparison.running != nil || e.counting.elements != nil ||
		e.look.found != nil
}

// next returns how long it is until there is something to do without being asked.
func (e *Enforcer) next() time.Duration {
	if e.ledger.pending()+len(e.doubts) > 0 {
		return 0
	}

	// A look waits until all bans are sent, which may be now.
	if e.look.wanted && !e.look.open {
		return 0
	}

	wait := min(sweepEvery, max(0, e.comparison.next(e.clock.Now())))
	for _, f := range e.ledger.full {
		wait = min(wait, max(0, e.clock.Left(f.retry)))
	}

	return wait
}

// setAllow hands the kernel a new allowlist. If that fails, the table gets it when it is laid out
// the next time. While that is due anyway, a changed list must not put it off.
func (e *Enforcer) setAllow(ctx context.Context, allow []netip.Prefix) {
	if err := e.table.SetAllow(ctx, allow); err != nil && !e.dirty {
		e.failed(ctx, "set the allowlist", err)
	}
}

// takeAllow hands the kernel an allowlist that the loop has not received yet.
func (e *Enforcer) takeAllow(ctx context.Context) {
	select {
	case allow := <-e.allow.C():
		e.setAllow(ctx, allow)
	default:
	}
}

// SetPorts changes the ports that the scopes sip and stream cover. refused is the kernel's error,
// err that the enforcer does not answer.
func (e *Enforcer) SetPorts(ctx context.Context, ports firewall.Ports) (refused, err error) {
	return owner.Do(ctx, e.calls, func() error { return e.table.SetPorts(ctx, ports) })
}
