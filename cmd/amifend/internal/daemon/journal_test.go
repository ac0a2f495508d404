package daemon

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/firewall/firewalltest"
)

// withState gives a site a journal.
func (s *site) withState(t testing.TB) string {
	t.Helper()
	s.config.State = config.State{
		Directory: t.TempDir(), Retain: 90 * 24 * time.Hour, MaxSize: 100 << 20,
	}
	return filepath.Join(s.config.State.Directory, journal.File)
}

// reboot takes the kernel's state away: a new namespace. The interfaces are new, too.
func (s *site) reboot(t testing.TB) { s.NS = firewalltest.New(t) }

// backedUp returns the path of a copy of the journal that the daemon of another process makes: such
// a daemon has the database alone.
func backedUp(t *testing.T, c *control.Client) string {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "backup")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := c.Backup(t.Context(), f); err != nil {
		t.Logf("no backup yet: %v", err)
	}
	return f.Name()
}

// query asks the journal's database as a user with the sqlite3 tool does. The rows are joined. An
// error is returned as text: a journal that is just being made cannot be read.
func query(t *testing.T, file, q string) string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?mode=ro&_pragma=busy_timeout(2000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), q)
	if err != nil {
		return err.Error()
	}
	defer rows.Close()

	var out []string
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			return err.Error()
		}
		out = append(out, v)
	}

	if err := rows.Err(); err != nil {
		return err.Error()
	}

	return strings.Join(out, ", ")
}

// wantJournal waits until the journal says that of the bans that run.
func wantJournal(t *testing.T, file string, within time.Duration, want string) {
	t.Helper()
	got := ""
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if got = query(t, file, runningBans); got == want {
			return
		}
	}

	t.Fatalf("after %s the journal says %q, want %q", within, got, want)
}

const runningBans = "SELECT prefix || ' ' || scope || ' ' || rule FROM bans " +
	"WHERE running ORDER BY 1"

// wantLeft fails the test unless the kernel has an element with about that time left.
func (s *site) wantLeft(t *testing.T, prefix string, scope firewall.Scope, left time.Duration) {
	t.Helper()
	table := s.table(t)
	eventually(t, prefix+" is in the kernel", func() bool {
		el := s.element(t, table, prefix, scope)
		return el != nil && el.Expires <= left && el.Expires > left-time.Minute
	})
}

func (s *site) wantGone(t *testing.T, prefix string, scope firewall.Scope) {
	t.Helper()
	table := s.table(t)
	eventually(t, prefix+" is not in the kernel", func() bool {
		return s.element(t, table, prefix, scope) == nil
	})
}

// Bans outlast a reboot, with what was left of them; what was lifted does not come back.
func TestReboot(t *testing.T) {
	s := newSite(t, 1)
	file := s.withState(t)
	r := s.start(t)
	guess(s.pbxs[0], "203.0.113.5:5060", "TCP", 4)
	guess(s.pbxs[0], "[2001:db8::5]:5060", "UDP", 4)
	guess(s.pbxs[0], "192.0.2.6:5060", "TCP", 4)
	for _, source := range []string{"203.0.113.5", "2001:db8::5", "192.0.2.6"} {
		r.Wait(t, "banned", source)
	}

	s.Run(t, "ip", "addr", "add", "192.0.2.6/32", "dev", "lo") // an own address is lifted
	r.Wait(t, "ban lifted", "192.0.2.6")
	r.stop(t)
	if got := query(t, file, runningBans); got !=
		"2001:db8::5/128 sip score, 203.0.113.5/32 all proven_score" {
		t.Errorf("running: %s", got)
	}

	got := query(t, file, "SELECT evidence FROM bans WHERE prefix = '203.0.113.5/32'")
	if !strings.Contains(got, `pbx1: InvalidAccountID "10`) {
		t.Errorf("evidence: %s", got)
	}

	got = query(t, file,
		"SELECT lifted_by || '; ' || lifted_why FROM bans WHERE lifted IS NOT NULL")
	if !strings.HasPrefix(got, "policy; protected: ") {
		t.Errorf("lifted: %s", got)
	}

	s.reboot(t)
	r = s.start(t)
	if l := r.Wait(t, "amifend runs", ""); l.Text("adopted") != "0" || l.Text("restored") != "2" {
		t.Errorf("said %v", l)
	}

	s.wantLeft(t, "203.0.113.5/32", all, time.Hour)
	s.wantLeft(t, "2001:db8::5/128", sip, 10*time.Minute) // the first one that could be forged
	s.wantGone(t, "192.0.2.6/32", all)
	r.Count(t, 0, "banned", "")
	guess(s.pbxs[0], "203.0.113.5:5060", "TCP", 10) // it is covered
	guess(s.pbxs[0], "192.0.2.50:5060", "TCP", 4)
	r.Wait(t, "banned", "192.0.2.50")
	r.Count(t, 0, "banned", "203.0.113.5")
}

