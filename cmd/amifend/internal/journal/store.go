package journal

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"modernc.org/sqlite"
)

// statements holds the prepared statements of the goroutine that writes.
var statements = map[string]string{
	"current": `SELECT EXISTS (SELECT 1 FROM ban WHERE prefix = ? AND current = 1)`,
	// A ban that the journal has is not written again.
	"known": `SELECT until, lifted, boot FROM past WHERE prefix = ? AND scope = ? AND current = 1`,
	// A row that is superseded gets its lift by lift_all, which no longer applies to it.
	"supersede": `UPDATE ban SET current = 0, lifted = p.lifted, lifted_by = p.lifted_by,
		lifted_why = p.lifted_why FROM past p WHERE p.id = ban.id AND ban.current = 1 AND
		ban.prefix = ?1 AND (ban.scope = ?2 OR
		?2 = 'all' AND ban.scope IN ('sip', 'stream') AND p.lifted IS NULL AND ban.until <= ?3)`,
	// A row of lift_all lifts the rows of ban up to a number. A number must not be used again when
	// the last rows are deleted.
	"ban": `INSERT INTO ban (id, prefix, scope, rule, score, attempts, strike, evidence, servers,
		decided, until, lifted, lifted_by, lifted_why, observed, current, boot)
		VALUES (1 + max((SELECT coalesce(max(id), 0) FROM ban),
			(SELECT coalesce(max(upto), 0) FROM lift_all)),
			?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
	"lift": `UPDATE ban SET lifted = ?, lifted_by = ?, lifted_why = ?
		WHERE prefix = ? AND scope = ? AND current = 1 AND lifted IS NULL AND NOT EXISTS
			(SELECT 1 FROM lift_all WHERE upto >= ban.id AND at < ban.until)`,
	"lift_all": `INSERT INTO lift_all (upto, at, lifted_by, lifted_why, boot, uptime)
		VALUES (max((SELECT coalesce(max(id), 0) FROM ban),
			(SELECT coalesce(max(upto), 0) FROM lift_all)), ?, ?, ?, ?, ?)`,
	// A condition has one row from its beginning to its end.
	"alert": `INSERT INTO alert (at, kind, source, account, server, text, advice, severity,
		forgeable, key, seen, ended, count) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
	"condition": `UPDATE alert SET text = ?, advice = ?, seen = ?, ended = ?, count = ?
		WHERE key = ? AND key <> '' AND ended = 0`,
	"operation": `INSERT INTO operation (at, uid, says, what, object, reason)
		VALUES (?, ?, ?, ?, ?, ?)`,
	"source_hour": `INSERT INTO source_hour (hour, server, source, failures, logins)
		VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
		failures = failures + excluded.failures, logins = logins + excluded.logins`,
	"account_hour": `INSERT INTO account_hour (hour, server, account, failures, logins, ways, networks)
		VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
		failures = failures + excluded.failures, logins = logins + excluded.logins,
		ways = ways | excluded.ways, networks = networks | excluded.networks`,
	"state": `INSERT INTO state (key, value) VALUES (?, ?)
		ON CONFLICT DO UPDATE SET value = excluded.value`,
	"forget": `DELETE FROM state WHERE key = ?`,
	"block":  `INSERT INTO engine (id, round, block) VALUES (?, ?, ?)`,
	"clock": `INSERT INTO clock (id, boot, boot_id, uptime, wall, before)
		VALUES (1, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET boot = excluded.boot,
		boot_id = excluded.boot_id, uptime = excluded.uptime, wall = excluded.wall,
		before = excluded.before`,
	"shift_boot": `UPDATE ban SET decided = decided + ?1, until = until + ?1,
		lifted = lifted + ?1 WHERE current = 1 AND boot = ?2`,
	"shift_all_boot": `UPDATE lift_all SET at = at + ?1 WHERE boot = ?2`,
	"shift_all_rest": `UPDATE lift_all SET at = at + ?1 WHERE boot <> ?2`,
	"shift_rest": `UPDATE ban SET decided = decided + ?1, until = until + ?1,
		lifted = lifted + ?1 WHERE current = 1 AND boot <> ?2`,
}

