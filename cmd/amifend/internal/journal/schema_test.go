package journal

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// edit has a user change the database with a tool of their own.
func edit(t *testing.T, dir string, queries ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, File))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()

	for _, q := range queries {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

// A database that is not ours, or of a newer amifend, is refused with the reason, and left as it
// is.
func TestRefusedDatabases(t *testing.T) {
	for name, test := range map[string]struct {
		query string
		want  error
		says  string
	}{
		"newer": {
			"PRAGMA user_version = 9", ErrNewer,
			"its schema is 9, this one knows up to " + strconv.Itoa(len(migrations)),
		},
		"of another":      {"PRAGMA application_id = 9", ErrForeign, "not a journal of amifend"},
		"of nobody known": {"PRAGMA application_id = 0", ErrForeign, "not a journal of amifend"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			r := start(t, options(dir))
			r.Ban(ban("192.0.2.1/32", all, time.Hour))
			r.written(t)
			r.stop()
			edit(t, dir, test.query)
			before, err := os.ReadFile(filepath.Join(dir, File))
			if err != nil {
				t.Fatal(err)
			}

			r = start(t, options(dir))
			_, err = r.Snapshot(t.Context())
			if !errors.Is(err, test.want) || !Refused(err) ||
				!strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), dir) {
				t.Errorf("error %v", err)
			}

			// its disk is not to blame
			if do := r.Health().Do; !strings.Contains(do, "move the file away") {
				t.Errorf("to do: %q", do)
			}

			r.stop()
			if after, err := os.ReadFile(filepath.Join(dir, File)); err != nil ||
				string(after) != string(before) {
				t.Errorf("the file was changed, %v", err)
			}
		})
	}
}

func TestTwoJournalsInOneDirectory(t *testing.T) {
	dir := t.TempDir()
	first := start(t, options(dir))
	first.snapshot(t)
	second := start(t, options(dir))
	if _, err := second.Snapshot(t.Context()); !errors.Is(err, ErrLocked) || !Refused(err) {
		t.Errorf("error %v", err)
	}
}

func TestMigration(t *testing.T) {
	dir := t.TempDir()
	s, err := openStore(filepath.Join(dir, File), Clock{}.OrReal())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()

	b := ban("192.0.2.1/32", all, time.Hour)
	if _, err := s.commit(&batch{bans: []*entry{{key: b.Key, ban: &b}}}); err != nil {
		t.Fatal(err)
	}

	version := func() int64 {
		v, err := s.number("PRAGMA user_version")
		if err != nil {
			t.Fatal(err)
		}
		return v
	}

	// The first step succeeds, the second one fails in its middle.
	next := append(append([]string{}, migrations...),
		"ALTER TABLE ban ADD COLUMN more TEXT NOT NULL DEFAULT 'new'",
		"CREATE TABLE half (x); CREATE TABLE half (x)")
	if err := migrate(s.conn, next); err == nil {
		t.Error("a step that fails gave no error")
	}

	first := int64(len(migrations))
	if v := version(); v != first+1 {
		t.Errorf("version %d, want %d: the step before the one that failed", v, first+1)
	}

	if n, err := s.number("SELECT count(*) FROM sqlite_schema WHERE name = 'half'"); n != 0 ||
		err != nil {
		t.Errorf("half of a step is there: %d, %v", n, err)
	}

	// With a correct second step, the migration goes on from there, and keeps the rows.
	next[first+1] = "UPDATE ban SET more = 'newer'"
	if err := migrate(s.conn, next); err != nil || version() != first+2 {
		t.Errorf("version %d, %v", version(), err)
	}

	if n, err := s.number("SELECT count(*) FROM ban WHERE more = 'newer' AND prefix = " +
		"'192.0.2.1/32'"); n != 1 || err != nil {
		t.Errorf("the ban of before: %d, %v", n, err)
	}
}

// A journal of each older version is brought up to date, with all that is in it.
func TestOlderJournal(t *testing.T) {
	for version := 1; version < len(migrations); version++ {
		dir := t.TempDir()
		edit(t, dir,
			append(slices.Clone(migrations[:version]),
				"PRAGMA application_id = "+strconv.Itoa(applicationID),
				"PRAGMA user_version = "+strconv.Itoa(version),
				`INSERT INTO ban (prefix, scope, rule, score, attempts, strike, evidence, decided,
				until, observed, current, boot)
			SELECT '192.0.2.1/32', 'all', 'score', 4, 4, 1, 'office: …', now, now + 3600000, 0, 1, 1
			FROM (SELECT CAST(strftime('%s', 'now') AS INTEGER) * 1000 AS now)`)...)

		// A ban of this version stands beside the older one.
		j := start(t, options(dir))
		b := ban("192.0.2.2/32", all, time.Hour)
		b.Servers = []string{"office", "a,b \"c\""}
		j.Ban(b)
		j.written(t)
		j.stop()
		snap := start(t, options(dir)).snapshot(t)
		old, ok := snap.Open[key("192.0.2.1/32", all).Compact()]
		if !ok || old.Servers != nil || old.Left < 59*time.Minute || old.Left > time.Hour {
			t.Errorf("of version %d: %+v", version, snap.Open)
		}

		if got := snap.Open[b.Compact()]; !slices.Equal(got.Servers, b.Servers) {
			t.Errorf("of version %d, a new ban: %+v", version, got)
		}
	}
}