// What others did to the kernel while amifend was away is judged by the journal. Each source is in
// a /24 of its own, which is banned as a whole when several of it are.
func TestKernelAndJournalDiffer(t *testing.T) {
	s := newSite(t, 1)
	file := s.withState(t)

	r := s.start(t)
	for _, a := range []string{"10.0.1.1", "10.0.2.2", "10.0.3.3", "10.0.4.4"} {
		guess(s.pbxs[0], a+":5060", "TCP", 4)
		r.Wait(t, "banned", a)
	}

	s.Run(t, "ip", "addr", "add", "10.0.4.4/32", "dev", "lo")
	r.Wait(t, "ban lifted", "10.0.4.4")
	s.wantGone(t, "10.0.4.4/32", all)
	s.Run(t, "ip", "addr", "del", "10.0.4.4/32", "dev", "lo")
	r.stop(t)
	set := s.config.Firewall.Table + " ban4"
	s.NFT(t, "delete element inet "+set+" { 10.0.1.1 }")
	s.NFT(t, "delete element inet "+set+" { 10.0.2.2 }")
	s.NFT(t, "add element inet "+set+" { 10.0.2.2 timeout 9h }")
	s.NFT(t, "add element inet "+set+" { 10.0.4.4 timeout 3h }")
	s.NFT(t, "add element inet "+set+" { 10.0.5.77 timeout 2h }")

	r = s.start(t)
	if l := r.Wait(t, "amifend runs", ""); l.Text("adopted") != "3" || l.Text("restored") != "1" {
		t.Errorf("said %v", l)
	}

	s.wantLeft(t, "10.0.1.1/32", all, time.Hour)    // only the journal had it
	s.wantLeft(t, "10.0.2.2/32", all, time.Hour)    // both had it: until the journal's end
	s.wantLeft(t, "10.0.5.77/32", all, 2*time.Hour) // only the kernel had it
	s.wantGone(t, "10.0.4.4/32", all)               // lifted
	l := r.Wait(t, "ban lifted", "10.0.4.4")
	if !strings.HasPrefix(l.Text("why"), "it was lifted before"+": policy: protected") {
		t.Errorf("said %v", l)
	}

	wantJournal(t, file, 10*time.Second,
		"10.0.1.1/32 all proven_score, 10.0.2.2/32 all proven_score, "+
			"10.0.3.3/32 all proven_score, 10.0.5.77/32 all adopted")
}

