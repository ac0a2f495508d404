package enforce

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/compact"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

const (
	// slack is by how much two ends of one ban may differ. A ban with less than that left is not
	// worth a line either.
	slack = 2 * time.Second
	// oldAfter is the age at which a decision has certainly passed all queues.
	oldAfter = 10 * time.Second
)

// Why elements that are found in the kernel are taken out.
const (
	whyEndless  = "it would never run out"
	whyUnmasked = "it matches no packet: not a prefix of this set"
	whyLifted   = "it was lifted before"
)

// compareMost limits how many bans are compared in one round of work: some two milliseconds.
const compareMost = 2048

// reconciling is a comparison that goes on, some bans at a time, so that new bans need not wait.
type reconciling struct {
	compared
	walk  time.Duration // how long ago the kernel's elements may have been read
	found Differences
	parts []func() (more bool) // what is left to do
}

// reconcile begins to compare the kernel and the journal with the ledger, and to repair what
// differs:
//
//   - What the journal says is lifted leaves the kernel.
//   - What only the kernel has is adopted.
//   - What only the journal has is restored.
//   - Where both have a ban, it ends when the journal says.
//
// What was decided after the journal was asked is left alone. snap is nil if the journal cannot be
// read.
func (e *Enforcer) reconcile(ctx context.Context, a compared) {
	// What was lifted all at once is in no answer. Whoever waits goes on waiting.
	e.obey(ctx)
	if e.comparison.outdated {
		e.compareAgain()
		return
	}

	failed := ""
	switch {
	case a.snap == nil:
		failed = "the journal cannot be read"
	case e.dirty:
		failed = "the kernel refuses: " + e.failure.text
	case a.err != nil:
		e.failed(ctx, "read the bans", a.err)
		failed = "the bans in the kernel cannot be read: " + a.err.Error()
	}
	if failed != "" {
		e.comparison.due = a.err == nil || e.comparison.due
		e.endComparison(Compared{Failed: failed})
		return
	}

	e.read = a.read
	e.warnBadRows(a.snap)
	r := &reconciling{compared: a, walk: time.Duration(e.clock.Now() - a.began)}
	r.parts = []func() bool{e.compareLedger(r), e.compareKernel(r), e.compareJournal(r)}
	e.comparison.running = r
}

// endComparison hands out the outcome of a comparison.
func (e *Enforcer) endComparison(out Compared) {
	e.comparison.open, e.comparison.running = false, nil
	e.ledger.liftedSince = nil
	e.comparison.finish(out)
}

// compareAgain has the journal asked again: all bans were lifted since.
func (e *Enforcer) compareAgain() {
	c := &e.comparison
	c.outdated, c.open, c.running = false, false, nil
	e.ledger.liftedSince = nil
	c.hurry(e.clock.Now())
}

// compareSome compares the next bans, if a comparison goes on.
func (e *Enforcer) compareSome(ctx context.Context) {
	r := e.comparison.running
	switch {
	case r == nil:
		return
	case e.comparison.outdated:
		e.compareAgain()
		e.askJournal(ctx, e.clock.Now())
		return
	}

	if len(r.parts) > 0 {
		if more := r.parts[0](); !more {
			r.parts = r.parts[1:]
		}
		return
	}

	e.endComparison(Compared{Found: r.found})
	if n := r.found; n != (Differences{}) {
		e.log.Warn("kernel and journal did not agree: repaired", "put_back", n.PutBack,
			"restored", n.Restored, "adopted", n.Adopted, "lifted", n.Lifted,
			"end_corrected", n.EndCorrected, "written_again", n.WrittenAgain)
	}
}

// isLiftedSince reports whether a ban was lifted since the journal was asked: its answer does not count.
func (e *Enforcer) isLiftedSince(k compact.Key) bool {
	_, gone := e.ledger.liftedSince[k]
	return gone
}

// compareLedger returns a function that looks for the next bans of the ledger in kernel and journal.
func (e *Enforcer) compareLedger(r *reconciling) func() bool {
	var last *held
	return func() bool {
		some := e.ledger.some(&e.ledger.byKey, last)
		if len(some) == 0 {
			return false
		}
		last = some[len(some)-1]

		// What the kernel took during the walk may have been missed by it. What the journal does not
		// know may have been decided after the question.
		now := e.clock.Now()
		for _, h := range some {
			if e.ledger.sendIfMissing(h, r.elements, r.began, slack+r.walk) {
				r.found.PutBack++
			}
			_, known := r.snap.Open[h.key]
			if !known && h.expiry-now > int64(slack) && e.isOld(h) {
				e.missingInJournal(h, r.snap, &r.found)
			}
		}
		return true
	}
}

