package app

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

const (
	slack        = 2 * time.Second  // by which two ends of one ban may differ, and how much must be left of it to be worth a word
	settledAfter = 10 * time.Second // a decision that old has passed all queues
)

// differences counts what kernel, journal and ledger did not agree on.
type differences struct {
	missing  int // not in the kernel, or until another time
	restored int // only in the journal
	adopted  int // only in the kernel
	lifted   int // in the kernel, though lifted
	moved    int // until another time in the journal
	unknown  int // not in the journal
}

// reconcile compares the kernel and the journal with the ledger, and repairs what differs: what the journal says is lifted
// goes, what it does not know is adopted, what only it has comes back, and where both know a ban, it runs until when the
// journal says. What was decided after the journal was asked is left alone.
func (e *enforcer) reconcile(ctx context.Context, snap *journal.Snapshot) {
	gone := e.ledger.gone
	defer func() { e.ledger.gone = nil }() // not before obey has filled it
	e.inquiry.open = false
	if snap == nil || e.dirty {
		e.inquiry.due = true
		why := "the journal cannot be read"
		if snap != nil {
			why = "the kernel refuses: " + e.lastError
		}
		e.inquiry.done(differences{}, why)
		return
	}
	elements, err := e.table.Bans(ctx)
	if err != nil {
		e.failed(ctx, "read the bans", err)
		e.inquiry.done(differences{}, "the bans in the kernel cannot be read: "+err.Error())
		return
	}
	e.obey() // so that gone has all that was lifted before this moment
	e.warnBad(snap)
	now := e.clock.now()
	n := differences{missing: e.ledger.missing(elements, now, int64(slack))}
	for _, el := range elements {
		k := key{el.Prefix, el.Scope}
		_, lifting := e.ledger.lifts[k]
		_, lifted := gone[k]
		if e.ledger.bans[k] == nil && !lifting && !lifted && (el.Expires > slack || el.Timeout == 0) {
			e.meet(el, snap, now, &n)
		}
	}
	for k, o := range snap.Open {
		if _, lifted := gone[keyOf(k)]; !lifted && !needless(k, o, snap) {
			e.follow(k, o, snap, now, &n)
		}
	}
	for k, h := range e.ledger.bans {
		if _, known := snap.Open[k.journal()]; !known && h.until-now > int64(slack) && e.settled(h) {
			e.complete(k, h, snap, &n)
		}
	}
	e.inquiry.done(n, "")
	if n != (differences{}) {
		e.log.Warn("kernel and journal did not agree: repaired", "put_back", n.missing, "restored", n.restored, "adopted", n.adopted,
			"lifted", n.lifted, "end_corrected", n.moved, "written_again", n.unknown)
	}
}

// meet deals with an element that the ledger does not know.
func (e *enforcer) meet(el firewall.Element, snap *journal.Snapshot, now int64, n *differences) {
	why, ban := e.weigh(el, snap, now)
	if why != "" {
		e.ledger.lifts[key{el.Prefix, el.Scope}] = why
		n.lifted++
		return
	}
	n.adopted++
	e.takeOver(ban, el, now)
	e.news.put(ban.key(), news{ban: ban})
}

// weigh says what an element of the kernel is that the ledger does not know: a ban, or why there must be no such element.
func (e *enforcer) weigh(el firewall.Element, snap *journal.Snapshot, now int64) (why string, b Ban) {
	k := key{el.Prefix, el.Scope}.journal()
	if el.Prefix != el.Prefix.Masked() {
		return whyUnmasked, Ban{}
	}
	if snap != nil {
		if l, ok := snap.Lifted[k]; ok {
			return strings.TrimSuffix(whyLifted+": "+l.By+": "+l.Why, ": "), Ban{}
		}
		if o, ok := snap.Open[k]; ok && leftNow(o, snap) > 0 {
			return "", remembered(k, o, leftNow(o, snap), now)
		}
	}
	if el.Timeout == 0 {
		return whyEndless, Ban{}
	}
	return "", Ban{
		Prefix: el.Prefix, Scope: el.Scope, Rule: policy.RuleAdopted, Decided: e.clock.wallTime(now), Duration: el.Expires,
		until: now + int64(el.Expires),
	}
}

