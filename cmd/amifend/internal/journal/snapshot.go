package journal

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/compact"
	"github.com/amifend/amifend/firewall"
)

// Snapshot returns the running and the lifted bans at one moment, including the changes that wait
// to be written. It fails while the database cannot be read. An error for which [Refused] reports
// true lasts until a person has solved it.
//
// To read very many bans takes seconds. The journal must write lifts meanwhile, so the goroutine of
// the caller reads the bans.
func (j *Journal) Snapshot(ctx context.Context) (*Snapshot, error) {
	// The journal's goroutine only fixes the moment: what the reader sees, and what waits.
	var side *reader
	var waiting waiting
	err := j.ask(ctx, func(s *store) (err error) {
		side, err = s.beside(ctx)
		waiting = j.backlog.waiting()
		return err
	})
	if err == nil {
		var out *Snapshot
		err = guard(func() (err error) {
			out, err = side.snapshot(j.o.BanMax)
			return err
		})
		side.close()
		if err == nil {
			out.wait(waiting)
			return out, nil
		}
	}

	// If that fails, the journal's goroutine reads: it has the file open, and it replaces a damaged
	// one.
	var out *Snapshot
	err = j.ask(ctx, func(s *store) (err error) {
		if out, err = s.snapshot(j.o.BanMax); err == nil {
			out.wait(j.backlog.waiting())
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// waiting holds the changes that wait to be written at one moment.
type waiting struct {
	all     *LiftAll
	entries []entry
}

// waiting returns a copy of the changes that wait.
func (b *backlog) waiting() waiting {
	w := waiting{all: b.all, entries: make([]entry, 0, len(b.entries))}
	for _, e := range b.entries {
		w.entries = append(w.entries, *e) // an entry changes, but not the ban and the lifts in it
	}
	return w
}

// wait applies the changes that wait to be written, which are newer than the database.
func (n *Snapshot) wait(w waiting) {
	now := time.Now()
	if w.all != nil {
		n.liftAll(w.all)
	}
	for i := range w.entries {
		n.add(&w.entries[i], now)
	}
}

// reader reads bans from one connection.
type reader struct {
	db    *sql.DB // its own database; nil: the connection is the writer's
	conn  *sql.Conn
	times timeline
}

// beside returns a reader that sees the database as it is now, whatever is written later.
func (s *store) beside(ctx context.Context) (*reader, error) {
	if s.readOnly || s.replaced() {
		return nil, errReadOnly // the caller reads in another way
	}

	db, err := openURI(s.path, beside)
	if err != nil {
		return nil, err
	}

	r := &reader{db: db, times: s.times}
	if r.conn, err = db.Conn(ctx); err == nil {
		_, err = r.conn.ExecContext(ctx, "BEGIN DEFERRED")
	}

	// A deferred transaction fixes its moment by its first read.
	if err == nil {
		_, err = r.number("SELECT count(*) FROM clock")
	}
	if err != nil {
		r.close()
		return nil, err
	}

	return r, nil
}

// snapshot reads the bans by the writer's connection.
func (s *store) snapshot(memory time.Duration) (*Snapshot, error) {
	return (&reader{conn: s.conn, times: s.times}).snapshot(memory)
}

// close closes the reader's own connection. It ignores errors, since nothing could be done about
// them.
func (r *reader) close() {
	if r.conn != nil {
		_ = r.conn.Close()
	}
	if r.db != nil {
		_ = r.db.Close()
	}
}

// number returns the one number that a query selects.
func (r *reader) number(query string) (n int64, err error) {
	err = r.conn.QueryRowContext(context.Background(), query).Scan(&n)
	return n, err
}

// snapshot reads the bans. A lifted ban is remembered for the time memory after its lift, and at
// least until it would have ended.
func (r *reader) snapshot(memory time.Duration) (*Snapshot, error) {
	// Maps that were made for so many bans would be twice as large.
	out := &Snapshot{
		At: time.Now(), Open: make(map[compact.Key]Open), Lifted: make(map[compact.Key]*Tombstone),
	}
	if err := r.running(out); err != nil {
		return nil, fmt.Errorf("read bans: %w", err)
	}

	if err := r.lifted(out, memory); err != nil {
		return nil, fmt.Errorf("read lifted bans: %w", err)
	}
	if err := r.liftedAll(out); err != nil {
		return nil, fmt.Errorf("read when all bans were lifted: %w", err)
	}

	return out, nil
}

// liftedUpTo selects the number of the last row of the table ban that lift_all lifts.
const liftedUpTo = "(SELECT coalesce(max(upto), 0) FROM lift_all)"

// liftedAll reads the latest lift of all bans, if it was in this boot.
func (r *reader) liftedAll(out *Snapshot) error {
	var boot, uptime int64
	var by, why string
	err := r.conn.QueryRowContext(context.Background(), `SELECT boot, uptime, lifted_by, lifted_why
		FROM lift_all ORDER BY id DESC LIMIT 1`).Scan(&boot, &uptime, &by, &why)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}

	// After a reboot the kernel has no older elements, so the lift does not matter.
	if boot == r.times.last.boot {
		ago := r.times.clock.Uptime() - time.Duration(uptime)*time.Millisecond
		out.All = Tombstone{At: out.At.Add(-ago), By: by, Why: why}
	}
	return nil
}

// running reads the running bans. It reads few columns, because there may be very many bans, and
// the start of the daemon waits for them.
func (r *reader) running(out *Snapshot) error {
	causes := make(map[string]*Cause)
	return r.rows(out, func(row *sql.Rows) (bool, error) {
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
		if o.Cause, ok = causes[rule+"\x00"+servers]; !ok {
			o.Cause = &Cause{Rule: rule}
			_ = json.Unmarshal([]byte(servers), &o.Servers) // a row changed by hand has none
			causes[rule+"\x00"+servers] = o.Cause
		}

		// A ban that is over stays in the table until tidy marks it.
		o.Decided, o.Whole = decided, millis(until-decided)
		if o.Left = min(millis(until-r.times.now(boot)), o.Whole); o.Left > 0 {
			out.Open[k] = o
		}

		return true, nil
	}, `SELECT prefix, scope, rule, score, attempts, strike, servers, decided, until, boot
		FROM ban WHERE current = 1 AND lifted IS NULL AND id > `+liftedUpTo)
}

// lifted reads the lifted bans that are remembered.
func (r *reader) lifted(out *Snapshot, memory time.Duration) error {
	// One command may lift very many bans, so its reason is kept once.
	type reason struct {
		lifted  int64
		by, why string
	}
	reasons := make(map[reason]*Tombstone)

	return r.rows(out, func(row *sql.Rows) (bool, error) {
		var prefix, scope string
		var until, boot, lifted int64
		var by, why sql.NullString
		if err := row.Scan(&prefix, &scope, &until, &boot, &lifted, &by, &why); err != nil {
			return false, err
		}

		// The tombstone of an older lift is not needed any more.
		k, ok := parseKey(prefix, scope)
		if ok && max(until, lifted+memory.Milliseconds()) > r.times.now(boot) {
			one := reason{lifted, by.String, why.String}
			if reasons[one] == nil {
				reasons[one] = &Tombstone{time.UnixMilli(lifted), one.by, one.why}
			}
			out.Lifted[k] = reasons[one]
		}
		return ok, nil
	}, `SELECT prefix, scope, until, boot, lifted, lifted_by, lifted_why
		FROM ban WHERE current = 1 AND lifted IS NOT NULL
		UNION ALL SELECT prefix, scope, until, boot, lifted, lifted_by, lifted_why
		FROM past WHERE id <= `+liftedUpTo+` AND current = 1 AND lifted IS NOT NULL AND id IN
			(SELECT id FROM ban WHERE id <= `+liftedUpTo+` AND current = 1 AND lifted IS NULL)`)
}

// rows calls visit for each row of a query, and counts the rows that it cannot read.
func (r *reader) rows(
	out *Snapshot, visit func(*sql.Rows) (ok bool, err error), query string,
) error {
	rows, err := r.conn.QueryContext(context.Background(), query)
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

// millis returns a duration, limited so that a row changed by hand makes no overflow.
func millis(ms int64) time.Duration {
	const most = int64(100 * 365 * 24 * time.Hour / time.Millisecond)
	return time.Duration(max(-most, min(ms, most))) * time.Millisecond
}

// parseKey reads a key, and reports whether it is valid.
func parseKey(prefix, scope string) (k compact.Key, ok bool) {
	p, err := netip.ParsePrefix(prefix)
	if err != nil || p != p.Masked() || p.Addr().Is4In6() {
		return k, false
	}

	switch scope {
	case firewall.ScopeAll.String():
		return compact.Of(p, firewall.ScopeAll), true
	case firewall.ScopeSIP.String():
		return compact.Of(p, firewall.ScopeSIP), true
	case firewall.ScopeStream.String():
		return compact.Of(p, firewall.ScopeStream), true
	}

	return k, false
}

// add applies the changes of one key that wait to be written.
func (n *Snapshot) add(e *entry, now time.Time) {
	k := e.key.Compact()
	if l := e.lift; l != nil {
		if _, ok := n.Open[k]; ok || l.Known {
			n.lift(l)
		}
	}

	b := e.ban
	if b == nil || b.Observed {
		return
	}

	// A ban that was found in the kernel counts only if the journal has none of the key.
	if b.Found {
		_, open := n.Open[k]
		_, lifted := n.Lifted[k]
		if open || lifted {
			return
		}
	}

	// A new ban replaces an older one or its tombstone.
	delete(n.Lifted, k)
	delete(n.Open, k)
	if left := b.Until.Sub(now); left > 0 {
		n.Open[k] = Open{
			Cause: &Cause{b.Rule, b.Servers}, Score: b.Score, Attempts: int32(b.Attempts),
			Strike: int32(b.Strike), Decided: now.Round(0).Add(b.From.Sub(now)).UnixMilli(),
			Whole: b.Until.Sub(b.From), Left: left,
		}
	}

	if e.end != nil {
		n.lift(e.end)
	}
}

// lift moves a ban from Open to Lifted.
func (n *Snapshot) lift(l *Lift) {
	delete(n.Open, l.Compact())
	n.Lifted[l.Compact()] = &Tombstone{l.At.Round(0), l.By, l.Why}
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
