// Package notify reports to people, by mail, chat, push service or webhook, what happens: summaries
// of attacks, and alerts.
//
//	enforce ── Ban ────→ Notifier    bans, added up
//	alerts  ── Alert ──→ Notifier    events, beginnings and ends of conditions
//	reload  ── SetTargets → Notifier
//	Notifier ── Save ──→ journal     the outbox: what is not delivered yet
//	Notifier ── Send ──→ delivery    by a goroutine for each target, one message at a time
//	Notifier ── Raise, Resolve → alerts   notify_failing
//
// Those who hand something over never wait. All that waits is bounded: what is not taken yet, the
// messages of a target, and the items of a message. A target that hangs or refuses holds up its own
// messages only.
//
// # When something is sent
//
// An attack is a summary, see [Attack]. A condition is sent when it begins and when it is over.
// What forged packets can raise in everybody's name is gathered, and sent as one message when the
// target's digest time is over; of spoof_flood there is one at a time, so it goes by itself.
// compromised_account, server_down and what else is critical, and journal_failing, go at any time.
// All other messages wait in quiet hours, and are gathered when a target had max_per_hour messages.
//
// # Outbox
//
// A message is in the journal from its making until the target has taken it. It is tried again
// after 30 s, then after twice as long, up to an hour, for three days. After a crash a message may
// be sent twice, with the same ID. A crash can lose what happened in the last second, and the bans of the
// last ten seconds from a summary.
package notify

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
)

// endTime limits how long [Notifier.Run] may take at its end.
const endTime = 3 * time.Second

// Options configure a [Notifier].
type Options struct {
	Targets   []config.Target
	Observing bool // nobody is banned
	Log       *slog.Logger
	Journal   Rows // nil: the outbox ends with the run
	// Begun is set when the journal was begun anew, so that all rows must be saved again; may be
	// nil.
	Begun *owner.Latest[struct{}]
	// Carried is what an earlier notifier left, see [Notifier.Carry]; nil: what the journal has.
	Carried *Carried
	// Calm is how long no ban must come until an attack is summed up; 0: a minute.
	Calm time.Duration
	// Origin returns the names of an address, as far as they are known; it must not wait. nil: there
	// are none.
	Origin func(netip.Addr) *control.Origin
	Weekly config.Weekly // when a report is sent
	// RetryFirst is the pause after the first failure of a target; 0: 30 seconds.
	RetryFirst time.Duration
}

// Book is the part of [alerts.Book] that a notifier needs.
type Book interface {
	Raise(key string, a alerts.Alert, s alerts.Span)
	Resolve(key string, s alerts.Span)
	Keys(kind string) []string
}

// Notifier owns what is to be reported, and the targets.
type Notifier struct {
	o     Options
	host  string
	in    *intake
	next  *owner.Latest[[]config.Target]
	calls owner.Calls
	// when the weekly report is sent from now on
	nextWeekly *owner.Latest[config.Weekly]
	book       Book
	// the next run of this process gets the outbox, and not the journal
	handOn atomic.Bool

	// Only the goroutine of Run uses what follows.
	targets []*target
	attack  gathering
	weekly  weekly
	rows    rows
	changed bool // something that the journal has not
	more    bool // more bans
	results chan result
	ended   chan struct{}
}

// result is the end of an attempt to send.
type result struct {
	to  *target
	id  string
	err error
}

// New returns a notifier. It does nothing before [Notifier.Run], but what is handed over until then
// is kept.
func New(o Options) *Notifier {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	if o.Begun == nil {
		o.Begun = owner.NewLatest[struct{}]()
	}
	return &Notifier{
		attack: gathering{calm: cmp.Or(o.Calm, calm)},
		o:      o, host: host, in: newIntake(), next: owner.NewLatest[[]config.Target](),
		calls:      owner.NewCalls("the notifier"),
		nextWeekly: owner.NewLatest[config.Weekly](),
		weekly:     weekly{when: o.Weekly, built: make(chan built)},
		rows:       rows{journal: o.Journal, last: map[string]string{}},
		results:    make(chan result), ended: make(chan struct{}),
	}
}

// SetTargets changes the targets. It does not wait. Messages for a target whose name is gone are
// dropped.
func (n *Notifier) SetTargets(t []config.Target) { n.next.Set(t) }

// Run reports until ctx ends. Failing targets are conditions of b.
func (n *Notifier) Run(ctx context.Context, b Book) {
	n.book = b
	n.setTargets(n.o.Targets)
	n.load(ctx)
	n.endForgotten()

	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	wake := time.NewTimer(0)
	defer wake.Stop()

	for {
		select {
		case <-ctx.Done():
			n.finish()
			return
		case <-n.in.wake: // work takes it
		case t := <-n.next.C():
			n.setTargets(t)
			n.endForgotten()
			n.changed = true
		case <-n.o.Begun.C():
			n.rows.forget()
			n.changed = true
		case w := <-n.nextWeekly.C():
			n.weekly.when = w
		case b := <-n.weekly.built:
			n.reported(&b, time.Now())
		case r := <-n.results:
			n.sent(r)
		case f := <-n.calls.C():
			f()
		case <-wake.C:
		}
		wake.Reset(n.work(sending, time.Now()))
	}
}

