package journal

import (
	"context"
	"database/sql"
	"net/netip"
	"slices"
	"time"
)

// Observed counts the bans of a dry run.
type Observed struct {
	Since    time.Time      // the time of the oldest ban, or of the oldest events if these are older
	Sources  int            // distinct prefixes
	LoggedIn int            // the number of these prefixes from which a login came at any time
	Examples []netip.Prefix // some of the prefixes with a login, at most 3
}

// examplesMost is the largest number of prefixes in [Observed.Examples].
const examplesMost = 3

// Observed counts the bans of a dry run that the journal still has. Logins come from the hourly
// totals.
func (j *Journal) Observed(ctx context.Context) (o Observed, err error) {
	err = j.read(ctx, "what was observed", func(db *sql.DB) error {
		logins, since, err := loggedIn(ctx, db)
		if err != nil {
			return err
		}
		o.Since = since

		return each(ctx, db, func(row *sql.Rows) error {
			var text string
			var first int64
			if err := row.Scan(&text, &first); err != nil {
				return err
			}

			o.Sources++
			if at := time.UnixMilli(first); o.Since.IsZero() || at.Before(o.Since) {
				o.Since = at
			}

			// Somebody changed a prefix that cannot be parsed by hand. It counts as one without a
			// login.
			p, err := netip.ParsePrefix(text)
			if err == nil && containsAny(p, logins) {
				if o.LoggedIn++; len(o.Examples) < examplesMost {
					o.Examples = append(o.Examples, p)
				}
			}
			return nil
		}, "SELECT prefix, min(decided) FROM ban WHERE observed GROUP BY prefix ORDER BY prefix")
	})

	return o, err
}

// loggedIn returns the addresses from which logins came, sorted, and the hour of the oldest events.
func loggedIn(
	ctx context.Context, db *sql.DB,
) (out []netip.Addr, since time.Time, err error) {
	err = each(ctx, db, func(row *sql.Rows) error {
		var text string
		var logins, first int64
		if err := row.Scan(&text, &logins, &first); err != nil {
			return err
		}

		if at := time.UnixMilli(first); since.IsZero() || at.Before(since) {
			since = at
		}

		// The row named Others is not an address.
		if a, err := netip.ParseAddr(text); err == nil && logins > 0 {
			out = append(out, a)
		}
		return nil
	}, "SELECT source, sum(logins), min(hour) FROM source_hour GROUP BY source")

	slices.SortFunc(out, netip.Addr.Compare)
	return out, since, err
}

// containsAny reports whether a prefix contains one of the addresses, which are sorted.
func containsAny(p netip.Prefix, sorted []netip.Addr) bool {
	i, _ := slices.BinarySearchFunc(sorted, p.Masked().Addr(), netip.Addr.Compare)
	return i < len(sorted) && p.Contains(sorted[i])
}