// The same while it runs.
func TestReconcileWhileRunning(t *testing.T) {
	t.Parallel() // it waits most of the time
	s := newSite(t, 1)
	file := s.withState(t)

	r := s.start(t)
	for _, a := range []string{"10.0.1.1", "10.0.4.4"} {
		guess(s.pbxs[0], a+":5060", "TCP", 4)
		r.Wait(t, "banned", a)
	}

	s.Run(t, "ip", "addr", "add", "10.0.4.4/32", "dev", "lo")
	r.Wait(t, "ban lifted", "10.0.4.4")
	s.wantGone(t, "10.0.4.4/32", all)
	s.Run(t, "ip", "addr", "del", "10.0.4.4/32", "dev", "lo")

	set := s.config.Firewall.Table + " ban4"
	s.NFT(t, "add element inet "+set+" { 10.0.4.4 timeout 3h }")
	s.NFT(t, "add element inet "+set+" { 10.0.5.77 timeout 2h }")
	s.NFT(t, "add element inet "+set+" { 198.51.100.1 timeout 2h }") // allowlisted

	end := time.Now().Add(10*time.Second + 10*time.Second)
	for len(r.Said("kernel and journal did not agree: repaired", "")) == 0 &&
		time.Now().Before(end) {
		time.Sleep(50 * time.Millisecond)
	}

	if l := r.Wait(t, "kernel and journal did not agree: repaired", ""); l.Text("adopted") != "2" ||
		l.Text("lifted") != "1" {
		t.Errorf("said %v", l)
	}

	s.wantGone(t, "10.0.4.4/32", all)
	s.wantGone(t, "198.51.100.1/32", all)
	s.wantLeft(t, "10.0.5.77/32", all, 2*time.Hour)
	wantJournal(t, file, 10*time.Second, "10.0.1.1/32 all proven_score, 10.0.5.77/32 all adopted")
	guess(s.pbxs[0], "10.0.5.77:5060", "TCP", 10) // the engine knows it, too
	guess(s.pbxs[0], "10.0.6.99:5060", "TCP", 4)
	r.Wait(t, "banned", "10.0.6.99")
	r.Count(t, 0, "banned", "10.0.5.77")
}

// A corrupt journal is set aside, and the new one has what the kernel had.
func TestCorruptJournal(t *testing.T) {
	s := newSite(t, 1)
	file := s.withState(t)
	r := s.start(t)
	guess(s.pbxs[0], "203.0.113.5:5060", "TCP", 4)
	r.Wait(t, "banned", "203.0.113.5")
	r.stop(t)
	other := []byte(strings.Repeat("not a database ", 1000))
	if err := os.WriteFile(file, other, 0o600); err != nil {
		t.Fatal(err)
	}

	r = s.start(t)
	if l := r.Wait(t, "amifend runs", ""); l.Text("adopted") != "1" {
		t.Errorf("said %v", l)
	}

	l := r.Wait(t,
		"the journal is corrupt: set aside, and begun anew from the bans that are known", "")
	if old, err := os.ReadFile(l.Text("aside")); err != nil ||
		!strings.HasPrefix(string(old), "not a database") {
		t.Errorf("set aside: %v", err)
	}

	wantJournal(t, file, 10*time.Second, "203.0.113.5/32 all adopted")
}

// A journal that is taken away while it is in use is begun anew, with all bans.
func TestJournalTakenAway(t *testing.T) {
	t.Parallel() // it waits most of the time
	s := newSite(t, 1)
	file := s.withState(t)
	r := s.start(t)
	guess(s.pbxs[0], "203.0.113.5:5060", "TCP", 4)
	r.Wait(t, "banned", "203.0.113.5")
	wantJournal(t, file, 10*time.Second, "203.0.113.5/32 all proven_score")
	if err := os.RemoveAll(s.config.State.Directory); err != nil {
		t.Fatal(err)
	}

	wantJournal(t, file, time.Minute, "203.0.113.5/32 all proven_score")
	r.Wait(t, "the journal's file was taken away while it was in use: beginning a new one", "")
}

