package journal

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/amifend/amifend/firewall"
)

// snapshot reads the bans. A lifted ban is remembered for memory after its lift, and at least until
// it would have ended.
func (s *store) snapshot(memory time.Duration) (*Snapshot, error) {
	// The count comes from an index, in a hundredth of the time of the rest.
	n, err := s.number("SELECT count(*) FROM ban WHERE current = 1 AND id > " + liftedUpTo)
	if err != nil {
		return nil, fmt.Errorf("read bans: %w", err)
	}

	out := &Snapshot{At: time.Now(), Open: make(map[Key]Open, n), Lifted: make(map[Key]*Tombstone)}
	if err := s.running(out); err != nil {
		return nil, fmt.Errorf("read bans: %w", err)
	}

	if err := s.lifted(out, memory); err != nil {
		return nil, fmt.Errorf("read lifted bans: %w", err)
	}
	if err := s.liftedAll(out); err != nil {
		return nil, fmt.Errorf("read when all bans were lifted: %w", err)
	}
	return out, nil
}

// liftedUpTo is the last row of the table ban that lift_all lifts.
const liftedUpTo = "(SELECT coalesce(max(upto), 0) FROM lift_all)"

// liftedAll reads when all bans were lifted for the last time, if that was in this boot.
func (s *store) liftedAll(out *Snapshot) error {
	var boot, uptime int64
	var by, why string
	err := s.conn.QueryRowContext(context.Background(), `SELECT boot, uptime, lifted_by, lifted_why
		FROM lift_all ORDER BY id DESC LIMIT 1`).Scan(&boot, &uptime, &by, &why)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}

	if boot == s.times.last.boot {
		ago := s.times.clock.Uptime() - time.Duration(uptime)*time.Millisecond
		out.All = Tombstone{At: out.At.Add(-ago), By: by, Why: why}
	}
	return nil
}

// running reads the running bans. There may be very many, and the start of the daemon waits for
// them: so it reads few columns.
func (s *store) running(out *Snapshot) error {
	rules, lists := make(map[string]string), make(map[string][]string)
	return s.rows(out, func(row *sql.Rows) (bool, error) {
		var prefix, scope, rule, servers string
		var o Open
		var decided, until, boot int64

		if err := row.Scan(&prefix, &scope, &rule, &o.Score, &o.Attempts, &o.Strike, &servers,
			&decided, &until, &boot); err != nil {
			return false, err
		}

		k, ok := parseKey(prefix, scope)
		if !ok || until < decided {
			return false, nil
		}

		// There are few rules and lists, and a copy for each ban would add up.
		if o.Rule, ok = rules[rule]; !ok {
			o.Rule, rules[rule] = rule, rule
		}

		if o.Servers, ok = lists[servers]; !ok {
			_ = json.Unmarshal([]byte(servers), &o.Servers) // a changed row has no servers
			lists[servers] = o.Servers
		}

		o.From, o.Whole = time.UnixMilli(decided), millis(until-decided)
		if o.Left = min(millis(until-s.times.now(boot)), o.Whole); o.Left > 0 {
			out.Open[k] = o
		}

		return true, nil
	}, `SELECT prefix, scope, rule, score, attempts, strike, servers, decided, until, boot
		FROM ban WHERE current = 1 AND lifted IS NULL AND id > `+liftedUpTo)
}

// lifted reads the lifted bans that are remembered.
func (s *store) lifted(out *Snapshot, memory time.Duration) error {
	// Very many may be lifted for one reason, which is kept once.
	type reason struct {
		lifted  int64
		by, why string
	}
	reasons := make(map[reason]*Tombstone)

	return s.rows(out, func(row *sql.Rows) (bool, error) {
		var prefix, scope string
		var until, boot, lifted int64
		var by, why sql.NullString
		if err := row.Scan(&prefix, &scope, &until, &boot, &lifted, &by, &why); err != nil {
			return false, err
		}

		k, ok := parseKey(prefix, scope)
		if ok && max(until, lifted+memory.Milliseconds()) > s.times.now(boot) {
			r := reason{lifted, by.String, why.String}
			if reasons[r] == nil {
				reasons[r] = &Tombstone{time.UnixMilli(lifted), r.by, r.why}
			}
			out.Lifted[k] = reasons[r]
		}
		return ok, nil
	}, `SELECT prefix, scope, until, boot, lifted, lifted_by, lifted_why
		FROM ban WHERE current = 1 AND lifted IS NOT NULL
		UNION ALL SELECT prefix, scope, until, boot, lifted, lifted_by, lifted_why
		FROM past WHERE id <= `+liftedUpTo+` AND current = 1 AND lifted IS NOT NULL AND id IN
			(SELECT id FROM ban WHERE id <= `+liftedUpTo+` AND current = 1 AND lifted IS NULL)`)
}

