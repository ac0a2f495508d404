package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"time"
)

// work does the actions that are due, and returns the time until the next one.
func (j *Journal) work() time.Duration {
	j.collect()
	now := time.Now()
	if !j.open(now) {
		return max(0, j.due.open.Sub(now))
	}

	// While the budget is used up, nothing is written.
	if wait := j.due.commit.Sub(now); wait > 0 {
		return wait
	}
	if !now.Before(j.due.look) && !j.look(now) {
		return 0
	}

	// Deleting old rows takes turns with writing, so that a flood of bans does not stop it.
	more, err := false, error(nil)
	if j.tidy.turn = !j.tidy.turn; j.tidy.turn {
		if more, err = j.trim(now); err == nil && !more {
			more, err = j.tidy.step(j, now)
		}
	}

	// Without anything to write, a commit stores the clocks.
	totals := !now.Before(j.due.totals) && len(j.backlog.totals) > 0
	if !more && err == nil && (j.backlog.urgent() || totals || !now.Before(j.due.beat)) {
		more, err = true, j.commit(now, totals)
	}

	switch {
	case err != nil:
		return j.failed(now, err)
	case more:
		return 0
	}

	return j.idle(now)
}

// idle returns the time until the next periodic action.
func (j *Journal) idle(now time.Time) time.Duration {
	next := j.due.beat
	for _, t := range []time.Time{j.due.look, j.tidy.next} {
		if t.Before(next) {
			next = t
		}
	}

	if len(j.backlog.totals) > 0 && j.due.totals.Before(next) {
		next = j.due.totals
	}
	return max(0, next.Sub(now))
}

// collect moves the content of the queue into the backlog.
func (j *Journal) collect() {
	p, lost := j.queue.take()
	j.backlog.lost += lost
	j.backlog.add(p, time.Now())
	j.health.set(func(h *Health) { h.Waiting, h.Lost = len(j.backlog.entries), j.backlog.lost })
}

// commit writes one batch.
func (j *Journal) commit(now time.Time, totals bool) error {
	return j.commitSome(now, totals, groupMost)
}

// commitSome writes one batch with at most `most` bans that are not lifted.
func (j *Journal) commitSome(now time.Time, totals bool, most int) error {
	b := j.backlog.batch(most, totals)
	stepped := false
	if err := guard(func() (err error) {
		stepped, err = j.store.commit(b)
		return err
	}); err != nil {
		return err
	}

	// Records leave the backlog only when they are on the disk.
	j.backlog.written(b)
	j.noteLifts(b)
	j.queue.demand(len(j.backlog.blocks) > 0, j.store.log.wants(now))
	j.due.beat = now.Add(beatEvery)
	if totals && len(b.totals) < groupMost {
		j.due.totals = now.Add(totalsEvery)
	}

	j.spend(now)
	j.fine()

	// The times on disk were corrected, so the enforcer must compare them again.
	if stepped {
		j.o.Log.Warn("the system's clock was set: the rest of each ban stays the same")
		j.changed()
	}

	return nil
}

// spend charges the written pages to the budget, which is larger while many bans wait. Each page is
// written twice: to the write-ahead log, and later to the database.
func (j *Journal) spend(now time.Time) {
	// A journal that was begun anew is first filled without the budget.
	if j.whole {
		l := &j.store.log
		j.whole = len(j.backlog.entries) > 0 || l.missing || l.round != 0
		j.store.pages()
		return
	}

	const page = 2 * (4096 + 24)
	budget := time.Duration(writeBudget)
	if len(j.backlog.entries) > groupMost {
		budget = backlogBudget
	}
	cost := time.Duration(j.store.pages()*page) * time.Second / budget

	// At most one second of budget is saved up.
	if least := now.Add(-time.Second); j.due.commit.Before(least) {
		j.due.commit = least
	}
	j.due.commit = j.due.commit.Add(cost)
}

// look checks the file and the clock. It reports false if the file must be opened again.
func (j *Journal) look(now time.Time) bool {
	j.due.look = now.Add(lookEvery)
	if j.store.replaced() {
		j.o.Log.Error("the journal's file was taken away while it was in use: beginning a new one",
			"file", j.store.path)
		j.replace(now)
		return false
	}

	if j.store.times.stepped() {
		j.due.beat = now // the commit stores the new reading
	}

	j.health.set(func(h *Health) { h.Size = j.store.size() })
	j.reserve()
	return true
}

