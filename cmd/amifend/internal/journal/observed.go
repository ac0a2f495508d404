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
	Since    time.Time      // of the oldest of them, or of the oldest events that were counted
	Sources  int            // distinct prefixes
	LoggedIn int            // of these, those from which a login came at any time
	Examples []netip.Prefix // of those, at most 3
}

// examplesMost limits how many prefixes Observed names.
const examplesMost = 3

// Observed returns what a dry run would have banned, as far as the journal remembers. Logins are those
// of its hourly totals.
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

			// A prefix that cannot be parsed was changed by hand. It counts as one without a login.
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

// loggedIn returns the addresses from which logins came, sorted, and when the oldest events came.
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
		if a, err := netip.ParseAddr(text); err == nil && logins > 0 { // else the sum of others
			out = append(out, a)
		}
		return nil
	}, "SELECT source, sum(logins), min(hour) FROM source_hour GROUP BY source")

	slices.SortFunc(out, netip.Addr.Compare)
	return out, since, err
}

// containsAny reports whether a prefix holds any of some sorted addresses.
func containsAny(p netip.Prefix, sorted []netip.Addr) bool {
	i, _ := slices.BinarySearchFunc(sorted, p.Masked().Addr(), netip.Addr.Compare)
	return i < len(sorted) && p.Contains(sorted[i])
}
