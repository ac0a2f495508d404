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

// Options are a journal's settings.
type Options struct {
	Directory string        // is made if it is missing
	Observed  bool          // decisions are only observed: they are kept apart, in [ObservedFile]
	Table     string        // the nftables table whose bans these are; "": it does not matter
	Retain    time.Duration // how long what is over is kept
	// bytes of the database: what is over is dropped earlier, the oldest first
	MaxSize int64
	BanMax  time.Duration // the longest ban: a lifted one is remembered for that long
	// how many bans and lifts may wait to be written; at least as many as may run, or some are told
	// twice
	MaxWaiting int
	Log        *slog.Logger
	Clock      Clock

	// Changed is called when what the journal says of bans may have changed by itself: it could not
	// be opened before, it was begun anew, or the wall clock was set. It is called from the
	// journal's goroutine and must not block. It may be nil.
	Changed func()
}

// How the journal deals with its disk.
const (
	writeBudget = 1 << 20     // bytes a second
	mostAhead   = time.Second // of the budget may be spent for who only reads
	groupMost   = 4096        // bans and lifts a commit
	totalsEvery = time.Minute
	retryFirst  = time.Second // after a failure, doubled up to retryLast
	retryLast   = 30 * time.Second
	drainTime   = 5 * time.Second // at the end
	// how often the clocks are noted when there is nothing else to write
	beatEvery = time.Minute
	lookEvery = 10 * time.Second
	// at most one corrupt database is set aside in that time: a bad disk must not fill up with them
	asideEvery = time.Hour
)

// Journal writes what it is told. All methods may be called from any goroutine.
type Journal struct {
	o      Options
	queue  *queue
	asks   chan ask
	health healthBox

	// What follows is the goroutine's own.
	store   *store   // nil: there is none now
	lock    *os.File // nil: not taken yet
	backlog backlog
	broken  error         // why nothing can be written; nil: it can
	backoff time.Duration // after the last failure
	behind  bool          // nothing was read yet when it was asked for first: tell when it can be
	aside   time.Time     // when a corrupt database was last set aside
	due     due
	tidy    tidy
}

// due is when something is to be done again by itself.
type due struct{ open, commit, totals, look, beat time.Time }

// ask is a question that the journal's goroutine answers.
type ask struct {
	read func(*store) error
	done chan error
}

// New returns a journal. It touches no disk before Run.
func New(o Options) *Journal {
	o.Clock = o.Clock.orReal()
	j := &Journal{
		o: o, queue: newQueue(o.MaxWaiting), asks: make(chan ask),
		backlog: backlog{most: o.MaxWaiting},
	}
	j.health.set(func(h *Health) { h.Path = j.path() })
	return j
}

func (j *Journal) path() string {
	if j.o.Observed {
		return filepath.Join(j.o.Directory, ObservedFile)
	}
	return filepath.Join(j.o.Directory, File)
}

// Ban tells of a ban.
func (j *Journal) Ban(b Ban) { j.queue.ban(b) }

// Lift tells that a ban is lifted.
func (j *Journal) Lift(l Lift) { j.queue.lift(l) }

// Alert tells of an alert. A thousand may wait, more are left out.
func (j *Journal) Alert(a Alert) { j.queue.alert(a) }

// Operation tells what an operator did. A thousand may wait, more are left out.
func (j *Journal) Operation(o Operation) { j.queue.operation(o) }

// Count adds to the hourly totals what a function returns, which is called later from another
// goroutine. They are written once a minute.
func (j *Journal) Count(totals func() []Total) { j.queue.count(totals) }

// Save writes rows of the table state, [MostRows] at most. It is false, and takes nothing, while
// the ones before still wait: then what changed last is to be told later.
func (j *Journal) Save(rows []Row) bool { return j.queue.save(rows) }

// Snapshot returns what the journal says of bans. It fails while the database cannot be read; an
// error that [Refused] is true for stays until a person has solved it.
func (j *Journal) Snapshot(ctx context.Context) (*Snapshot, error) {
	var out *Snapshot
	err := j.ask(ctx, func(s *store) (err error) {
		if out, err = s.snapshot(j.o.BanMax); err != nil {
			return err
		}

		now := time.Now()
		for _, k := range j.backlog.order {
			out.add(j.backlog.entries[k], now)
		}

		return nil
	})
	if err != nil {
		return nil, err
	}

	return out, nil
}

// State calls visit for each row of the table state that is written.
func (j *Journal) State(ctx context.Context, visit func(Row) error) error {
	return j.ask(ctx, func(s *store) error { return s.state(visit) })
}

// Sync returns when all that was told before is on the disk, whatever the budget, or with the
// reason why it is not. On a disk that is full it takes the room that is reserved for it.
func (j *Journal) Sync(ctx context.Context) error { return j.sync(ctx, true) }

// Flush is Sync without the reserved room: a ban that is not written is told, and leaves that room
// to lifts.
func (j *Journal) Flush(ctx context.Context) error { return j.sync(ctx, false) }

func (j *Journal) sync(ctx context.Context, reserved bool) error {
	return j.ask(ctx, func(*store) error {
		err := j.flush()
		if err != nil && reserved && j.release(err) {
			err = j.flush()
		}
		if err == nil {
			return nil
		}
		if !errors.Is(err, errReadOnly) { // that is told already
			j.failed(time.Now(), err)
		}
		return fmt.Errorf("write the journal: %w", err)
	})
}

// ask has the journal's goroutine call read. If ctx ends first, read may still run.
func (j *Journal) ask(ctx context.Context, read func(*store) error) error {
	if err := ctx.Err(); err != nil { // select below would choose by chance
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

// Run serves until ctx ends, then writes what waits, for a few seconds at most.
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

		wake.Reset(j.work())
	}
}