// do runs a prepared statement.
func (s *store) do(name string, args ...any) (sql.Result, error) {
	r, err := s.stmts[name].ExecContext(context.Background(), args...)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", name, err)
	}
	return r, nil
}

// write runs f in a transaction that also stores the clocks.
func (s *store) write(f func() error) error {
	if s.readOnly {
		return errReadOnly
	}

	// IMMEDIATE, because a transaction that begins by reading cannot always be turned into one that
	// writes.
	if _, err := s.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}

	// The clocks are stored with every commit, so that times can be corrected after a crash.
	err := f()
	if err == nil {
		r := s.times.last
		_, err = s.do("clock", r.boot, r.bootID, r.uptime, r.wall, r.before)
	}

	if err == nil {
		_, err = s.exec("COMMIT")
	}
	if err != nil {
		_, _ = s.exec("ROLLBACK") // after some errors SQLite has rolled back already
	}

	return err
}

// batch is the content of one commit.
type batch struct {
	all        *LiftAll // comes before all others; nil: none
	bans       []*entry
	lifts      int // the number of keys taken from pending.lifts
	order      int // the number of keys taken from pending.order
	alerts     []Alert
	operations []Operation
	totals     []*Total
	keys       []totalKey // those of totals
	rows       []Row
	blocks     []Block
}

// commit writes a batch in one transaction. If the wall clock was set since the last commit, it
// also corrects the times of the written bans, and reports true.
func (s *store) commit(b *batch) (stepped bool, err error) {
	// The transaction changes these two. If it fails, they must be as before.
	saved, log := s.times.last, s.log
	step := s.times.read()
	err = s.write(func() error {
		if step != 0 {
			if err := s.shift(shift{boot: s.times.last.boot, by: step}); err != nil {
				return err
			}
		}
		return s.put(b)
	})
	if err != nil {
		s.times.last, s.log = saved, log
		return false, err
	}

	return step != 0, nil
}

// put writes a batch in the running transaction.
func (s *store) put(b *batch) error {
	// It lifts the bans that are written, so it comes before those that are decided later.
	if b.all != nil {
		if err := s.putLiftAll(b.all); err != nil {
			return err
		}
	}

	for _, e := range b.bans {
		if err := s.putEntry(e); err != nil {
			return err
		}
	}

	for _, a := range b.alerts {
		if err := s.putAlert(&a); err != nil {
			return err
		}
	}

	// An operation is a record of the past, so it changes no other row.
	for _, o := range b.operations {
		if _, err := s.do("operation", s.times.at(o.At), o.UID, o.Says, o.What, o.Object,
			o.Reason); err != nil {
			return err
		}
	}

	for _, t := range b.totals {
		name := "source_hour"
		args := []any{t.Hour.UnixMilli(), t.Server, t.Name, t.Failures, t.Logins}
		if t.Account {
			name = "account_hour"
			args = append(args, t.Ways, int64(t.Networks)) // SQLite has signed numbers only
		}

		if _, err := s.do(name, args...); err != nil {
			return err
		}
	}

	// A block of the engine's state is in the same commit as the bans that it includes.
	for _, block := range b.blocks {
		if err := s.putBlock(block); err != nil {
			return err
		}
	}

	// A row without value is deleted.
	for _, r := range b.rows {
		name, args := "state", []any{r.Key, r.Value}
		if len(r.Value) == 0 {
			name, args = "forget", []any{r.Key}
		}
		if _, err := s.do(name, args...); err != nil {
			return err
		}
	}

	return nil
}

// putEntry writes the changes of one key, in the order of the fields of entry.
func (s *store) putEntry(e *entry) error {
	if e.lift != nil {
		if err := s.putLift(e.lift); err != nil {
			return err
		}
	}

	if e.ban != nil {
		return s.putBan(e.ban, e.end)
	}
	return nil
}

// same is the largest difference between two ends of the same ban, in milliseconds. They differ
// because the two clocks are not read at the same moment.
const same = 1500