// replace begins a new database in the place of one whose file was taken away. While the old one is
// open, it can still be read, so it is copied. If somebody has put another file there, that one
// counts.
func (j *Journal) replace(now time.Time) {
	path := j.path()
	_, err := os.Lstat(path)
	gone := errors.Is(err, os.ErrNotExist)

	// The directory may be gone as well.
	copied := gone && guard(func() error {
		if err := os.MkdirAll(j.o.Directory, 0o750); err != nil {
			return err
		}
		removeDatabase(path + newEnd)
		_, err := j.store.exec("VACUUM INTO ?", path+newEnd)
		return err
	}) == nil

	// So may the file of the lock, which would then protect nothing.
	j.drop()
	if j.lock != nil {
		j.lock.Close()
		j.lock = nil
	}

	j.due.open, j.behind = now, true
	if !gone {
		return
	}

	if copied {
		if err := moveDatabase(path+newEnd, path); err != nil {
			removeDatabase(path + newEnd)
			copied = false
		}
	}

	loss := newLoss(j.o.Clock.Wall(), "its file was taken away", "", salvaged{})
	if copied {
		loss.Kept = "what was in the file"
	}
	if err := j.beginAnew(loss); err != nil {
		j.failed(now, err)
	}
}

// open opens a writable database unless one is open, and reports whether one is open now.
func (j *Journal) open(now time.Time) bool {
	if j.store != nil && !j.store.readOnly && j.broken == nil {
		j.catchUp()
		return true
	}
	if now.Before(j.due.open) {
		return false
	}
	if j.store != nil && !j.store.readOnly {
		return true // the next commit shows whether it works again
	}

	// A read-only database may have become writable, and a missing one may have come back.
	err := j.openAnew()
	if corrupt(err) {
		err = j.setAside(now, err)
	}

	if err != nil || j.store.readOnly {
		if err == nil {
			err = errReadOnly
		}
		j.failed(now, err)
		return false
	}

	j.due = due{look: now.Add(lookEvery), beat: now, totals: j.due.totals}
	j.reserve()
	j.catchUp()
	return true
}

// catchUp calls Options.Changed when a database is open again.
func (j *Journal) catchUp() {
	if j.behind {
		j.behind = false
		j.changed()
	}
}

// openAnew opens the database, and closes the one that was open before.
func (j *Journal) openAnew() error {
	// Where no lock file can be made, no journal can be written either.
	if j.lock == nil {
		f, err := lockDir(j.o.Directory, j.o.lock())
		if errors.Is(err, ErrLocked) {
			return j.named(err)
		}
		j.lock = f
	}

	// A reader without locks must be gone before there is a writer: when it closes the database, it
	// may delete the log. If the database still cannot be written, it is opened like that again.
	if j.store != nil && j.store.readOnly {
		j.drop()
	}

	// A database of another owner is closed before anything is written to it.
	var s *store
	err := guard(func() (err error) {
		if s, err = openStore(j.path(), j.o.Clock); err == nil {
			s.observed = j.o.Observed
			fresh := s.fresh
			j.health.set(func(h *Health) { h.Fresh = fresh })
			if err = s.belong(j.o.owner()); err != nil {
				s.close()
			}
		}
		return err
	})
	if err != nil {
		return j.named(err)
	}

	// One that could be written is closed last, because it could be read until now.
	j.drop()
	j.store = s
	j.readLoss()
	if j.lost != nil && !s.readOnly {
		j.fill()
	}
	j.queue.demand(len(j.backlog.blocks) > 0, s.log.wants(time.Now()))

	return nil
}

// named adds the file's name to an error.
func (j *Journal) named(err error) error {
	return fmt.Errorf("journal %s: %w", j.path(), err)
}

// setAside renames a corrupt database, and begins a new one with the rows that can be read.
func (j *Journal) setAside(now time.Time, cause error) error {
	if !j.aside.IsZero() && now.Sub(j.aside) < asideEvery {
		return fmt.Errorf("corrupt again: %w", cause)
	}

	// The new one is complete before the old one is renamed.
	j.drop()
	path := j.path()
	to := path + ".corrupt-" + j.o.Clock.Wall().UTC().Format("20060102T150405.000Z")
	kept, ok := salvage(path, path+newEnd)

	err := moveDatabase(path, to)
	if err == nil && ok {
		err = moveDatabase(path+newEnd, path)
	}
	if err != nil {
		return fmt.Errorf("set the corrupt journal aside: %w", err)
	}

	j.aside = now
	loss := newLoss(j.o.Clock.Wall(), cause.Error(), to, kept)
	j.o.Log.Error("the journal is corrupt: set aside, and begun anew from the bans that are known",
		"file", path, "aside", to, "err", cause, "kept", loss.Kept, "not_all_of", loss.Gone,
		"do", "look at the disk; what the old file still holds can be read with `sqlite3 "+to+
			" .recover`")
	return j.beginAnew(loss)
}

