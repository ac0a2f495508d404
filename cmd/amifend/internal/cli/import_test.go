package cli

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// banner notes what it is asked to ban, and refuses one.
type banner struct{ bans []control.NewBan }

func (b *banner) Ban(
	_ context.Context, _ control.Peer, bans []control.NewBan,
) (results []control.BanResult, err error) {
	if len(bans) > control.MostBans {
		return nil, errors.New("too many")
	}

	for _, n := range bans {
		r := control.BanResult{Prefix: n.Prefix, Scope: n.Scope, State: control.StateInKernel}
		if n.Prefix == netip.MustParsePrefix("10.0.0.7/32") {
			r.Error = control.Errorf(control.CodeProtected,
				"10.0.0.7 must not be banned: allowlist")
		}
		results = append(results, r)
	}

	b.bans = append(b.bans, bans...)
	return results, nil
}

func (*banner) Unban(context.Context, control.Peer, netip.Prefix) (control.Lifted, error) {
	return control.Lifted{}, errors.New("not asked for")
}

// serveBans serves a banner and returns its socket.
func serveBans(t *testing.T, b *banner) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s.sock")
	s, err := control.Listen(control.Options{
		Socket: socket, ReadGroup: "0", AdminGroup: "0",
		Log: slog.New(slog.DiscardHandler), Ban: b,
	})
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})

	return socket
}

func TestImport(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root")
		}
		t.Skip("needs root: only root may change")
	}

	path := filepath.Join(t.TempDir(), "fail2ban.sqlite3")
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()

	if _, err := db.Exec(`CREATE TABLE fail2banDb(version INTEGER); INSERT INTO fail2banDb VALUES (4);
		CREATE TABLE bips(ip TEXT NOT NULL, jail TEXT NOT NULL, timeofban INTEGER NOT NULL, bantime INTEGER NOT NULL);
		WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM n WHERE i < 2499)
		INSERT INTO bips SELECT '10.0.'||(i/256)||'.'||(i%256),
			CASE i%5 WHEN 4 THEN 'sshd' ELSE 'asterisk-tcp' END, ?,
			CASE i WHEN 0 THEN -1 ELSE 3600 END FROM n`,
		time.Now().Add(-10*time.Minute).Unix()); err != nil {
		t.Fatal(err)
	}

	// A dry run asks the daemon for nothing.
	b := &banner{}
	socket := serveBans(t, b)
	dry := &ImportFail2ban{
		daemonFlags: daemonFlags{Socket: socket}, Scope: "sip", Path: path,
		DryRun: true,
	}
	if err := dry.Run(t.Context()); err != nil || len(b.bans) != 0 {
		t.Errorf("a dry run banned %d, %v", len(b.bans), err)
	}

	// Without --jail, the jail of Asterisk is chosen by its name. Its bans take two requests.
	c := &ImportFail2ban{daemonFlags: daemonFlags{Socket: socket}, Scope: "sip", Path: path}
	if err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(b.bans) != 2000 {
		t.Fatalf("%d bans", len(b.bans))
	}

	forever, first := b.bans[0], b.bans[1]
	if forever.Prefix.String() != "10.0.0.0/32" || forever.For < 1e9 || !forever.Import {
		t.Errorf("the one for ever: %+v", forever)
	}

	if first.Prefix.String() != "10.0.0.1/32" || first.Scope != "sip" ||
		first.Reason != "fail2ban jail asterisk-tcp" || first.For < 2990 || first.For > 3000 {
		t.Errorf("the next: %+v", first)
	}

	// With --jail, only that one is imported.
	b.bans = nil
	chosen := &ImportFail2ban{
		daemonFlags: daemonFlags{Socket: socket}, Scope: "all", Path: path,
		Jail: []string{"sshd"},
	}
	if err := chosen.Run(t.Context()); err != nil || len(b.bans) != 500 ||
		b.bans[0].Scope != "all" {
		t.Errorf("of another jail: %d, %v", len(b.bans), err)
	}
}

func TestImportFails(t *testing.T) {
	err := (&ImportFail2ban{Path: filepath.Join(t.TempDir(), "none")}).Run(t.Context())
	var e *control.Error
	if !errors.As(err, &e) || e.Do == "" {
		t.Errorf("error %v", err)
	}
}

// The database of fail2ban 0.10 does not say how long its bans last: what to do instead is said.
func TestImportOfAnOldDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fail2ban.sqlite3")
	script, err := os.ReadFile("testdata/fail2ban-0.10.sql")
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(string(script)); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	err = (&ImportFail2ban{Scope: "sip", Path: path, DryRun: true}).Run(t.Context())
	if err == nil || !strings.Contains(Text(err), "older than 0.11") ||
		!strings.Contains(Text(err), "\n  do: update fail2ban first, or ban the addresses by hand: ") {
		t.Errorf("got %v", err)
	}
}
