package journal

import (
	"context"
	"database/sql"
	"time"
)

// Numbers are the totals of a time.
type Numbers struct {
	Failures, Logins  uint64 // events
	Sources, Accounts int    // with failures
	Bans              int    // that were decided
	Observed          int    // of these, those that dropped no packet
	Alerts            int    // that began
}

// Hour has the totals of an hour.
type Hour struct {
	At               time.Time
	Failures, Logins uint64
	Bans             int
}

// Numbers returns the totals from a time on, before another. Events are counted in whole hours.
func (j *Journal) Numbers(ctx context.Context, from, to time.Time) (n Numbers, err error) {
	args := []any{from.UnixMilli(), to.UnixMilli()}
	err = j.read(ctx, "totals", func(db *sql.DB) error {
		for _, q := range []struct {
			query string
			to    []any
		}{
			{
				`SELECT coalesce(sum(failures), 0), coalesce(sum(logins), 0),
					count(DISTINCT iif(failures > 0, source, NULL))
					FROM source_hour WHERE hour >= ?1 AND hour < ?2`,
				[]any{&n.Failures, &n.Logins, &n.Sources},
			},
			{
				`SELECT count(*) FROM (SELECT 1 FROM account_hour
					WHERE hour >= ?1 AND hour < ?2 AND failures > 0 GROUP BY server, account)`,
				[]any{&n.Accounts},
			},
			{
				`SELECT count(*), coalesce(sum(observed), 0) FROM past
					WHERE decided >= ?1 AND decided < ?2`,
				[]any{&n.Bans, &n.Observed},
			},
			{`SELECT count(*) FROM alert WHERE at >= ?1 AND at < ?2`, []any{&n.Alerts}},
		} {
			if err := db.QueryRowContext(ctx, q.query, args...).Scan(q.to...); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

// Hours returns the totals of each hour from a time on, before another. Hours in which nothing
// happened are left out.
func (j *Journal) Hours(ctx context.Context, from, to time.Time) (out []Hour, err error) {
	args := []any{from.UnixMilli(), to.UnixMilli()}
	at := make(map[int64]int) // in out
	hour := func(milli int64) *Hour {
		if _, ok := at[milli]; !ok {
			at[milli] = len(out)
			out = append(out, Hour{At: time.UnixMilli(milli)})
		}
		return &out[at[milli]]
	}

	err = j.read(ctx, "totals", func(db *sql.DB) error {
		err := each(ctx, db, func(row *sql.Rows) error {
			var milli int64
			var failures, logins uint64
			err := row.Scan(&milli, &failures, &logins)
			h := hour(milli)
			h.Failures, h.Logins = failures, logins
			return err
		}, `SELECT hour, sum(failures), sum(logins) FROM source_hour
			WHERE hour >= ?1 AND hour < ?2 GROUP BY hour`, args...)
		if err != nil {
			return err
		}

		return each(ctx, db, func(row *sql.Rows) error {
			var milli int64
			var bans int
			err := row.Scan(&milli, &bans)
			hour(milli).Bans = bans
			return err
		}, `SELECT decided / 3600000 * 3600000, count(*) FROM past
			WHERE decided >= ?1 AND decided < ?2 GROUP BY 1`, args...)
	})
	return out, err
}