// Rows that somebody has changed by hand are counted, left alone, and do no harm.
func TestChangedRows(t *testing.T) {
	dir := t.TempDir()
	r := start(t, options(dir))
	for _, p := range []string{
		"192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32", "192.0.2.4/32",
		"192.0.2.5/32", "192.0.2.6/32",
	} {
		r.Ban(ban(p, all, time.Hour))
	}

	// Somebody changes each row by hand, while the journal runs.
	r.written(t)
	edit(t, dir,
		"UPDATE ban SET prefix = 'everybody' WHERE prefix = '192.0.2.1/32'",
		"UPDATE ban SET prefix = '192.0.2.2/24' WHERE prefix = '192.0.2.2/32'",
		"UPDATE ban SET scope = 'some' WHERE prefix = '192.0.2.3/32'",
		"UPDATE ban SET until = 9223372036854775807 WHERE prefix = '192.0.2.4/32'",
		"UPDATE ban SET until = decided - 1 WHERE prefix = '192.0.2.5/32'",
		"UPDATE ban SET decided = 'yesterday' WHERE prefix = '192.0.2.6/32'")

	s := r.snapshot(t)
	if s.Bad != 5 || len(s.Open) != 1 {
		t.Errorf("%d bad, %s", s.Bad, s.shows())
	}

	// An end at the end of time is limited, and makes no overflow.
	if o := s.Open[key("192.0.2.4/32", all).Compact()]; o.Left > 101*365*24*time.Hour ||
		o.Left <= 0 {
		t.Errorf("%+v", o)
	}
}

// A user can ask for what the documentation says.
func TestViews(t *testing.T) {
	dir := t.TempDir()
	r := start(t, options(dir))
	r.Ban(ban("203.0.113.5/32", all, time.Hour))
	r.Ban(ban("203.0.113.6/32", sip, time.Hour))
	r.Lift(lift("203.0.113.6/32", sip))
	r.Alert(Alert{
		At: time.Now(), Kind: "bans_full", Source: "203.0.113.5", Account: `"100"`,
		Server: "office", Text: "no room", Do: "make some",
	})

	r.Operation(Operation{
		At: time.Now(), UID: 1000, Says: "alice", What: "unban", Object: "203.0.113.6/32",
		Reason: "a customer",
	})

	day := time.Now().UTC().Truncate(24 * time.Hour)
	r.Count(func() []Total {
		return []Total{
			{Hour: day, Name: "203.0.113.5", Failures: 3},
			{Hour: day, Name: `"100"`, Account: true, Logins: 2},
		}
	})
	if err := r.WriteTotals(t.Context()); err != nil {
		t.Fatal(err)
	}

	// The views show times in UTC, and join what belongs together.
	r.written(t)
	s, err := openAs(filepath.Join(dir, File), "mode=ro", Clock{}.OrReal(), true)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()

	for query, want := range map[string]string{
		"SELECT prefix FROM bans WHERE running": "203.0.113.5/32",
		"SELECT prefix || lifted_by || lifted_why || (lifted = decided) FROM bans WHERE NOT " +
			"running": "203.0.113.6/32uid 1000a customer1",
		"SELECT (julianday(until) - julianday(decided)) * 24 BETWEEN 0.99 AND 1.01 FROM bans": "1",
		"SELECT abs(julianday(decided) - julianday('now')) < 0.001 FROM bans":                 "1",
		"SELECT kind || source || account || server || text || advice FROM alerts": "bans_full" +
			`203.0.113.5"100"officeno roommake some`,
		"SELECT source || failures || (hour = datetime('now', 'start of day')) FROM sources": "203.0.113.531",
		"SELECT account || logins FROM accounts":                                             `"100"2`,
		"SELECT uid || says || what || object || reason FROM operations": "1000aliceunban" +
			"203.0.113.6/32a customer",
	} {
		var got string
		if err := s.conn.QueryRowContext(t.Context(), query).Scan(&got); err != nil || got != want {
			t.Errorf("%s: %q, %v", query, got, err)
		}
	}
}
