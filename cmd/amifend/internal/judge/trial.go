package judge

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
)

// trial is a time after the start whose bans end with it, unless an operator keeps them. Kernel and
// journal have the shortened ends too, so that the bans end whatever happens to amifend. After a
// trial that nobody kept, amifend only watches: an operator who was locked out cannot say so, and
// must not be locked out again.
//
// Its zero value is no trial.
type trial struct {
	// By the daemon's clock; 0: there is no trial, or its bans were kept.
	ends   int64
	logged bool                  // that it has ended
	older  map[bans.Key]int64    // until when the bans run that were made before it
	bans   map[bans.Key]bans.Ban // made since it began, as long as they were decided
	swept  int64                 // in units of trialSweep
}

// A trial remembers the evidence of so many bans. The others have a text in its place.
const (
	evidenceMost = 4096
	evidenceText = "(as told in the trial)"
)

// trialSweep is the time between two looks for bans that have ended.
const trialSweep = int64(time.Minute)

// beginTrial begins a trial. The bans that run already are not part of it.
func (j *Judge) beginTrial(now int64, d time.Duration) {
	t := &j.trial
	*t = trial{
		ends:  now + int64(d),
		older: make(map[bans.Key]int64),
		bans:  make(map[bans.Key]bans.Ban),
	}

	for b := range j.engine.Bans() {
		t.older[bans.Key{Prefix: b.Prefix, Scope: bans.FirewallScope(b.Scope)}] = b.Until
	}
	j.log.Warn("trial: the bans that are made from now on end with it, and nobody is banned "+
		"after it",
		"ends", j.clock.Wall(t.ends).UTC().Format(time.RFC3339),
		"do", "amifend keep, when you are sure that you can still log in")
}

// over reports whether bans are only logged.
func (t *trial) over(now int64) bool { return t.ends != 0 && now >= t.ends }

// shorten makes a ban end with the trial, and remembers how long it was to be. It returns false
// when there must be no such ban in the kernel any more.
func (t *trial) shorten(b *bans.Ban, now int64) bool {
	for _, scope := range bans.Scopes() {
		k := bans.Key{Prefix: b.Prefix, Scope: scope}
		if old, ok := t.bans[k]; ok && b.Replaces(&old) {
			delete(t.bans, k)
		}
	}
	if t.ends == 0 {
		return true // what is decided while the trial's bans are being kept counts more
	}

	// The ban is remembered as it was decided, so that keep can give it its whole time.
	whole := *b
	if len(t.bans) >= evidenceMost { // a kilobyte for each of 262,144 bans is too much to keep
		whole.Evidence = evidenceText
	}
	t.bans[b.Key()] = whole

	// A ban that was made before the trial keeps its time.
	most := max(t.ends, t.older[b.Key()])
	if most < now+int64(time.Second) {
		return false
	}
	if b.Expiry > most {
		b.Duration -= time.Duration(b.Expiry - most)
		b.Expiry = most
	}

	return true
}

// noteOlder notes a ban that was made before the trial.
func (t *trial) noteOlder(k bans.Key, until int64) {
	if t.ends != 0 {
		t.older[k] = max(until, t.older[k])
	}
}

// forget forgets the bans of a prefix that are lifted.
func (t *trial) forget(p netip.Prefix) {
	for _, s := range bans.Scopes() {
		delete(t.bans, bans.Key{Prefix: p, Scope: s})
		delete(t.older, bans.Key{Prefix: p, Scope: s})
	}
}

// logObserved logs a ban that is not made any more. How many lines an attacker can cause is bounded
// as for bans that are made.
func (j *Judge) logObserved(b *bans.Ban) {
	j.recorder.Observed(b)
	j.meter.observed[b.Scope].Add(1)
	j.log.Info("would ban", append(b.Attrs(), slog.String("trial", "over: amifend keep"))...)
}

// minuteOfTrial logs the end of a trial, and forgets bans that have ended.
func (j *Judge) minuteOfTrial(now int64) {
	t := &j.trial
	if t.ends == 0 {
		return
	}

	// The end is logged once, for those who would wonder why nobody is banned any more.
	if !t.logged && t.over(now) {
		t.logged = true
		j.log.Warn("the trial is over, and nobody has said amifend keep: its bans have ended, "+
			"and amifend only watches", "bans", len(t.bans),
			"do", "amifend keep, or restart amifend without --trial")
	}

	// A walk over all bans is made once a minute, not once a second.
	if now/trialSweep == t.swept {
		return
	}
	t.swept = now / trialSweep

	for k, b := range t.bans {
		if b.Expiry <= now {
			delete(t.bans, k)
		}
	}
}

// keep gives some of a trial's bans their whole time. It returns how many, and whether there are
// more.
func (j *Judge) keep(most int) (kept int, more bool) {
	t := &j.trial
	now := j.clock.Now()

	// From now on bans are made as usual, also those that are decided between two calls.
	t.ends = 0
	for k, b := range t.bans {
		if most--; most < 0 {
			return kept, true
		}
		delete(t.bans, k)
		if b.Expiry > now {
			kept++
			j.ban(&b)
		}
	}

	*t = trial{}
	return kept, false
}

// Keep ends a trial: its bans get their whole time, and from now on bans are made as usual. It
// returns how many bans were kept, and whether there was a trial.
func (j *Judge) Keep(ctx context.Context) (kept int, wasOn bool, err error) {
	type answer struct {
		on   bool
		kept int
		more bool
	}

	// The judge must not be held up by a trial with many bans, so they are kept some at a time.
	for first := true; ; first = false {
		a, err := owner.Do(ctx, j.calls, func() answer {
			on := j.trial.bans != nil // also when a call before this one was cut off
			n, more := j.keep(callMost)
			return answer{on, n, more}
		})
		if err != nil || first && !a.on {
			return kept, wasOn, err
		}

		wasOn = true
		kept += a.kept
		if !a.more {
			return kept, wasOn, nil
		}
	}
}

// WholeEnds returns when bans of a trial would end without it. It leaves out bans that are not of a
// trial.
func (j *Judge) WholeEnds(ctx context.Context, keys []bans.Key) (map[bans.Key]time.Time, error) {
	if j.trialFor == 0 {
		return nil, nil
	}

	return owner.Do(ctx, j.calls, func() map[bans.Key]time.Time {
		ends := make(map[bans.Key]time.Time)
		for _, k := range keys {
			if b, ok := j.trial.bans[k]; ok {
				ends[k] = j.clock.Wall(b.Expiry)
			}
		}
		return ends
	})
}

// EachObserved hands over the bans that a trial that is over would have made, some at a time. Bans
// that come or go meanwhile may be missed.
func (j *Judge) EachObserved(ctx context.Context, visit func([]bans.Ban)) error {
	if j.trialFor == 0 {
		return nil
	}

	// The keys come in one call, which is quick; the bans with their texts come in parts.
	keys, err := owner.Do(ctx, j.calls, func() []bans.Key {
		return j.observedWithin(netip.Prefix{}, j.clock.Now())
	})
	if err != nil {
		return err
	}

	for some := range slices.Chunk(keys, callMost) {
		part, err := owner.Do(ctx, j.calls, func() []bans.Ban {
			out := make([]bans.Ban, 0, len(some))
			for _, k := range some {
				if b, ok := j.trial.bans[k]; ok { // not lifted since
					out = append(out, b)
				}
			}
			return out
		})
		if err != nil {
			return err
		}
		visit(part)
	}

	return nil
}
