package app

import (
	"log/slog"
	"net/netip"
	"reflect"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// trial is a time after the start whose bans end with it, unless an operator keeps them. They are that short in the kernel and in
// the journal too, so that they end whatever happens to amifend. After a trial that nobody kept the daemon only watches: who
// was locked out cannot say so, and must not be locked out again.
//
// The judge owns it. Its zero value is no trial.
type trial struct {
	ends   int64                // by the daemon's clock; 0: there is no trial, or its bans were kept
	told   bool                 // that it has ended
	before map[key]int64        // until when the bans run that are older than it
	bans   map[netip.Prefix]Ban // made since it began, as long as they were decided
}

// evidenceMost is of how many bans a trial remembers the evidence; evidenceTold is what the others have in its place.
const (
	evidenceMost = 4096
	evidenceTold = "(as told in the trial)"
)

// begin begins a trial.
func (j *judge) begin(now int64, d time.Duration) {
	t := &j.trial
	*t = trial{ends: now + int64(d), before: make(map[key]int64), bans: make(map[netip.Prefix]Ban)}
	for b := range j.engine.Bans() {
		t.before[key{b.Prefix, scopes[b.Scope]}] = b.Until
	}
	j.log.Warn("trial: the bans that are made from now on end with it, and nobody is banned after it",
		"ends", j.clock.wallTime(t.ends).UTC().Format(time.RFC3339), "do", "amifend keep, when you are sure that you can still log in")
}

// over tells whether bans are only watched.
func (t *trial) over(now int64) bool { return t.ends != 0 && now >= t.ends }

// shorten makes a ban end with the trial, and remembers how long it was to be. It is false when there must be no such ban in
// the kernel any more.
func (t *trial) shorten(b *Ban, now int64) bool {
	if t.ends == 0 {
		delete(t.bans, b.Prefix) // what was decided while the trial's bans are being kept counts more than they do
		return true
	}
	whole := *b
	if len(t.bans) >= evidenceMost { // a kilobyte for each of 262,144 bans is too much to keep
		whole.Evidence = evidenceTold
	}
	t.bans[b.Prefix] = whole
	most := max(t.ends, t.before[b.key()]) // what was decided before the trial is kept
	if most < now+int64(time.Second) {
		return false
	}
	if b.until > most {
		b.Duration -= time.Duration(b.until - most)
		b.until = most
	}
	return true
}

// adopted notes a ban that is older than the trial.
func (t *trial) adopted(k key, until int64) {
	if t.ends != 0 {
		t.before[k] = max(until, t.before[k])
	}
}

// forget forgets the bans of a prefix, that was let in.
func (t *trial) forget(p netip.Prefix) {
	delete(t.bans, p)
	for _, s := range scopes {
		delete(t.before, key{p, s})
	}
}

// watch tells of a ban that is not made any more. How many lines an attacker can cause is bounded as in [enforcer.tell].
func (j *judge) watch(b *Ban) {
	j.records.observed(b)
	j.log.Info("would ban", append(b.attrs(), slog.String("trial", "over: amifend keep"))...)
}

// trialSweep is how often what has ended is forgotten.
const trialSweep = int64(time.Minute)

// mind does what time alone decides of a trial.
func (j *judge) mind(now int64) {
	t := &j.trial
	if t.ends == 0 {
		return
	}
	if !t.told && t.over(now) {
		t.told = true
		j.log.Warn("the trial is over, and nobody has said amifend keep: its bans have ended, and amifend only watches", "bans", len(t.bans),
			"do", "amifend keep, or restart amifend without --trial")
	}
	if now/trialSweep == j.minded {
		return
	}
	j.minded = now / trialSweep
	for p, b := range t.bans {
		if b.until <= now {
			delete(t.bans, p)
		}
	}
}

// keep gives some of a trial's bans their whole time, and tells how many and whether there are more.
func (j *judge) keep(most int) (kept int, more bool) {
	t, now := &j.trial, j.clock.now()
	t.ends = 0
	for p, b := range t.bans {
		if most--; most < 0 {
			return kept, true
		}
		delete(t.bans, p)
		if b.until > now {
			kept++
			j.ban(&b)
		}
	}
	*t = trial{}
	return kept, false
}

// walk returns the next of the bans that are only watched, and whether there are more.
func (t *trial) walk(at *reflect.MapIter, most int, now int64) (bans []control.Ban, more bool) {
	for len(bans) < most {
		if !at.Next() {
			return bans, false
		}
		b := at.Value().Interface().(Ban)
		if b.until <= now {
			continue
		}
		bans = append(bans, control.Ban{
			Prefix: b.Prefix, Scope: b.Scope.String(), Rule: b.Rule, Score: round(b.Score), Attempts: b.Attempts, Strike: b.Strike,
			Servers: b.Servers, Since: b.Decided, Until: b.Until().Truncate(time.Second), State: control.StateDry,
		})
	}
	return bans, true
}