// takeOver makes an element of the kernel a ban of the ledger, and has it end when the ban does.
func (e *enforcer) takeOver(b Ban, el firewall.Element, now int64) {
	e.ledger.adopt(b, now)
	if !e.ends(el, b.until, now) {
		e.ledger.send[b.key()] = struct{}{}
	}
	if b.Rule == policy.RuleAdopted {
		e.records.ban(&b)
	}
	e.note("adopted", &b)
	e.acknowledge(e.ledger.bans[b.key()])
}

// follow makes the ledger agree with a ban that the journal knows to run.
func (e *enforcer) follow(k journal.Key, o journal.Open, snap *journal.Snapshot, now int64, n *differences) {
	left := leftNow(o, snap)
	h := e.ledger.bans[keyOf(k)]
	if h == nil {
		if left > slack {
			ban := remembered(k, o, left, now)
			e.putBack(ban)
			e.news.put(ban.key(), news{ban: ban})
			n.restored++
		}
		return
	}
	if d := time.Duration(h.until-now) - left; (d > slack || d < -slack) && e.settled(h) {
		h.until = now + int64(left)
		if !e.ledger.waits(keyOf(k)) {
			e.ledger.send[keyOf(k)] = struct{}{}
		}
		n.moved++
	}
}

// settled tells whether a ban was decided so long before the journal was asked that the answer must have known it. If that is
// not certain, the journal is asked once more.
func (e *enforcer) settled(h *held) bool {
	at := h.decided()
	if at >= e.inquiry.asked {
		return false // it is new
	}
	if at < e.inquiry.asked-int64(settledAfter) {
		return true
	}
	e.inquiry.due = true
	return false
}

// putBack wants a ban in the kernel that was told already.
func (e *enforcer) putBack(b Ban) {
	e.ledger.ban(b)
	e.ledger.bans[b.key()].told = true
	e.note("restored", &b)
}

// ends tells whether an element ends when its ban does. One without a timeout never does.
func (e *enforcer) ends(el firewall.Element, until, now int64) bool {
	d := time.Duration(until-now) - el.Expires
	return el.Timeout != 0 && -slack <= d && d <= slack
}

// note tells of a ban that is no news. A start has very many of them, so that not even the words are made in vain.
func (e *enforcer) note(what string, b *Ban) {
	if e.log.Enabled(context.Background(), slog.LevelDebug) {
		e.log.Debug(what, "source", b.Source(), "scope", b.Scope.String(), "until", b.Until().UTC().Format(time.RFC3339), "undo", b.undo())
	}
}

// complete makes the journal agree with a ban that it does not know to run.
func (e *enforcer) complete(k key, h *held, snap *journal.Snapshot, n *differences) {
	if l, ok := snap.Lifted[k.journal()]; ok && h.Rule == policy.RuleAdopted {
		e.ledger.liftOne(k, whyLifted+": "+l.By+": "+l.Why) // adopted while the journal could not be read
		e.news.put(k, news{lifted: true})
		n.lifted++
		return
	}
	if wide := e.ledger.bans[key{k.prefix, firewall.ScopeAll}]; k.scope == firewall.ScopeSIP && wide != nil && wide.until >= h.until {
		return // the journal keeps the wider one only
	}
	e.records.ban(&h.Ban)
	n.unknown++
}

// leftNow is what is left of a ban of a snapshot now.
func leftNow(o journal.Open, snap *journal.Snapshot) time.Duration {
	return o.Left - time.Since(snap.At)
}

// needless tells whether a ban need not come back, since a wider one of the same prefix runs as long.
func needless(k journal.Key, o journal.Open, snap *journal.Snapshot) bool {
	if k.Scope != firewall.ScopeSIP {
		return false
	}
	wide, ok := snap.Open[journal.Key{Prefix: k.Prefix, Scope: firewall.ScopeAll}]
	return ok && wide.Left >= o.Left
}

// warnBad tells of rows that cannot be read.
func (e *enforcer) warnBad(snap *journal.Snapshot) {
	if snap.Bad > e.badRows {
		e.log.Error("the journal has bans that cannot be read: they are left as they are", "rows", snap.Bad,
			"do", "if you changed the table ban by hand, correct it")
	}
	e.badRows = snap.Bad
}
