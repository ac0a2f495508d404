package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"time"
)

// Past is a decided ban, running or over. Times are those of the wall clock.
type Past struct {
	Prefix   netip.Prefix
	Scope    string
	Rule     string
	Score    float64
	Attempts int
	Strike   int
	Evidence string // an attacker's bytes are quoted in it
	From     time.Time
	Until    time.Time
	Lifted   time.Time // zero: it was not lifted
	By, Why  string    // of the lift
	Observed bool      // no packet was dropped
}

// The methods below read the database by a connection of their own, and do not block the goroutine
// that writes. Records that still wait to be written are missing, see [Journal.Publish]. Without a
// database, the methods return nothing and no error.

// History returns up to most of the latest bans that covered an address, the last one first.
func (j *Journal) History(ctx context.Context, addr netip.Addr, most int) (out []Past, err error) {
	// A banned prefix may have any length, so every prefix that contains the address is asked for.
	var args []any
	for bits := range addr.BitLen() + 1 {
		args = append(args, netip.PrefixFrom(addr, bits).Masked().String())
	}

	where := "prefix IN (?" + strings.Repeat(", ?", len(args)-1) + ")"
	err = j.read(ctx, "the history of "+addr.String(), func(db *sql.DB) error {
		out, err = past(ctx, db, where, append(args, most)...)
		return err
	})

	return out, err
}

// Bans returns up to most of the bans that were decided since a time, the last one first.
func (j *Journal) Bans(ctx context.Context, since time.Time, most int) (out []Past, err error) {
	err = j.read(ctx, "bans", func(db *sql.DB) error {
		out, err = past(ctx, db, "decided >= ?", since.UnixMilli(), most)
		return err
	})
	return out, err
}

// Alerts returns up to most of the alerts of a kind ("": all) since a time, the last one first, and
// the number of all. A condition that goes on is among them, whenever it began. If there are more
// than most, alerts that forged packets can raise are left out first, then those that do not go on,
// then the less severe ones.
func (j *Journal) Alerts(
	ctx context.Context, kind string, since time.Time, most int,
) (out []Alert, total int, err error) {
	err = j.read(ctx, "alerts", func(db *sql.DB) error {
		out, total, err = alerts(ctx, db, sinceThen+" AND ?2 IN ('', kind)", most,
			since.UnixMilli(), kind)
		return err
	})
	return out, total, err
}

// read calls f with a read-only connection.
func (j *Journal) read(ctx context.Context, what string, f func(*sql.DB) error) error {
	// A new amifend has no past yet, which is not an error.
	path := j.Health().Path
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}

	db, err := openURI(path, beside)
	if err == nil {
		defer db.Close()
		err = guard(func() error { return f(db) })
	}

	if err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}

	return nil
}

// each calls visit for each row of a query.
func each(
	ctx context.Context, db *sql.DB, visit func(*sql.Rows) error, query string, args ...any,
) error {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()

	for rows.Next() {
		if err := visit(rows); err != nil {
			return err
		}
	}

	return rows.Err()
}

// past returns the bans that match a condition.
func past(ctx context.Context, db *sql.DB, where string, args ...any) (out []Past, err error) {
	err = each(ctx, db, func(row *sql.Rows) error {
		var p Past
		var prefix string
		var from, until, lifted int64

		if err := row.Scan(&prefix, &p.Scope, &p.Rule, &p.Score, &p.Attempts, &p.Strike,
			&p.Evidence, &from, &until, &lifted, &p.By, &p.Why, &p.Observed); err != nil {
			return err
		}

		p.From, p.Until = time.UnixMilli(from), time.UnixMilli(until)
		if lifted != 0 {
			p.Lifted = time.UnixMilli(lifted)
		}

		var bad error
		p.Prefix, bad = netip.ParsePrefix(prefix)
		if bad == nil { // otherwise somebody changed the row by hand
			out = append(out, p)
		}

		return nil
	}, `SELECT prefix, scope, rule, score, attempts, strike, evidence, decided, until,
		coalesce(lifted, 0), coalesce(lifted_by, ''), coalesce(lifted_why, ''), observed FROM past
		WHERE `+where+` ORDER BY decided DESC, id DESC LIMIT ?`, args...)

	return out, err
}