// rows calls visit for each row of a query, and counts the rows that it cannot read.
func (s *store) rows(
	out *Snapshot, visit func(*sql.Rows) (ok bool, err error), query string,
) error {
	rows, err := s.conn.QueryContext(context.Background(), query)
	if err != nil {
		return err
	}
	defer rows.Close()

	for rows.Next() {
		ok, err := visit(rows)
		if rows.Err() != nil {
			break
		}
		if err != nil || !ok {
			out.Bad++
		}
	}

	return rows.Err()
}

// millis returns a duration that does not overflow, whatever a changed row says.
func millis(ms int64) time.Duration {
	const most = int64(100 * 365 * 24 * time.Hour / time.Millisecond)
	return time.Duration(max(-most, min(ms, most))) * time.Millisecond
}

// parseKey reads a key, and reports whether it is valid.
func parseKey(prefix, scope string) (Key, bool) {
	p, err := netip.ParsePrefix(prefix)
	if err != nil || p != p.Masked() || p.Addr().Is4In6() {
		return Key{}, false
	}

	switch scope {
	case firewall.ScopeAll.String():
		return Key{p, firewall.ScopeAll}, true
	case firewall.ScopeSIP.String():
		return Key{p, firewall.ScopeSIP}, true
	case firewall.ScopeStream.String():
		return Key{p, firewall.ScopeStream}, true
	}

	return Key{}, false
}

// add applies what waits to be written.
func (n *Snapshot) add(e *entry, now time.Time) {
	if l := e.lift; l != nil {
		if _, ok := n.Open[e.key]; ok || l.Known {
			n.lift(l)
		}
	}

	b := e.ban
	if b == nil || b.Observed {
		return
	}

	// A ban that was found counts only where nothing is known.
	if b.Found {
		_, open := n.Open[e.key]
		_, lifted := n.Lifted[e.key]
		if open || lifted {
			return
		}
	}

	// A new ban replaces what was known of its key.
	delete(n.Lifted, e.key)
	delete(n.Open, e.key)
	if left := b.Until.Sub(now); left > 0 {
		n.Open[e.key] = Open{
			Rule: b.Rule, Score: b.Score, Attempts: b.Attempts, Strike: b.Strike,
			Servers: b.Servers,
			From:    now.Round(0).Add(b.From.Sub(now)), Whole: b.Until.Sub(b.From), Left: left,
		}
	}

	if e.end != nil {
		n.lift(e.end)
	}
}

// lift moves a ban from Open to Lifted.
func (n *Snapshot) lift(l *Lift) {
	delete(n.Open, l.Key)
	n.Lifted[l.Key] = &Tombstone{l.At.Round(0), l.By, l.Why}
}

// liftAll moves all bans from Open to Lifted.
func (n *Snapshot) liftAll(l *LiftAll) {
	why := &Tombstone{l.At.Round(0), l.By, l.Why}
	for k := range n.Open {
		n.Lifted[k] = why
	}
	clear(n.Open)
	n.All = Tombstone{l.At, l.By, l.Why}
}

// state calls visit for each row of the table state.
func (s *store) state(visit func(Row) error) error {
	rows, err := s.conn.QueryContext(context.Background(), "SELECT key, value FROM state")
	if err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	defer rows.Close()

	for rows.Next() {
		var r Row
		if err := rows.Scan(&r.Key, &r.Value); err != nil {
			return fmt.Errorf("read state: %w", err)
		}
		if err := visit(r); err != nil {
			return err
		}
	}

	if err := rows.Err(); err != nil {
		return fmt.Errorf("read state: %w", err)
	}

	return nil
}