// compareKernel returns a function that looks for the next elements of the kernel in the ledger.
func (e *Enforcer) compareKernel(r *reconciling) func() bool {
	next := 0
	return func() bool {
		// An element that runs out in a moment is not worth a line in the log.
		least := slack + time.Duration(e.clock.Now()-r.began)
		for end := min(next+compareMost, r.elements.Len()); next < end; next++ {
			el := r.elements.At(next)
			k := compact.Of(el.Prefix, el.Scope)
			_, lifting := e.ledger.lifts[k]
			if e.ledger.bans[k] == nil && !lifting && !e.isLiftedSince(k) &&
				(el.Expires > least || el.Timeout == 0) {
				e.foundInKernel(el, r.snap, r.began, &r.found) // what is left is never overrated
			}
		}
		return next < r.elements.Len()
	}
}

// compareJournal returns a function that looks for the next bans of the journal in the ledger, which
// has all that the kernel has.
func (e *Enforcer) compareJournal(r *reconciling) func() bool {
	next := 0
	return func() bool {
		now := e.clock.Now()
		for end := min(next+compareMost, len(r.keys)); next < end; next++ {
			k := r.keys[next]
			if o := r.snap.Open[k]; !e.isLiftedSince(k) && !needless(k, o, r.snap) {
				e.foundInJournal(k, o, r.snap, now, &r.found)
			}
		}
		return next < len(r.keys)
	}
}

// foundInKernel deals with an element that the ledger does not have.
func (e *Enforcer) foundInKernel(
	el firewall.Element, snap *journal.Snapshot, now int64, n *Differences,
) {
	why, ban := e.identify(el, snap, now)
	if why != "" {
		e.ledger.lifts[compact.Of(el.Prefix, el.Scope)] = why
		n.Lifted++
		return
	}

	n.Adopted++
	e.adopt(ban, el, now)
	e.mail.External.Put(ban.Key(), bans.External{All: e.all, Ban: ban})
}

// identify returns the ban of an element that the ledger does not have, or why there must be no
// such element.
func (e *Enforcer) identify(
	el firewall.Element, snap *journal.Snapshot, now int64,
) (why string, b bans.Ban) {
	k := compact.Of(el.Prefix, el.Scope)
	if el.Prefix != el.Prefix.Masked() {
		return whyUnmasked, bans.Ban{}
	}

	// The journal knows more of a ban than the kernel does.
	if snap != nil {
		if l, ok := snap.Lifted[k]; ok {
			return strings.TrimSuffix(whyLifted+": "+l.By+": "+l.Why, ": "), bans.Ban{}
		}
		if o, ok := snap.Open[k]; ok && leftNow(o, snap) > 0 {
			return "", bans.FromJournal(k, o, leftNow(o, snap), now)
		}

		// A ban that was never written may be among those that were lifted all at once. Its element
		// is older than that lift.
		if all := snap.All; !all.At.IsZero() && el.Timeout-el.Expires > e.read.Sub(all.At) {
			return strings.TrimSuffix(whyLifted+": "+all.By+": "+all.Why, ": "), bans.Ban{}
		}
	}

	// Nobody knows who put it there and why, so it is taken over as it is. One without an end must
	// not be: no ban of ours lasts for ever.
	if el.Timeout == 0 {
		return whyEndless, bans.Ban{}
	}

	return "", bans.Ban{
		Prefix: el.Prefix, Scope: el.Scope, Rule: policy.RuleAdopted.String(),
		Decided: e.clock.Wall(now), Duration: el.Expires, Expiry: now + int64(el.Expires),
	}
}

// adopt makes an element of the kernel a ban of the ledger, and has it end when the ban does.
func (e *Enforcer) adopt(b bans.Ban, el firewall.Element, now int64) {
	h := e.ledger.adopt(&b, now)
	if !endsAt(el, b.Expiry, now) {
		e.ledger.send(h)
	}

	// The journal does not know it yet. Otherwise the ban would have its rule.
	if b.Rule == policy.RuleAdopted.String() {
		e.recorder.Ban(&b)
	}

	e.debug("adopted", &b)
	e.acknowledge(h)
}

