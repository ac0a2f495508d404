package journal

import (
	"context"
	"fmt"
	"time"
)

// How the journal deletes old rows. Each step is a small commit, and takes turns with other writes.
const (
	tidyEvery = time.Hour
	// tidyFirst is the wait after the start. If the clock is wrong at boot, running bans could look
	// ended.
	tidyFirst = 15 * time.Minute
	tidyRows  = 1000 // rows in a step
	tidyPages = 256  // pages that a step returns to the disk
)

// tidy deletes old rows step by step.
type tidy struct {
	next time.Time // when to begin again; zero: not set yet
	turn bool      // this turn is for deleting, the next one for writing
	at   int       // the next step
}

// old holds the statements that delete rows from before a time, in the order of their use. Each
// deletes a bounded number of rows. Alerts that forged packets can raise come before the others.
var old = []string{
	`DELETE FROM source_hour WHERE (hour, server, source) IN
		(SELECT hour, server, source FROM source_hour WHERE hour < ?1 LIMIT ?2)`,
	`DELETE FROM account_hour WHERE (hour, server, account) IN
		(SELECT hour, server, account FROM account_hour WHERE hour < ?1 LIMIT ?2)`,
	`DELETE FROM alert WHERE id IN (SELECT id FROM alert WHERE forgeable = 1 AND
		seen < ?1 AND (key = '' OR ended <> 0) ORDER BY seen LIMIT ?2)`,
	`DELETE FROM alert WHERE id IN (SELECT id FROM alert WHERE
		seen < ?1 AND (key = '' OR ended <> 0) ORDER BY seen LIMIT ?2)`,
	`DELETE FROM ban WHERE id IN (SELECT id FROM ban
		WHERE current = 0 AND max(until, ifnull(lifted, 0)) < ?1 ORDER BY id LIMIT ?2)`,
	`DELETE FROM operation WHERE id IN
		(SELECT id FROM operation WHERE at < ?1 ORDER BY id LIMIT ?2)`,
	// The last row stays, so that its number is not used again.
	`DELETE FROM lift_all WHERE id IN (SELECT id FROM lift_all WHERE at < ?1 AND
		id < (SELECT max(id) FROM lift_all) AND NOT EXISTS
		(SELECT 1 FROM ban WHERE current = 1 AND lifted IS NULL AND id <= lift_all.upto) LIMIT ?2)`,
}

// over marks the rows of bans that have ended, and of lifted bans that need not be remembered. Such
// rows are history only.
const over = `UPDATE ban SET current = 0, lifted = p.lifted, lifted_by = p.lifted_by,
	lifted_why = p.lifted_why FROM past p WHERE p.id = ban.id AND ban.id IN (SELECT id FROM past
	WHERE current = 1 AND until < ?1 AND (lifted IS NULL OR lifted < ?2) LIMIT ?3)`

// step does one step, and reports whether there is more to do.
func (t *tidy) step(j *Journal, now time.Time) (more bool, err error) {
	// The first time waits, see tidyFirst.
	if t.next.IsZero() {
		t.next = now.Add(tidyFirst)
	}
	if now.Before(t.next) {
		return false, nil
	}

	err = guard(func() (err error) {
		more, err = t.run(j)
		return err
	})
	if err != nil {
		return false, err
	}

	j.spend(now)
	if !more {
		t.at++
	}

	// After the last step, the next ones begin in an hour.
	if t.at > len(old)+2 {
		t.at, t.next = 0, now.Add(tidyEvery)
		return false, nil
	}

	return true, nil
}

// run does the step that is due, and reports whether to repeat it.
func (t *tidy) run(j *Journal) (again bool, err error) {
	s := j.store
	wall := j.o.Clock.Wall().UnixMilli()

	// First bans become history, then history is deleted, then its room is returned.
	switch i := t.at - 1; {
	case i < 0:
		return s.some(over, wall, wall-j.o.BanMax.Milliseconds(), tidyRows)
	case i < len(old):
		return s.some(old[i], wall-j.o.Retain.Milliseconds(), tidyRows)
	case i == len(old):
		return s.shrink(j.o.MaxSize, wall)
	default:
		return s.giveBack()
	}
}

// some runs a statement that changes at most tidyRows rows, and reports whether there may be more.
func (s *store) some(query string, args ...any) (more bool, err error) {
	err = s.write(func() error {
		r, err := s.exec(query, args...)
		if err != nil {
			return fmt.Errorf("tidy: %w", err)
		}
		n, err := r.RowsAffected()
		more = n >= tidyRows
		return err
	})

	return more, err
}

// shrink deletes the oldest rows that are not current while the database is larger than most bytes.
func (s *store) shrink(most, wall int64) (more bool, err error) {
	if used, err := s.used(); err != nil || used <= most {
		return false, err
	}

	// All rows of one kind are deleted before those of the next: totals are worth less than bans,
	// and bans less than the actions of operators.
	for _, query := range old {
		dropped := int64(0)
		err := s.write(func() error {
			r, err := s.exec(query, wall, tidyRows)
			if err != nil {
				return fmt.Errorf("shrink: %w", err)
			}
			dropped, err = r.RowsAffected()
			return err
		})
		if err != nil || dropped > 0 {
			return true, err
		}
	}

	return false, nil
}

// giveBack returns unused pages to the disk if there are many.
func (s *store) giveBack() (more bool, err error) {
	free, err := s.number("PRAGMA freelist_count")
	if err != nil {
		return false, err
	}

	pages, err := s.number("PRAGMA page_count")
	if err != nil || free < tidyPages || free*8 < pages {
		return false, err
	}

	// Few pages are not worth it: they will be used again.
	_, err = s.exec(fmt.Sprintf("PRAGMA incremental_vacuum(%d)", tidyPages))
	return err == nil, err
}

// used returns the bytes in use.
func (s *store) used() (int64, error) {
	pages, err := s.number("PRAGMA page_count")
	if err != nil {
		return 0, err
	}

	free, err := s.number("PRAGMA freelist_count")
	if err != nil {
		return 0, err
	}

	size, err := s.number("PRAGMA page_size")
	return (pages - free) * size, err
}

// size returns the bytes in use for people to read, or 0 if they are not known.
func (s *store) size() (n int64) {
	_ = guard(func() (err error) {
		n, err = s.used()
		return err
	})
	return n
}

// number returns the one number that a query selects.
func (s *store) number(query string, args ...any) (n int64, err error) {
	err = s.conn.QueryRowContext(context.Background(), query, args...).Scan(&n)
	return n, err
}
