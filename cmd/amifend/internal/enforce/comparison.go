package enforce

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/compact"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
	"github.com/amifend/amifend/firewall"
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
// is asked, and the kernel's elements are read, on a goroutine of its own: the enforcer waits neither
// for the disk nor for a walk over all elements.
type comparison struct {
	journal Snapshotter // nil: there is none
	answers chan compared
	due     bool // somebody wants it
	open    bool // the journal is asked, and its answer is not compared yet
	// All bans were lifted since it was asked, so its answer does not count.
	outdated bool
	asked    int64 // when

	running *reconciling      // the answer is being compared; nil: it is not
	waiters []chan<- Compared // each has room for one
}

// compared holds what kernel and journal have.
type compared struct {
	snap     *journal.Snapshot // nil: the journal cannot be read
	keys     []compact.Key     // of its bans
	elements *firewall.Elements
	began    int64     // when the walk over the elements began
	read     time.Time // and when it ended
	err      error     // of the walk
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
	return comparison{journal: j, answers: make(chan compared, 1)}
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
	e.ledger.liftedSince = make(map[compact.Key]struct{})
	go func() {
		ctx, cancel := context.WithTimeout(ctx, answerTime)
		defer cancel()

		// The journal comes first, since it knows all that the kernel has.
		var a compared
		snap, err := c.journal.Snapshot(ctx)
		if err == nil { // else the journal logs itself what is wrong with it
			a.snap, a.began = snap, e.clock.Now()
			a.keys = slices.Collect(maps.Keys(snap.Open))
			a.elements, a.err = e.table.Elements(ctx)
			a.read = time.Now()
		}
		c.answers <- a // has room: there is one question at a time
	}()
}

// Compares reports whether there is a journal that kernel and ledger are compared with.
func (e *Enforcer) Compares() bool { return e.comparison.journal != nil }

// Compare compares kernel, journal and ledger now, repairs what differs, and returns the outcome.
// There must be a journal, see [Enforcer.Compares].
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