// foundInJournal corrects the ledger by a ban that runs in the journal.
func (e *Enforcer) foundInJournal(
	k compact.Key, o journal.Open, snap *journal.Snapshot, now int64, n *Differences,
) {
	left := leftNow(o, snap)

	h := e.ledger.bans[k]
	if h == nil {
		// A wider ban may have taken its place since the question.
		wide := e.ledger.bans[k.WithScope(firewall.ScopeAll)]
		if left > slack && (wide == nil || wide.expiry < now+int64(left)) {
			ban := bans.FromJournal(k, o, left, now)
			e.restoreBan(ban)
			e.mail.External.Put(ban.Key(), bans.External{All: e.all, Ban: ban})
			n.Restored++
		}
		return
	}

	// The journal's end counts, since an operator can change it there. A newer decision may not
	// have been on the disk when the journal answered.
	if d := time.Duration(h.expiry-now) - left; d.Abs() > slack && e.isOld(h) {
		e.ledger.setExpiry(h, now+int64(left))
		if !e.ledger.waits(k) {
			e.ledger.send(h)
		}
		n.EndCorrected++
	}
}

// isOld reports whether a ban was decided so long before the question that the journal must have
// had it. If that is not certain, the journal is asked once more.
func (e *Enforcer) isOld(h *held) bool {
	at := h.decidedAt()
	if at >= e.comparison.asked {
		return false
	}
	if at < e.comparison.asked-int64(oldAfter) {
		return true
	}

	e.comparison.due = true
	return false
}

// restoreBan wants a ban in the kernel that was logged before.
func (e *Enforcer) restoreBan(b bans.Ban) {
	e.ledger.ban(&b).logged = true
	e.debug("restored", &b)
}

// endsAt reports whether an element ends when its ban does. One without a timeout never does.
func endsAt(el firewall.Element, expiry, now int64) bool {
	d := time.Duration(expiry-now) - el.Expires
	return el.Timeout != 0 && d.Abs() <= slack
}

// debug logs a ban that is not new. A start has very many of them, so that not even the texts are
// made in vain.
func (e *Enforcer) debug(what string, b *bans.Ban) {
	if e.log.Enabled(context.Background(), slog.LevelDebug) {
		e.log.Debug(what, "source", b.Source(), "scope", b.Scope.String(),
			"until", b.Until().UTC().Format(time.RFC3339), "undo", b.Undo())
	}
}

// debugHeld is [Enforcer.debug] for a ban of the ledger.
func (e *Enforcer) debugHeld(what string, h *held) {
	if e.log.Enabled(context.Background(), slog.LevelDebug) {
		b := h.ban()
		e.debug(what, &b)
	}
}

// missingInJournal corrects the journal by a ban of the ledger that does not run there.
func (e *Enforcer) missingInJournal(h *held, snap *journal.Snapshot, n *Differences) {
	// A ban that was adopted while the journal could not be read may be one that was lifted.
	l, ok := snap.Lifted[h.key]
	if ok && h.story.rule == policy.RuleAdopted.String() {
		e.ledger.liftOne(h.key, whyLifted+": "+l.By+": "+l.Why)
		e.mail.External.Put(h.bansKey(), bans.External{All: e.all, Lifted: true})
		n.Lifted++
		return
	}

	// Of a ban and a wider one the journal keeps the wider one only.
	wide := e.ledger.bans[h.key.WithScope(firewall.ScopeAll)]
	if h.key.Scope() != firewall.ScopeAll && wide != nil && wide.expiry >= h.expiry {
		return
	}

	b := h.ban()
	e.recorder.Ban(&b)
	n.WrittenAgain++
}

// leftNow returns what is left now of a ban in a snapshot.
func leftNow(o journal.Open, snap *journal.Snapshot) time.Duration {
	return o.Left - time.Since(snap.At)
}

// needless reports whether a ban need not come back, since a wider one of the same prefix runs as
// long.
func needless(k compact.Key, o journal.Open, snap *journal.Snapshot) bool {
	if k.Scope() == firewall.ScopeAll {
		return false
	}
	wide, ok := snap.Open[k.WithScope(firewall.ScopeAll)]
	return ok && wide.Left >= o.Left
}

// warnBadRows logs that there are rows that cannot be read, when there are more than before.
func (e *Enforcer) warnBadRows(snap *journal.Snapshot) {
	if snap.Bad > e.badRows {
		e.log.Error("the journal has bans that cannot be read: they are left as they are",
			"rows", snap.Bad,
			"do", "if you changed the table ban by hand, correct it")
	}
	e.badRows = snap.Bad
}