// What a dry run decides is kept apart from what is in force: neither takes bans of the other, nor
// lifts them. After a restart a dry run knows what it would have banned.
func TestObservedBansStayObserved(t *testing.T) {
	s := newSite(t, 1)
	file := s.withState(t)
	observed := filepath.Join(s.config.State.Directory, journal.ObservedFile)
	r := s.start(t)
	guess(s.pbxs[0], "203.0.113.5:5060", "TCP", 4)
	r.Wait(t, "banned", "203.0.113.5")
	r.stop(t)
	s.config.Observe = true
	r = s.start(t)
	if l := r.Wait(t, "amifend runs", ""); l.Text("restored") != "0" {
		t.Errorf("a dry run took over bans: %v", l)
	}

	for _, source := range []string{"203.0.113.6", "192.0.2.7"} {
		guess(s.pbxs[0], source+":5060", "TCP", 4)
		r.Wait(t, "would ban", source)
	}

	// A ban in force that a dry run must not lift.
	s.Run(t, "ip", "addr", "add", "203.0.113.5/32", "dev", "lo")
	s.Run(t, "ip", "addr", "add", "192.0.2.7/32", "dev", "lo")
	r.Wait(t, "would lift ban", "192.0.2.7")
	r.stop(t)
	if got := query(t, observed, runningBans); got != "203.0.113.6/32 all proven_score" {
		t.Errorf("observed: %s", got)
	}

	if got := query(t, observed, "SELECT count(*) FROM ban WHERE observed"); got != "2" {
		t.Errorf("observed: %s", got)
	}
	if got := query(t, file, runningBans); got != "203.0.113.5/32 all proven_score" {
		t.Errorf("in force: %s", got)
	}

	s.config.Observe = false
	s.config.Firewall.Backend = config.BackendLog
	r = s.start(t)
	if l := r.Wait(t, "amifend runs", ""); l.Text("restored") != "1" {
		t.Errorf("said %v", l)
	}

	guess(s.pbxs[0], "203.0.113.6:5060", "TCP", 10)
	guess(s.pbxs[0], "192.0.2.9:5060", "TCP", 4)
	r.Wait(t, "would ban", "192.0.2.9")
	r.Count(t, 0, "would ban", "203.0.113.6")
	r.stop(t)
	s.config.Firewall.Backend = config.BackendNftables
	s.reboot(t)
	r = s.start(t)
	if l := r.Wait(t, "amifend runs", ""); l.Text("restored") != "1" {
		t.Errorf("said %v", l)
	}

	s.wantLeft(t, "203.0.113.5/32", all, time.Hour)
	s.wantGone(t, "203.0.113.6/32", all)
}

// A journal that only a person can mend keeps amifend from starting.
func TestRefusedJournal(t *testing.T) {
	s := newSite(t, 0)
	file := s.withState(t)
	run := func() error {
		c := s.config
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return Run(ctx, Options{Config: &c, Log: slog.New(slog.DiscardHandler), NetNS: s.FD()})
	}

	r := s.start(t)
	own := s.config.Firewall.Table
	s.config.Firewall.Table += "x"
	if err := run(); !errors.Is(err, journal.ErrLocked) {
		t.Errorf("a second one: %v", err)
	}

	r.stop(t)
	if err := run(); !errors.Is(err, journal.ErrOther) ||
		!strings.Contains(err.Error(), "inet "+own) {
		t.Errorf("of another table: %v", err)
	}

	s.config.Firewall.Table = own
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "PRAGMA user_version = 77"); err != nil {
		t.Fatal(err)
	}

	if err := run(); !errors.Is(err, journal.ErrNewer) || !strings.Contains(err.Error(), file) ||
		!strings.Contains(err.Error(), "its schema is 77") {
		t.Errorf("of a newer amifend: %v", err)
	}
	if _, err := db.ExecContext(t.Context(), "PRAGMA application_id = 77"); err != nil {
		t.Fatal(err)
	}
	if err := run(); !errors.Is(err, journal.ErrForeign) {
		t.Errorf("of something else: %v", err)
	}
}

// edit changes the journal's database as a user could.
func edit(t *testing.T, file, q string) {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), q); err != nil {
		t.Fatal(err)
	}
}

// Which servers a ban is of is known over a restart.
func TestServersOfABanOverARestart(t *testing.T) {
	s := newSite(t, 1)
	s.withState(t)
	c := s.withControl(t)
	r := s.start(t)
	ready(t, c)
	guess(s.pbxs[0], "203.0.113.6:5062", "TCP", 4)
	r.Wait(t, "banned", "203.0.113.6")
	r.stop(t)
	s.start(t)
	ready(t, c)
	l, err := c.Bans(t.Context(), control.BanQuery{Server: "pbx1"})
	if err != nil || len(l.Bans) != 1 || !slices.Equal(l.Bans[0].Servers, []string{"pbx1"}) {
		t.Errorf("%+v, %v", l, err)
	}
}