// beginAnew opens the database that takes the place of a lost one.
func (j *Journal) beginAnew(loss *Loss) error {
	j.behind, j.lost = true, loss
	return j.openAnew()
}

// fill begins to fill a new database with all that the daemon knows, without the budget.
func (j *Journal) fill() {
	j.whole = true
	j.store.log.missing = true // so the engine hands over its whole state

	// A salvaged database has the lifts.
	if j.lost.Kept == "" {
		j.rememberLifts()
	}
	if j.o.Begun != nil {
		j.o.Begun()
	}

	// An operator must learn of it, whenever they look next.
	if err := j.putLoss(j.lost); err != nil {
		j.o.Log.Error("the loss of the journal cannot be noted", "err", err)
		return
	}
	j.lost = nil
}

// drop closes the database.
func (j *Journal) drop() {
	if s := j.store; s != nil {
		j.store = nil
		_ = guard(func() error { s.close(); return nil }) // nothing could be done about an error
	}
}

// failed records that nothing can be written now, and returns the time until the next try.
func (j *Journal) failed(now time.Time, err error) time.Duration {
	if corrupt(err) {
		if err = j.setAside(now, err); err == nil {
			return 0
		}
	}

	if errors.Is(err, errPanicked) {
		j.store = nil // closing it might never return
	}

	// Only the first of several equal failures is logged, so that they do not fill the log.
	j.backoff = min(max(2*j.backoff, retryFirst), retryLast)
	j.due.open = now.Add(j.backoff)
	first := j.broken == nil || code(j.broken) != code(err)
	j.broken = err
	do := advice(err, j.o.Directory)

	switch {
	case !first:
	case refused(err):
		// The daemon does not start, so there are no bans to write.
		j.o.Log.Error("the journal cannot be used", "err", err, "do", do)
	default:
		j.o.Log.Error("the journal cannot be written: bans go on, and are written when it can be",
			"err", err, "waiting", len(j.backlog.entries), "do", do)
	}

	j.health.set(func(h *Health) {
		if h.Problem == "" {
			h.Since = now
		}
		h.Problem, h.Do = err.Error(), do
	})

	return j.backoff
}

// fine records that the journal can be written.
func (j *Journal) fine() {
	if j.broken != nil {
		j.o.Log.Info("the journal is written again", "waiting", len(j.backlog.entries))
	}
	j.broken, j.backoff = nil, 0
	j.health.set(func(h *Health) {
		h.Problem, h.Do, h.Since, h.Waiting = "", "", time.Time{}, len(j.backlog.entries)
	})
}

// changed calls Options.Changed.
func (j *Journal) changed() {
	if j.o.Changed != nil {
		j.o.Changed()
	}
}

// reply answers a question. It replaces a corrupt database first.
func (j *Journal) reply(read func(*store) error) error {
	j.collect()
	now := time.Now()
	if j.store == nil {
		j.due.open = now
		j.open(now)
	}

	for {
		if j.store == nil {
			j.behind = true // the caller learns by Options.Changed when it can ask again
			return j.broken
		}

		err := guard(func() error { return read(j.store) })
		if !corrupt(err) {
			return err
		}

		if err := j.setAside(now, err); err != nil {
			j.failed(now, err)
			return err
		}

		j.behind = false // the answer comes from the new database
	}
}

// drain writes the backlog, whatever the budget, for at most drainTime.
func (j *Journal) drain() {
	end := time.Now().Add(drainTime)
	for j.collect(); time.Now().Before(end); {
		j.due.open, j.due.commit = time.Time{}, time.Time{}
		now := time.Now()
		if !j.open(now) {
			break
		}

		rest := j.backlog.urgent() || len(j.backlog.totals) > 0

		// An empty commit still stores the clocks.
		if err := j.commit(now, true); err != nil {
			j.failed(now, err)
			if j.broken != nil {
				break
			}
		}

		if !rest {
			break
		}
	}

	if n := len(j.backlog.entries); n > 0 {
		j.o.Log.Error("the journal's last entries could not be written: a restart finds their "+
			"bans in the kernel, a reboot does not", slog.Int("waiting", n))
	}
}

// shut closes the database and its lock.
func (j *Journal) shut() {
	j.drop()
	if j.lock != nil {
		j.lock.Close()
	}
}

// guard calls f, and returns a panic as an error. SQLite maps the index of its write-ahead log into
// memory. If the disk goes away, an access to it is a fault, which must not end the daemon.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errPanicked, r)
		}
	}()
	return f()
}