// HandOn notes that the next notifier of this process gets what is left by [Notifier.Carry]. Then
// the journal keeps none of it: each kind of run has a journal of its own, and would send it again.
func (n *Notifier) HandOn() { n.handOn.Store(true) }

// finish keeps what is left. It waits a little for messages that are on their way, which would be
// sent again.
func (n *Notifier) finish() {
	end := time.Now().Add(endTime)
	late := time.After(endTime / 2)
	for slices.ContainsFunc(n.targets, func(t *target) bool { return t.busy }) {
		select {
		case r := <-n.results:
			n.sent(r)
			continue
		case <-late:
		}
		break
	}
	close(n.ended)

	n.take(time.Now())
	state := n.state()
	if n.handOn.Load() {
		state = nil
	}
	for time.Now().Before(end) && !n.rows.save(state) {
		time.Sleep(50 * time.Millisecond)
	}
}

// work does one round of what is to be done, and returns when to do the next one.
func (n *Notifier) work(ctx context.Context, now time.Time) time.Duration {
	const beat = time.Second
	n.take(now)
	if due := n.attack.due(); !due.IsZero() && !now.Before(due) {
		a := n.attack.take()
		for i := range a.Sources {
			a.Sources[i].Origin = n.origin(a.Sources[i].Source)
		}
		n.route(&Item{
			Kind: config.KindAttack, Phase: "event", Severity: alerts.Notice.String(),
			Since: a.Began, Last: a.To, Count: a.Bans, Attack: &a,
		}, now)
	}

	n.reportInTime(ctx, now)
	for _, t := range n.targets {
		n.changed = t.flush(now, n.o.Observing) || n.changed
		if m := t.dueMessage(now); m != nil {
			t.busy = true
			go n.send(ctx, t, m)
		}
	}

	n.saveInTime(now)
	return beat
}

// take takes in what was handed over.
func (n *Notifier) take(now time.Time) {
	found, more, items, lost := n.in.take()
	if len(n.targets) == 0 {
		n.attack = gathering{calm: n.attack.calm}
		return
	}
	for i := range found {
		n.attack.add(&found[i], now)
		n.more = true
		if len(n.attack.By) <= shownBanned {
			n.origin(found[i].Source()) // so that the host is known when the summary is made
		}
	}
	n.attack.Bans += more.bans
	n.attack.Attempts += more.attempts

	for i := range items {
		items[i].Origin = n.origin(items[i].Source)
		n.route(&items[i], now)
	}
	if lost > 0 {
		n.o.Log.Error("notifications were dropped: too many at once", "lost", lost)
	}
}

// origin returns the names of a source as far as they are known now.
func (n *Notifier) origin(source string) string {
	if n.o.Origin == nil || source == "" {
		return ""
	}
	addr, err := netip.ParseAddr(source)
	if err != nil {
		return "" // a network
	}
	return n.o.Origin(addr).String()
}

// route hands an item to the targets that want it.
func (n *Notifier) route(i *Item, now time.Time) {
	for _, t := range n.targets {
		// A target is not asked to report its own failure.
		if i.Kind == alerts.NotifyFailing && i.ID == alerts.ID(failingKey(t.Name)) {
			continue
		}
		if t.Wants(i.Kind) && severe(i, t.MinSeverity) {
			t.add(*i, wayOf(i), now, n.o.Observing)
			n.changed = true
		}
	}
}

// send tries to deliver a message. It runs on a goroutine of its own.
func (n *Notifier) send(ctx context.Context, t *target, m *Message) {
	r := result{t, m.ID, t.to.Send(ctx, n.form(m))}
	select {
	case n.results <- r:
	case <-n.ended:
	}
}

// sent notes what became of a message.
func (n *Notifier) sent(r result) {
	t, now := r.to, time.Now()
	t.busy = false
	n.changed = true
	if r.err == nil {
		if t.failures > 0 {
			n.o.Log.Info("notifications are delivered again", "target", t.Name)
		}
		t.delivered(r.id, now)
		n.book.Resolve(failingKey(t.Name), alerts.Span{})
		return
	}

	t.failed(r.err, cmp.Or(n.o.RetryFirst, retryFirst), now)
	if t.failures == 1 {
		n.o.Log.Warn("a notification was not delivered: it is tried again", "target", t.Name,
			"err", r.err, "retry", t.retry.Sub(now).Round(time.Second).String())
	}
	if t.failures >= failingAfter && !t.gone {
		n.book.Raise(failingKey(t.Name), alerts.Alert{
			Kind: alerts.NotifyFailing,
			Text: fmt.Sprintf("the target %s of [[notify]] does not take messages: %s", t.Name,
				r.err),
			Do: "amifend notify --test " + t.Name,
		}, alerts.Span{})
	}
}

// failingKey returns the key of the condition that a target does not take messages.
func failingKey(name string) string { return alerts.Key(alerts.NotifyFailing, name) }

// endForgotten ends the conditions of targets that are not in the config any more.
func (n *Notifier) endForgotten() {
	known := make(map[string]bool)
	for _, t := range n.targets {
		known[failingKey(t.Name)] = true
	}
	for _, key := range n.book.Keys(alerts.NotifyFailing) {
		if !known[key] {
			n.book.Resolve(key, alerts.Span{})
		}
	}
}
