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
	Observed int            // of the bans, those of observe mode, which dropped no packet
	Lifted   int            // of the bans, those that were ended early
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

			// The sums are over all rules, the map is by rule.
			c.Bans[rule] = n
			c.Observed += observed
			c.Lifted += lifted

			return nil
		}, "SELECT rule, count(*), sum(observed), count(lifted) FROM past WHERE decided >= ? "+
			"GROUP BY rule", at)
		if err != nil {
			return err
		}

		// Alerts have no rule and are counted by kind.
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

// AlertsOf returns up to most of the alerts of a kind ("": all) since a time about an address, or
// about a prefix that holds it, the last one first, and how many there are.
func (j *Journal) AlertsOf(
	ctx context.Context, addr netip.Addr, kind string, since time.Time, most int,
) (out []Alert, total int, err error) {
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
		}, "SELECT at, uid, says, what, object, reason FROM operation WHERE at >= ? ORDER BY "+
			"at DESC, "+
			"id DESC LIMIT ?", since.UnixMilli(), most)
	})

	return out, err
}

// WriteTotals writes what was recorded before, totals included, so that [Journal.Totals] and the
// other queries see it. Otherwise totals are written once a minute. It keeps to the budget, see
// [Journal.Publish].
func (j *Journal) WriteTotals(ctx context.Context) error { return j.publish(ctx, true) }

// Publish writes what was recorded before, without totals, so that [Journal.History] and the other
// queries see it. It keeps to the budget and may leave something: a reader must not keep the disk
// busy, nor delay the next decision.
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

// publish writes as much as the budget allows.
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
