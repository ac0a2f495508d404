package enforce

import (
	"context"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
)

// How often kernel, journal and ledger are compared.
const (
	compareEvery = 5 * time.Minute
	compareLeast = 10 * time.Second // between two that somebody wants
	answerTime   = time.Minute      // for the journal's answer
)

// Snapshotter is the part of the journal that the enforcer needs. [journal.Journal] implements it.
type Snapshotter interface {
	Snapshot(ctx context.Context) (*journal.Snapshot, error)
}

// comparison holds when kernel, journal and ledger are compared, and who waits for it. The journal
// is asked on a goroutine of its own, so that the enforcer never waits for the disk.
type comparison struct {
	journal Snapshotter            // nil: there is none
	answers chan *journal.Snapshot // nil is an answer too: the journal cannot be read
	due     bool                   // somebody wants it
	open    bool                   // the journal is asked, and has not answered
	// All bans were lifted since it was asked, so its answer does not count.
	outdated bool
	asked    int64 // when

	waiters []chan<- Compared // each has room for one
}

// Compared is the outcome of a comparison.
type Compared struct {
	Found  Differences
	Failed string // why it could not be done; "": it was
}

// Differences counts what kernel, journal and ledger did not agree on. All of it was repaired.
type Differences struct {
	PutBack      int // were not in the kernel, or until another time
	Restored     int // were only in the journal
	Adopted      int // were only in the kernel
	Lifted       int // were in the kernel, though lifted
	EndCorrected int // had another end in the journal
	WrittenAgain int // were not in the journal
}

func newComparison(j Snapshotter) comparison {
	return comparison{journal: j, answers: make(chan *journal.Snapshot, 1)}
}

// hurry has the next comparison made now.
func (c *comparison) hurry(now int64) {
	c.due = true
	if !c.open {
		c.asked = min(c.asked, now-int64(compareLeast))
	}
}

// finish hands the outcome to those who wait for it.
func (c *comparison) finish(out Compared) {
	for _, w := range c.waiters {
		w <- out
	}
	c.waiters = nil
}

// next returns how long it is until the journal is to be asked.
func (c *comparison) next(now int64) time.Duration {
	switch {
	case c.journal == nil || c.open:
		return compareEvery
	case c.due:
		return time.Duration(c.asked-now) + compareLeast
	default:
		return time.Duration(c.asked-now) + compareEvery
	}
}

// askJournal asks the journal if it is time to.
func (e *Enforcer) askJournal(ctx context.Context, now int64) {
	c := &e.comparison
	if c.journal == nil || c.open || c.next(now) > 0 {
		return
	}

	// What is lifted from now on is noted: the answer may still have it.
	c.asked = now
	c.open, c.due = true, false
	e.ledger.liftedSince = make(map[bans.Key]struct{})
	go func() {
		ctx, cancel := context.WithTimeout(ctx, answerTime)
		defer cancel()

		snap, err := c.journal.Snapshot(ctx)
		if err != nil {
			snap = nil // the journal logs itself what is wrong with it
		}
		c.answers <- snap // has room: there is one question at a time
	}()
}

// Compares reports whether there is a journal that kernel and ledger are compared with.
func (e *Enforcer) Compares() bool { return e.comparison.journal != nil }

// Compare has kernel, journal and ledger compared now, repairs what differs, and returns what came
// of it. There must be a journal, see [Enforcer.Compares].
func (e *Enforcer) Compare(ctx context.Context) (Compared, error) {
	done := make(chan Compared, 1)
	_, err := owner.Do(ctx, e.calls, func() struct{} {
		e.comparison.hurry(e.clock.Now())
		e.comparison.waiters = append(e.comparison.waiters, done)
		return struct{}{}
	})
	if err != nil {
		return Compared{}, err
	}

	select {
	case c := <-done:
		return c, nil
	case <-ctx.Done():
		return Compared{}, e.calls.Busy()
	}
}
