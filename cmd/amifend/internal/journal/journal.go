package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
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
	BanMax  time.Duration // the longest ban; a lifted ban is remembered as long
	// MaxWaiting bounds the bans and lifts that wait to be written. If it is less than the number
	// of running bans, some of them are written twice.
	MaxWaiting int
	Log        *slog.Logger
	Clock      Clock

	// Changed is called when the bans in the journal may have changed without a call: the journal
	// could not be opened before, it was begun anew, or the wall clock was set. It is called from
	// the journal's goroutine and must not block. It may be nil.
	Changed func()
	// Begun is called when the journal was lost and begun anew. Callers of Save must then save all
	// of their rows again. It is called like Changed, and may be nil.
	Begun func()
}

// How the journal uses its disk.
const (
	writeBudget = 1 << 20 // bytes per second
	// backlogBudget is the budget while more bans wait than one commit takes: a power cut loses those
	// that wait, so a flood of bans must be on the disk in seconds. How many there can be is bounded
	// by max_bans.
	backlogBudget = 32 << 20
	mostAhead     = time.Second    // how far readers may overdraw the budget
	groupMost     = 4096           // bans and lifts in one commit: a lift waits for it
	runMost       = 16 * groupMost // bans of a backlog that are put in order at a time
	totalsEvery   = time.Minute
	retryFirst    = time.Second // after a failure; doubled up to retryLast
	retryLast     = 30 * time.Second
	drainTime     = 5 * time.Second // the longest time to write the backlog at the end
	// beatEvery is how often the clocks are stored when nothing else is written.
	beatEvery = time.Minute
	lookEvery = 10 * time.Second // between two looks at the file and the clock
	// asideEvery is the least time between two corrupt databases that are set aside, so that a
	// faulty disk does not fill up with them.
	asideEvery = time.Hour
)

// Journal stores bans, and all else that amifend must not forget. All methods may be called from
// any goroutine.
type Journal struct {
	o      Options
	queue  *queue
	asks   chan ask
	health healthBox

	copying sync.Mutex // held while a copy is made: its file has one name

	// Only the journal's goroutine uses what follows.
	store   *store   // nil: no database now
	lock    *os.File // nil: not taken yet
	backlog backlog
	broken  error         // why it cannot be written; nil: it can
	backoff time.Duration // the pause after the last failure
	behind  bool          // a question found no database: call Changed when there is one
	whole   bool          // a new database is filled, without the budget
	lost    *Loss         // to be written to the next database; nil: none
	recent  map[Key]Lift  // the latest lifts that were written, see recent.go
	general *LiftAll      // the latest LiftAll that was written
	aside   time.Time     // when a corrupt database was last set aside
	due     due
	tidy    tidy
}

// due holds the times of the next actions.
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

// LiftAll records that all earlier bans are lifted. Those that wait to be written are discarded.
// Use [Journal.SyncLifts] to wait until the lift is on the disk.
func (j *Journal) LiftAll(l LiftAll) { j.queue.liftAll(l) }

// Alert records an alert. Up to a thousand may wait; more are dropped.
func (j *Journal) Alert(a Alert) { j.queue.alert(a) }

// Operation records an action of an operator. Up to a thousand may wait; more are dropped.
func (j *Journal) Operation(o Operation) { j.queue.operation(o) }

// Count adds totals to those of their hours. The function is called later, from another goroutine.
// Totals are written once a minute.
func (j *Journal) Count(totals func() []Total) { j.queue.count(totals) }

// Save queues rows of the table state, at most [MostRows]. It returns false and takes none while
// earlier rows still wait.
func (j *Journal) Save(rows []Row) bool { return j.queue.save(rows) }

// State calls visit for each stored row of the table state.
func (j *Journal) State(ctx context.Context, visit func(Row) error) error {
	return j.ask(ctx, func(s *store) error { return s.state(visit) })
}

// Sync writes all earlier records, whatever the budget. It returns nil when they are on the disk,
// or the reason why they are not. On a full disk it uses the reserved room.
func (j *Journal) Sync(ctx context.Context) error { return j.sync(ctx, true, groupMost) }

// Flush is like [Journal.Sync], but leaves the reserved room to lifts. A ban that is not written
// still runs.
func (j *Journal) Flush(ctx context.Context) error { return j.sync(ctx, false, groupMost) }

// SyncLifts is like [Journal.Sync], but does not wait for bans that are not lifted. There may be
// very many, and they run all the same. It waits for lifts, for rows and blocks of state, and for
// the actions of operators.
func (j *Journal) SyncLifts(ctx context.Context) error { return j.sync(ctx, true, 0) }

// sync calls flush. If the disk is full and reserved is set, it uses the reserved room.
func (j *Journal) sync(ctx context.Context, reserved bool, most int) error {
	return j.ask(ctx, func(*store) error {
		err := j.flush(most)
		if err != nil && reserved && j.release(err) {
			err = j.flush(most)
		}
		if err == nil {
			return nil
		}

		// A read-only journal was reported when it was opened.
		if !errors.Is(err, errReadOnly) {
			j.failed(time.Now(), err)
		}
		return fmt.Errorf("write the journal: %w", err)
	})
}

// ask makes the journal's goroutine call read. If ctx ends first, read may still run.
func (j *Journal) ask(ctx context.Context, read func(*store) error) error {
	// With a context that has ended, the select below would choose at random.
	if err := ctx.Err(); err != nil {
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

// Run writes records and answers questions until ctx ends. Then it writes the records that wait,
// for a few seconds at most.
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
