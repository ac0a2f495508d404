package fail2ban

import (
	"compress/gzip"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// made is the time when Debian's fail2ban 1.0.2 made the database of the tests: `fail2ban-client
// set asterisk banip …`.
const made = 1795422848

// database unpacks the database of the tests.
func database(t *testing.T) string {
	t.Helper()
	f, err := os.Open("testdata/fail2ban-1.0.2.sqlite3.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}

	// A copy that may not be written to: Read must not need more.
	b, err := io.ReadAll(z)

	// No part of the name may be taken for an option.
	path := filepath.Join(t.TempDir(), "fail2ban #1?.sqlite3")
	if err = errors.Join(err, os.WriteFile(path, b, 0o400)); err != nil {
		t.Fatal(err)
	}

	return path
}

func tell(b *Bans) string {
	var out strings.Builder
	for _, one := range b.Bans {
		left := one.Left.String()
		if one.Forever {
			left = "forever"
		}
		fmt.Fprintf(&out, "%s %s %s\n", one.Jail, one.Prefix, left)
	}

	return out.String()
}

func TestReadARealDatabase(t *testing.T) {
	path := database(t)
	for name, tt := range map[string]struct {
		after time.Duration
		want  string
		over  int
	}{
		// Nothing may be banned longer than fail2ban decided, whenever it is read.
		"at once": {0, "asterisk 198.51.100.0/24 24h0m0s\nasterisk 203.0.113.5/32 " +
			"24h0m0s\nasterisk 203.0.113.7/32 forever\nsshd 203.0.113.8/32 10m0s\nasterisk " +
			"2001:db8::5/128 24h0m0s\n", 0},
		"later": {23 * time.Hour, "asterisk 198.51.100.0/24 1h0m1s\nasterisk 203.0.113.5/32 " +
			"1h0m0s\nasterisk 203.0.113.7/32 forever\nasterisk 2001:db8::5/128 1h0m0s\n", 1},
		"too late": {24 * time.Hour, "asterisk 198.51.100.0/24 1s\nasterisk 203.0.113.7/32 " +
			"forever\n", 3},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Read(t.Context(), path, time.Unix(made, 0).Add(tt.after))
			if err != nil {
				t.Fatal(err)
			}
			if tell(got) != tt.want || got.Over != tt.over || len(got.Strange) != 0 {
				t.Errorf("got\n%s%d over, strange %q; want\n%s%d over", tell(got), got.Over,
					got.Strange, tt.want, tt.over)
			}
		})
	}
}

// writable opens a copy of the recorded database to be changed.
func writable(t *testing.T) (path string, db *sql.DB) {
	t.Helper()
	path = database(t)
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", strings.NewReplacer("#", "%23", "?", "%3f").Replace("file:"+path))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { db.Close() })
	return path, db
}

// A row without a valid address is reported, and never becomes a ban.
func TestStrangeRows(t *testing.T) {
	path, db := writable(t)
	if _, err := db.Exec("DELETE FROM bips"); err != nil {
		t.Fatal(err)
	}

	// Two of them are addresses after all: one of IPv4 in IPv6, and a plain one.
	for i, ip := range []string{
		"host.example", "203.0.113.5/24", "::ffff:203.0.113.9",
		"203.0.113.10 ", "", "fe80::1%eth0", "203.0.113.11",
	} {
		if _, err := db.Exec("INSERT INTO bips VALUES (?, 'asterisk', ?, ?, 1, '')", ip,
			made+int64(i), int64(1)<<62); err != nil {
			t.Fatal(err)
		}
	}

	got, err := Read(t.Context(), path, time.Unix(made, 0))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Strange) != 5 || got.Wrong != 5 || len(got.Bans) != 2 ||
		got.Bans[0].Prefix.String() != "203.0.113.9/32" || got.Bans[0].Left < 200*365*24*time.Hour {
		t.Errorf("got %+v", got)
	}
}

// A row whose cells are of other types than fail2ban writes hides no other row.
func TestRowsOfOtherTypes(t *testing.T) {
	path, db := writable(t)
	if _, err := db.Exec(`DELETE FROM bips; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT ` +
		`i+1 FROM n WHERE i < 20)
		INSERT INTO bips SELECT 'host'||i, 'asterisk', 1795422848, 600, 1, '' FROM n;
		INSERT INTO bips VALUES ('203.0.113.5', 'asterisk', 1795422848.5, 600, 1, ''), ` +
		`('203.0.113.6', 'asterisk', 'yesterday', 600, 1, ''),
		(x'1b5b33316d', 'asterisk', 1795422848, 600, 1, ''), ('203.0.113.7', x'ff', 1795422848, ` +
		`1e30, 1, '')`); err != nil {
		t.Fatal(err)
	}

	got, err := Read(t.Context(), path, time.Unix(made, 0))
	if err != nil {
		t.Fatal(err)
	}

	// The number of kept examples is bounded, their count is not.
	if len(got.Bans) != 2 || got.Bans[0].Left != 10*time.Minute ||
		len(got.Strange) != strangeMost || got.Wrong != 22 {
		t.Errorf("got %+v", got)
	}
}

func TestReadFails(t *testing.T) {
	dir := t.TempDir()
	_, err := Read(t.Context(), filepath.Join(dir, "none"), time.Now())
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "none")); err == nil {
		t.Error("a file was made")
	}

	// A file that is not a database at all.
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}

	if _, err := Read(t.Context(), text, time.Now()); err == nil ||
		!strings.Contains(err.Error(), "not a database of fail2ban") {
		t.Errorf("a text: %v", err)
	}

	// A database of a version whose bans have no end.
	old := filepath.Join(dir, "old")
	db, err := sql.Open("sqlite", "file:"+old)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()

	if _, err := db.Exec("CREATE TABLE fail2banDb(version INTEGER); INSERT INTO fail2banDb " +
		"VALUES (2)"); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(t.Context(), old, time.Now()); !errors.Is(err, ErrTooOld) {
		t.Errorf("an old one: %v", err)
	}
}
