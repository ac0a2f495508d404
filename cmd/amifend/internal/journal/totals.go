package journal

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// By selects how totals are grouped.
type By int

// The groups of totals. A source is the same on all servers. An account belongs to its server.
const (
	BySource By = iota
	ByAccount
	ByServer
)

// Sum is the total of a source, an account or a server over some hours.
type Sum struct {
	// Name is the source's address, the account as ami.Quote prints it, or the server. [Others]
	// stands for all names that had no room.
	Name     string
	Server   string // of an account; else ""
	Servers  int    // the number of servers that reported it
	Failures uint64 // events, not attempts: one attempt may raise several
	Logins   uint64
	First    time.Time // the beginning of the first hour with events, and of the last
	Last     time.Time
}

// sums holds the queries of [Journal.Totals].
var sums = map[By]string{
	BySource: `SELECT source, '', count(DISTINCT server), sum(failures) AS f, sum(logins) AS l,
		min(hour), max(hour) FROM source_hour WHERE hour >= ?1 GROUP BY source`,
	ByAccount: `SELECT account, server, 1, sum(failures) AS f, sum(logins) AS l,
		min(hour), max(hour) FROM account_hour WHERE hour >= ?1 GROUP BY server, account`,
	ByServer: `SELECT server, '', 1, sum(failures) AS f, sum(logins) AS l,
		min(hour), max(hour) FROM source_hour WHERE hour >= ?1 GROUP BY server`,
}

// Totals sums up the hours from the one of since on. It returns up to most sums, those with the
// most failures first. Totals are written once a minute.
func (j *Journal) Totals(
	ctx context.Context, by By, since time.Time, most int,
) (out []Sum, err error) {
	query, ok := sums[by]
	if !ok {
		return nil, fmt.Errorf("read totals: by what (%d) is unknown", by)
	}

	// Rows hold whole hours, so the beginning is rounded down.
	from := since.UTC().Truncate(time.Hour).UnixMilli()
	err = j.read(ctx, "totals", func(db *sql.DB) error {
		return each(ctx, db, func(row *sql.Rows) error {
			var s Sum
			var first, last int64
			if err := row.Scan(&s.Name, &s.Server, &s.Servers, &s.Failures, &s.Logins, &first,
				&last); err != nil {
				return err
			}

			s.First, s.Last = time.UnixMilli(first), time.UnixMilli(last)
			out = append(out, s)
			return nil
		}, query+` ORDER BY f DESC, l DESC, 1, 2 LIMIT ?2`, from, most)
	})

	return out, err
}
