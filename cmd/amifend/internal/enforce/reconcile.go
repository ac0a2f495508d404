package enforce

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
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

// reconcile compares the kernel and the journal with the ledger, and repairs what differs:
//
//   - What the journal says is lifted leaves the kernel.
//   - What only the kernel has is adopted.
//   - What only the journal has is restored.
//   - Where both have a ban, it ends when the journal says.
//
// What was decided after the journal was asked is left alone. snap is nil if the journal cannot be
// read.
func (e *Enforcer) reconcile(ctx context.Context, a compared) {
	lifted := e.ledger.liftedSince
	defer func() { e.ledger.liftedSince = nil }() // not before obey has filled it
	e.comparison.open = false

	// lifted must have all that was lifted until now. That may be all bans.
	e.obey()
	if e.comparison.outdated {
		e.comparison.outdated = false
		e.comparison.hurry(e.clock.Now()) // those who wait go on waiting
		return
	}

	switch {
	case a.snap == nil:
		e.comparison.due = true
		e.comparison.finish(Compared{Failed: "the journal cannot be read"})
		return
	case e.dirty:
		e.comparison.due = true
		e.comparison.finish(Compared{Failed: "the kernel refuses: " + e.failure.text})
		return
	case a.err != nil:
		e.failed(ctx, "read the bans", a.err)
		e.comparison.finish(Compared{
			Failed: "the bans in the kernel cannot be read: " + a.err.Error(),
		})
		return
	}

	e.read = a.read
	snap := a.snap
	e.warnBadRows(snap)
	n := e.compareAll(a, lifted)
	e.comparison.finish(Compared{Found: n})

	if n != (Differences{}) {
		e.log.Warn("kernel and journal did not agree: repaired", "put_back", n.PutBack,
			"restored", n.Restored, "adopted", n.Adopted, "lifted", n.Lifted,
			"end_corrected", n.EndCorrected, "written_again", n.WrittenAgain)
	}
}

// compareAll repairs what differs, and counts it. lifted has what was lifted since the journal was
// asked: its answer does not count for these.
func (e *Enforcer) compareAll(a compared, lifted map[bans.Key]struct{}) Differences {
	now := e.clock.Now()
	elements, snap := a.elements, a.snap

	// What the kernel took during the walk may have been missed by it.
	walk := time.Duration(now - a.began)
	n := Differences{PutBack: e.ledger.sendMissing(elements, a.began, slack+walk)}

	// Only the kernel has it. An element that runs out in a moment is not worth a line in the log.
	for _, el := range elements {
		k := bans.Key{Prefix: el.Prefix, Scope: el.Scope}
		_, lifting := e.ledger.lifts[k]
		_, gone := lifted[k]
		if e.ledger.bans[k] == nil && !lifting && !gone && (el.Expires > slack || el.Timeout == 0) {
			e.foundInKernel(el, snap, a.began, &n) // what is left is never overrated
		}
	}

	// The journal knows it to run. After the loop above, the ledger has all that the kernel has.
	for k, o := range snap.Open {
		if _, gone := lifted[bans.KeyOf(k)]; !gone && !needless(k, o, snap) {
			e.foundInJournal(k, o, snap, now, &n)
		}
	}

	// The journal does not know it, and not only since it was decided after the question.
	for k, h := range e.ledger.bans {
		if _, known := snap.Open[k.Journal()]; !known && h.Expiry-now > int64(slack) && e.isOld(h) {
			e.missingInJournal(k, h, snap, &n)
		}
	}

	return n
}

// foundInKernel deals with an element that the ledger does not have.
func (e *Enforcer) foundInKernel(
	el firewall.Element, snap *journal.Snapshot, now int64, n *Differences,
) {
	why, ban := e.identify(el, snap, now)
	if why != "" {
		e.ledger.lifts[bans.Key{Prefix: el.Prefix, Scope: el.Scope}] = why
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
	k := bans.Key{Prefix: el.Prefix, Scope: el.Scope}.Journal()
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
	e.ledger.adopt(b, now)
	if !endsAt(el, b.Expiry, now) {
		e.ledger.send[b.Key()] = struct{}{}
	}

	// The journal does not know it yet. Otherwise the ban would have its rule.
	if b.Rule == policy.RuleAdopted.String() {
		e.recorder.Ban(&b)
	}

	e.debug("adopted", &b)
	e.acknowledge(e.ledger.bans[b.Key()])
}

// foundInJournal corrects the ledger by a ban that runs in the journal.
func (e *Enforcer) foundInJournal(
	k journal.Key, o journal.Open, snap *journal.Snapshot, now int64, n *Differences,
) {
	left := leftNow(o, snap)

	h := e.ledger.bans[bans.KeyOf(k)]
	if h == nil {
		if left > slack {
			ban := bans.FromJournal(k, o, left, now)
			e.restoreBan(ban)
			e.mail.External.Put(ban.Key(), bans.External{All: e.all, Ban: ban})
			n.Restored++
		}
		return
	}

	// The journal's end counts, since an operator can change it there. A newer decision may not
	// have been on the disk when the journal answered.
	if d := time.Duration(h.Expiry-now) - left; d.Abs() > slack && e.isOld(h) {
		h.Expiry = now + int64(left)
		if !e.ledger.waits(bans.KeyOf(k)) {
			e.ledger.send[bans.KeyOf(k)] = struct{}{}
		}
		n.EndCorrected++
	}
}

// isOld reports whether a ban was decided so long before the question that the journal must have
// had it. If that is not certain, the journal is asked once more.
func (e *Enforcer) isOld(h *held) bool {
	at := h.DecidedAt()
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
	e.ledger.ban(b)
	e.ledger.bans[b.Key()].logged = true
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

// missingInJournal corrects the journal by a ban of the ledger that does not run there.
func (e *Enforcer) missingInJournal(k bans.Key, h *held, snap *journal.Snapshot, n *Differences) {
	// A ban that was adopted while the journal could not be read may be one that was lifted.
	if l, ok := snap.Lifted[k.Journal()]; ok && h.Rule == policy.RuleAdopted.String() {
		e.ledger.liftOne(k, whyLifted+": "+l.By+": "+l.Why)
		e.mail.External.Put(k, bans.External{All: e.all, Lifted: true})
		n.Lifted++
		return
	}

	// Of a ban and a wider one the journal keeps the wider one only.
	wide := e.ledger.bans[bans.Key{Prefix: k.Prefix, Scope: firewall.ScopeAll}]
	if k.Scope != firewall.ScopeAll && wide != nil && wide.Expiry >= h.Expiry {
		return
	}

	e.recorder.Ban(&h.Ban)
	n.WrittenAgain++
}

// leftNow returns what is left now of a ban in a snapshot.
func leftNow(o journal.Open, snap *journal.Snapshot) time.Duration {
	return o.Left - time.Since(snap.At)
}

// needless reports whether a ban need not come back, since a wider one of the same prefix runs as
// long.
func needless(k journal.Key, o journal.Open, snap *journal.Snapshot) bool {
	if k.Scope == firewall.ScopeAll {
		return false
	}
	wide, ok := snap.Open[journal.Key{Prefix: k.Prefix, Scope: firewall.ScopeAll}]
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
