package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// Options are the settings of a journal.
type Options struct {
	Directory string        // made if it is missing
	Observed  bool          // decisions are only observed: they go into [ObservedFile]
	Table     string        // the nftables table that holds the bans; "": any
	Retain    time.Duration // how long ended bans, alerts and totals are kept
	// MaxSize bounds the database in bytes. Beyond it the oldest records are dropped early.
	MaxSize int64
	BanMax  time.Duration // the longest ban: for that long lifted ones are remembered
	// MaxWaiting bounds the bans and lifts that wait to be written. With less than the number of
	// running bans, some are written twice.
	MaxWaiting int
	Log        *slog.Logger
	Clock      Clock

	// Changed is called when the journal's view of bans may have changed by itself: it could not be
	// opened before, it was begun anew, or the wall clock was set. It is called from the journal's
	// goroutine and must not block. It may be nil.
	Changed func()
	// Begun is called when the journal was lost and begun anew: whoever keeps rows of state in it
	// must save all of them again. It is called like Changed, and may be nil.
	Begun func()
}

// How the journal uses its disk.
const (
	writeBudget = 1 << 20 // bytes per second
	// backlogBudget is the budget while more bans wait than one commit takes: a power cut loses those
	// that wait, so a flood of bans must be on the disk in seconds. How many there can be is bounded
	// by max_bans.
	backlogBudget = 32 << 20
	mostAhead     = time.Second    // of the budget, for callers that only read
	groupMost     = 4096           // bans and lifts in one commit: a lift waits for it
	runMost       = 16 * groupMost // bans of a backlog that are put in order at a time
	totalsEvery   = time.Minute
	retryFirst    = time.Second // after a failure; doubled up to retryLast
	retryLast     = 30 * time.Second
	drainTime     = 5 * time.Second // for what waits at the end
	// beatEvery is how often the clocks are stored when nothing else is written.
	beatEvery = time.Minute
	lookEvery = 10 * time.Second
	// asideEvery is the least time between two corrupt databases that are set aside: a faulty disk
	// must not fill up with them.
	asideEvery = time.Hour
)

// Journal stores bans and what belongs to them. All methods may be called from any goroutine.
type Journal struct {
	o      Options
	queue  *queue
	asks   chan ask
	health healthBox

	// Only the journal's goroutine uses what follows.
	store   *store   // nil: no database now
	lock    *os.File // nil: not taken yet
	backlog backlog
	broken  error         // why it cannot be written; nil: it can
	backoff time.Duration // after the last failure
	behind  bool          // a first question found no database: call Changed when there is one
	whole   bool          // it is written whole, without the budget
	lost    *Loss         // to be noted in the next database; nil: none
	recent  map[Key]Lift  // the latest that were written
	general *LiftAll      // the latest of these
	aside   time.Time     // when a corrupt database was last set aside
	due     due
	tidy    tidy
}

// due holds the times of the next periodic actions.
type due struct{ open, commit, totals, look, beat time.Time }

// ask is a question for the journal's goroutine.
type ask struct {
	read func(*store) error
	done chan error
}

// New returns a journal. It does not touch the disk before Run.
func New(o Options) *Journal {
	o.Clock = o.Clock.OrReal()
	j := &Journal{
		o: o, queue: newQueue(o.MaxWaiting), asks: make(chan ask),
		backlog: backlog{most: o.MaxWaiting},
	}
	j.health.set(func(h *Health) { h.Path = j.path() })
	return j
}

// path returns the name of the database.
func (j *Journal) path() string {
	if j.o.Observed {
		return filepath.Join(j.o.Directory, ObservedFile)
	}
	return filepath.Join(j.o.Directory, File)
}

// Ban records a ban.
func (j *Journal) Ban(b Ban) { j.queue.ban(b) }

// Lift records that a ban is lifted.
func (j *Journal) Lift(l Lift) { j.queue.lift(l) }

// LiftAll records that all bans are lifted that were recorded before. Those that wait to be written
// are discarded. Use [Journal.SyncLifts] to wait until it is on the disk.
func (j *Journal) LiftAll(l LiftAll) { j.queue.liftAll(l) }

// Alert records an alert. Up to a thousand may wait; more are dropped.
func (j *Journal) Alert(a Alert) { j.queue.alert(a) }

// Operation records an action of an operator. Up to a thousand may wait; more are dropped.
func (j *Journal) Operation(o Operation) { j.queue.operation(o) }

// Count adds totals to those of their hours. The function is called later, from another goroutine.
// Totals are written once a minute.
func (j *Journal) Count(totals func() []Total) { j.queue.count(totals) }

// Save writes rows of the table state, at most [MostRows]. It reports false, and takes nothing,
// while the rows before still wait.
func (j *Journal) Save(rows []Row) bool { return j.queue.save(rows) }

// State calls visit for each stored row of the table state.
func (j *Journal) State(ctx context.Context, visit func(Row) error) error {
	return j.ask(ctx, func(s *store) error { return s.state(visit) })
}

// Sync returns when all that was recorded before is on the disk, whatever the budget, or with the
// reason why it is not. On a full disk it uses the reserved room.
func (j *Journal) Sync(ctx context.Context) error { return j.sync(ctx, true, groupMost) }

// Flush is Sync without the reserved room, which is left to lifts: a ban that is not written still
// runs.
func (j *Journal) Flush(ctx context.Context) error { return j.sync(ctx, false, groupMost) }

// SyncLifts is Sync without the bans that wait and are not lifted, of which there may be very many:
// they still run. It waits for lifts, for rows and blocks of state, and for what operators did.
func (j *Journal) SyncLifts(ctx context.Context) error { return j.sync(ctx, true, 0) }

// sync writes what waits, if need be into the reserved room: of the bans that are not lifted, most
// in a commit.
func (j *Journal) sync(ctx context.Context, reserved bool, most int) error {
	return j.ask(ctx, func(*store) error {
		err := j.flush(most)
		if err != nil && reserved && j.release(err) {
			err = j.flush(most)
		}
		if err == nil {
			return nil
		}
		if !errors.Is(err, errReadOnly) { // which was reported when the journal was opened
			j.failed(time.Now(), err)
		}
		return fmt.Errorf("write the journal: %w", err)
	})
}

// ask makes the journal's goroutine call read. If ctx ends first, read may still run.
func (j *Journal) ask(ctx context.Context, read func(*store) error) error {
	if err := ctx.Err(); err != nil { // else the select below would choose at random
		return fmt.Errorf("ask the journal: %w", err)
	}

	a := ask{read, make(chan error, 1)}
	select {
	case j.asks <- a:
	case <-ctx.Done():
		return fmt.Errorf("ask the journal: %w", ctx.Err())
	}

	select {
	case err := <-a.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("wait for the journal: %w", ctx.Err())
	}
}

// Run serves until ctx ends. Then it writes what waits, for a few seconds at most.
func (j *Journal) Run(ctx context.Context) {
	defer j.shut()
	wake := time.NewTimer(0)
	defer wake.Stop()

	for {
		select {
		case <-ctx.Done():
			j.drain()
			return
		case a := <-j.asks:
			a.done <- j.reply(a.read)
		case <-j.queue.wake:
		case <-wake.C:
		}

		// Whatever woke the goroutine, it does what is due and sleeps until the next action.
		wake.Reset(j.work())
	}
}
