package journal

import (
	"context"
	"database/sql"
	"time"
)

// mostForgeable is the largest number of waiting alerts of the kinds that forged packets can raise,
// so that there is room for the others.
const mostForgeable = mostAlerts / 2

// addAlert adds an alert to the waiting ones if there is room, and returns them. Only the latest
// state of a condition waits.
func addAlert(waiting []Alert, a *Alert) []Alert {
	forgeable := 0
	for i := range waiting {
		w := &waiting[i]
		if a.Key != "" && w.Key == a.Key && w.Ended.IsZero() {
			a.At = w.At // the beginning of the condition, which is not written yet
			*w = *a
			return waiting
		}
		if w.Forgeable {
			forgeable++
		}
	}

	if len(waiting) >= mostAlerts || a.Forgeable && forgeable >= mostForgeable {
		return waiting
	}
	return append(waiting, *a)
}

// putAlert writes an event, or the state of a condition.
func (s *store) putAlert(a *Alert) error {
	seen, ended := s.times.at(a.At), int64(0)
	if !a.Seen.IsZero() {
		seen = s.times.at(a.Seen)
	}
	if !a.Ended.IsZero() {
		ended = s.times.at(a.Ended)
	}
	count := max(a.Count, 1)

	// A condition that goes on has a row already, unless the journal was begun anew.
	if a.Key != "" {
		r, err := s.do("condition", a.Text, a.Do, seen, ended, count, a.Key)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n > 0 {
			return err
		}
	}

	_, err := s.do("alert", s.times.at(a.At), a.Kind, a.Source, a.Account, a.Server, a.Text, a.Do,
		max(a.Severity, 0), a.Forgeable, a.Key, seen, ended, count)
	return err
}

// alertColumns holds the columns that [scanAlert] reads.
const alertColumns = `at, kind, source, account, server, text, advice, severity, forgeable, key,
	seen, ended, count`

// scanAlert reads a row of alertColumns.
func scanAlert(row *sql.Rows) (a Alert, err error) {
	var at, seen, ended int64
	err = row.Scan(&at, &a.Kind, &a.Source, &a.Account, &a.Server, &a.Text, &a.Do, &a.Severity,
		&a.Forgeable, &a.Key, &seen, &ended, &a.Count)
	a.At, a.Seen = time.UnixMilli(at), time.UnixMilli(seen)
	if ended != 0 {
		a.Ended = time.UnixMilli(ended)
	}
	return a, err
}

// sinceThen matches the events since a time, and the conditions that went on then or later. Each
// term has an index.
const sinceThen = "(seen >= ?1 OR ended >= ?1 AND ended <> 0 OR key <> '' AND ended = 0)"

// alerts returns up to most of the alerts that match a condition, the last one first. total is the
// number of all that match. If there are more than most, alerts that forged packets can raise are
// left out first, then those that do not go on, then the less severe ones.
func alerts(
	ctx context.Context, db *sql.DB, where string, most int, args ...any,
) (out []Alert, total int, err error) {
	err = each(ctx, db, func(row *sql.Rows) error { return row.Scan(&total) },
		"SELECT count(*) FROM alert WHERE "+where, args...)
	if err != nil {
		return nil, 0, err
	}

	err = each(ctx, db, func(row *sql.Rows) error {
		a, err := scanAlert(row)
		out = append(out, a)
		return err
	}, "SELECT "+alertColumns+" FROM (SELECT id, "+alertColumns+" FROM alert WHERE "+where+
		" ORDER BY forgeable, key <> '' AND ended = 0 DESC, severity, at DESC, id DESC LIMIT ?)"+
		" ORDER BY at DESC, id DESC", append(args, most)...)

	return out, total, err
}

// OpenAlerts returns the conditions that go on, as the journal has them.
func (j *Journal) OpenAlerts(ctx context.Context) (out []Alert, err error) {
	const most = 10_000 // far more than are ever open
	err = j.read(ctx, "the open alerts", func(db *sql.DB) error {
		out, _, err = alerts(ctx, db, "key <> '' AND ended = 0", most)
		return err
	})
	return out, err
}