// putBan writes a ban. end is its lift, if it was lifted before it was written.
func (s *store) putBan(b *Ban, end *Lift) error {
	prefix, scope := b.Prefix.String(), b.Scope.String()
	decided, until := s.times.at(b.From), s.times.at(b.Until)
	boot := s.times.last.boot

	// An observed ban was never in force, so it supersedes nothing.
	if !b.Observed {
		fresh, err := s.isFresh(prefix)
		if err != nil {
			return err
		}
		known := false
		if !fresh {
			known, err = s.isKnown(b, until)
		}
		if err != nil || known && end == nil {
			return err
		}
		if known {
			return s.putLift(end)
		}

		if !fresh {
			if _, err := s.do("supersede", prefix, scope, until); err != nil {
				return err
			}
		}
	}

	// A ban with its lift takes one row.
	var lifted, by, why any
	if end != nil {
		lifted, by, why = s.times.at(end.At), end.By, end.Why
	}

	_, err := s.do("ban", prefix, scope, b.Rule, b.Score, b.Attempts, b.Strike, b.Evidence,
		listed(b.Servers), decided, until, lifted, by, why,
		b.Observed || s.observed, !b.Observed, boot)

	return err
}

// listed returns names as the column servers stores them: JSON, or "".
func listed(names []string) string {
	if len(names) == 0 {
		return ""
	}
	text, _ := json.Marshal(names) // strings cannot fail
	return string(text)
}

// isFresh reports whether the journal has no current row of a prefix, as of most bans. Then nothing else
// need be looked up.
func (s *store) isFresh(prefix string) (bool, error) {
	var there bool
	err := s.stmts["current"].QueryRowContext(context.Background(), prefix).Scan(&there)
	if err != nil {
		return false, fmt.Errorf("look up ban: %w", err)
	}
	return !there, nil
}

// isKnown reports whether the journal has this ban, with the same end. For a ban that was found in
// the kernel, it reports whether the journal has a running or lifted ban of the key.
func (s *store) isKnown(b *Ban, until int64) (bool, error) {
	var has, boot int64
	var lifted sql.NullInt64
	err := s.stmts["known"].QueryRowContext(context.Background(), b.Prefix.String(),
		b.Scope.String()).Scan(&has, &lifted, &boot)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look up ban: %w", err)
	case lifted.Valid:
		return b.Found, nil
	}

	// The ends are compared by the rest of the time, since the clock may differ between the boots.
	left, want := has-s.times.now(boot), until-s.times.now(s.times.last.boot)
	return b.Found && left > 0 || left-want < same && want-left < same, nil
}

// putLift ends the current ban of a key. If the journal has none, but there certainly was one, a
// lifted ban is written.
func (s *store) putLift(l *Lift) error {
	prefix, scope, at := l.Prefix.String(), l.Scope.String(), s.times.at(l.At)
	r, err := s.do("lift", at, l.By, l.Why, prefix, scope)
	if err != nil || !l.Known {
		return err
	}

	if n, err := r.RowsAffected(); err != nil || n > 0 {
		return err
	}

	if n, err := s.number("SELECT count(*) FROM ban WHERE current = 1 AND prefix = ? AND scope = ?",
		prefix, scope); err != nil || n > 0 {
		return err // it was lifted before
	}

	if _, err := s.do("supersede", prefix, scope, at); err != nil {
		return err
	}

	// This row without a reason keeps the ban from coming back.
	_, err = s.do("ban", prefix, scope, "unknown", 0, 0, 0, "", "", at, at, at, l.By, l.Why, false,
		true, s.times.last.boot)

	return err
}

// putLiftAll lifts all bans that are written.
func (s *store) putLiftAll(l *LiftAll) error {
	r := s.times.last
	_, err := s.do("lift_all", s.times.at(l.At), l.By, l.Why, r.boot, s.times.uptimeAt(l.At))
	return err
}

// shift corrects the times of current bans.
func (s *store) shift(m shift) error {
	names := []string{"shift_boot", "shift_all_boot"}
	if m.others {
		names = []string{"shift_rest", "shift_all_rest"}
	}

	for _, name := range names {
		if _, err := s.do(name, m.by, m.boot); err != nil {
			return err
		}
	}
	return nil
}

// pages returns the number of pages written since the last call.
func (s *store) pages() (n int) {
	_ = s.conn.Raw(func(c any) error {
		if st, ok := c.(sqlite.DBStatus); ok {
			n, _, _ = st.Status(sqlite.DBStatusCacheWrite, true) // the driver knows this counter
		}
		return nil
	})
	return n
}
