package journal

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Counts holds the numbers of decisions since a time.
type Counts struct {
	Bans     map[string]int // by rule
	Observed int            // bans that were only observed, and dropped no packet
	Lifted   int            // bans that were ended early
	Alerts   map[string]int // by kind
}

// Counts returns the numbers of decisions since a time.
func (j *Journal) Counts(ctx context.Context, since time.Time) (c Counts, err error) {
	c = Counts{Bans: make(map[string]int), Alerts: make(map[string]int)}
	at := since.UnixMilli()
	err = j.read(ctx, "counts", func(db *sql.DB) error {
		err := each(ctx, db, func(row *sql.Rows) error {
			var rule string
			var n, observed, lifted int
			if err := row.Scan(&rule, &n, &observed, &lifted); err != nil {
				return err
			}

			// Only bans are counted by rule. The two sums are for all rules together.
			c.Bans[rule] = n
			c.Observed += observed
			c.Lifted += lifted

			return nil
		}, "SELECT rule, count(*), sum(observed), count(lifted) FROM past WHERE decided >= ? "+
			"GROUP BY rule", at)
		if err != nil {
			return err
		}

		// Alerts have a kind in place of a rule.
		return each(ctx, db, func(row *sql.Rows) error {
			var kind string
			var n int
			if err := row.Scan(&kind, &n); err != nil {
				return err
			}
			c.Alerts[kind] = n
			return nil
		}, "SELECT kind, count(*) FROM alert WHERE "+sinceThen+" GROUP BY kind", at)
	})

	return c, err
}

// AlertsOf returns up to most of the alerts of a kind ("": all) since a time, the last one first,
// and the number of all. It looks for alerts about an address, or about a prefix that contains it.
func (j *Journal) AlertsOf(
	ctx context.Context, addr netip.Addr, kind string, since time.Time, most int,
) (out []Alert, total int, err error) {
	// Asking for each prefix by name lets the query use an index.
	args := []any{since.UnixMilli(), kind, addr.String()}
	for bits := range addr.BitLen() {
		args = append(args, netip.PrefixFrom(addr, bits).Masked().String())
	}

	where := sinceThen + " AND ?2 IN ('', kind) AND source IN (?3" +
		strings.Repeat(", ?", len(args)-3) + ")"

	err = j.read(ctx, "the alerts about "+addr.String(), func(db *sql.DB) error {
		out, total, err = alerts(ctx, db, where, most, args...)
		return err
	})

	return out, total, err
}

// Operations returns up to most of the actions of operators since a time, the last one first.
func (j *Journal) Operations(
	ctx context.Context, since time.Time, most int,
) (out []Operation, err error) {
	err = j.read(ctx, "operations", func(db *sql.DB) error {
		return each(ctx, db, func(row *sql.Rows) error {
			var o Operation
			var at int64
			if err := row.Scan(&at, &o.UID, &o.Says, &o.What, &o.Object, &o.Reason); err != nil {
				return err
			}

			o.At = time.UnixMilli(at)
			out = append(out, o)
			return nil
		}, "SELECT at, uid, says, what, object, reason FROM operation WHERE at >= ? "+
			"ORDER BY at DESC, id DESC LIMIT ?", since.UnixMilli(), most)
	})

	return out, err
}

// WriteTotals is like [Journal.Publish], and also writes the totals, so that [Journal.Totals] sees
// them. Without it, totals are written once a minute.
func (j *Journal) WriteTotals(ctx context.Context) error { return j.publish(ctx, true) }

// Publish writes the records that wait, without totals, so that [Journal.History] and the other
// queries see them. It keeps to the budget, so some may still wait when it returns: a reader must
// not keep the disk busy, nor delay the next decision.
func (j *Journal) Publish(ctx context.Context) error { return j.publish(ctx, false) }

// publishMost is how many commits a reader may have made: a lift waits for them.
const publishMost = 2

// PublishOf is Publish for what waits of the bans that cover an address, however much else waits.
func (j *Journal) PublishOf(ctx context.Context, addr netip.Addr) error {
	return j.ask(ctx, func(s *store) error {
		if s.readOnly {
			return errReadOnly
		}
		if !j.backlog.hurry(addr) {
			return nil
		}
		if err := j.commitSome(time.Now(), false, 0); err != nil {
			j.failed(time.Now(), err)
			return fmt.Errorf("write the journal: %w", err)
		}
		return nil
	})
}

// publish writes as much of the backlog as the budget allows, with totals if they are asked for, in
// publishMost commits at most.
func (j *Journal) publish(ctx context.Context, totals bool) error {
	return j.ask(ctx, func(s *store) error {
		if s.readOnly {
			return errReadOnly
		}

		for range publishMost {
			if !j.backlog.urgent() && (!totals || len(j.backlog.totals) == 0) ||
				time.Until(j.due.commit) >= mostAhead {
				break
			}
			if err := j.commit(time.Now(), totals); err != nil {
				j.failed(time.Now(), err)
				return fmt.Errorf("write the journal: %w", err)
			}
		}

		return nil
	})
}
