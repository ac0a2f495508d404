package main

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"

	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/confine/confinetest"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// victim is amifend as a process that somebody has taken over.
type victim struct {
	dir    string
	pid    int
	client *control.Client
}

// startVictim starts the real program, by its own main, with a config below a new folder.
func startVictim(t *testing.T) *victim {
	t.Helper()
	pbx := amitest.Run(t, amitest.Config{Username: "amifend", Secret: "right"})
	dir := t.TempDir()
	write(t, dir, "config.toml", fmt.Sprintf(`
[[server]]
name = "office"
address = %q
username = "amifend"
secret_file = "secret"
[firewall]
backend = "log"
[state]
directory = %q
[control]
socket = %q
`, pbx.Addr(), filepath.Join(dir, "state"), filepath.Join(dir, "run/s.sock")))
	write(t, dir, "secret", "right")
	write(t, dir, "outside/file", "as it was")

	// The test binary is amifend when it is called so.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "run", "--config", filepath.Join(dir, "config.toml"))
	cmd.Args[0] = "amifend"
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("it ended with %v:\n%s", err, &log)
		}
	})

	v := &victim{
		dir: dir, pid: cmd.Process.Pid, client: control.NewClient(filepath.Join(dir, "run/s.sock")),
	}
	v.eventually(t, "it is logged in", func(s control.Status) bool { return s.Servers[0].Connected })
	return v
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (v *victim) eventually(t *testing.T, what string, ok func(control.Status) bool) {
	t.Helper()
	var last control.Status
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		s, err := v.client.Status(t.Context())
		if err == nil && ok(s) {
			return
		}
		if last = s; time.Now().After(end) {
			t.Fatalf("not within 20 s: %s: %+v, %v", what, last, err)
		}
	}
}

// Whoever takes over the daemon's process writes nothing outside its directories, executes nothing,
// and has no capability but those that it needs.
func TestTakenOverProcess(t *testing.T) {
	v := startVictim(t)
	s, err := v.client.Status(t.Context())
	if err != nil || s.Confined == nil {
		t.Fatalf("%+v, %v", s, err)
	}

	// What holds on every kernel.
	if !s.Confined.NoNewPrivs || s.Confined.Error != "" {
		t.Errorf("confined: %+v", *s.Confined)
	}
	want := ""
	if os.Geteuid() == 0 {
		want = "chown dac_override fowner net_admin"
	}
	if got := strings.Join(s.Confined.Capabilities, " "); got != want {
		t.Errorf("capabilities %q, want %q", got, want)
	}

	if version, err := ll.LandlockGetABIVersion(); err != nil || version == 0 {
		if s.Confined.Landlock != 0 {
			t.Errorf("Landlock %d is reported, which this kernel has not", s.Confined.Landlock)
		}
		t.Logf("THIS KERNEL HAS NO LANDLOCK (%v): that it forbids writing and executing was NOT TESTED",
			err)
		return
	}

	const at = unix.AT_FDCWD
	path := func(name string) string { return filepath.Join(v.dir, name) }
	for _, c := range []struct {
		what   string
		number uintptr
		args   []any
	}{
		{"write a file", unix.SYS_OPENAT, []any{at, path("outside/file"), unix.O_WRONLY}},
		{"truncate a file", unix.SYS_TRUNCATE, []any{path("outside/file"), 0}},
		{"make a file", unix.SYS_OPENAT, []any{at, path("outside/new"), unix.O_CREAT | unix.O_WRONLY, 0o600}},
		{"make a file without a name", unix.SYS_OPENAT, []any{at, path("outside"), unix.O_TMPFILE | unix.O_RDWR}},
		{"make a folder", unix.SYS_MKDIRAT, []any{at, path("outside/new"), 0o700}},
		{"remove a file", unix.SYS_UNLINKAT, []any{at, path("outside/file"), 0}},
		{"move a file in", unix.SYS_RENAME, []any{path("outside/file"), path("state/file")}},
		{"move a file out", unix.SYS_RENAME, []any{path("state/observed.db"), path("outside/new")}},
		{"link a file in", unix.SYS_LINK, []any{path("outside/file"), path("state/file")}},
		{"make a link", unix.SYS_SYMLINKAT, []any{"/etc", at, path("outside/new")}},
		{"make a pipe", unix.SYS_MKNODAT, []any{at, path("outside/new"), unix.S_IFIFO | 0o600, 0}},
		{"make a socket", unix.SYS_MKNODAT, []any{at, path("outside/new"), unix.S_IFSOCK | 0o600, 0}},
		{"write its config", unix.SYS_OPENAT, []any{at, path("config.toml"), unix.O_RDWR}},
		{"write a crontab", unix.SYS_OPENAT, []any{at, "/etc/crontab", unix.O_CREAT | unix.O_WRONLY, 0o600}},
		{"execute", unix.SYS_EXECVE, []any{"/bin/sh", 0, 0}},
		{"execute itself", unix.SYS_EXECVE, []any{"/proc/self/exe", 0, 0}},
	} {
		_, errno := confinetest.Call(t, v.pid, c.number, c.args...)
		if errno != unix.EACCES && errno != unix.EXDEV { // EXDEV: it may not change folders
			t.Errorf("%s: %v, want %v", c.what, errno, unix.EACCES)
		}
	}

	// All of that was refused because of where it was, not because the calls were wrong.
	for _, c := range []struct {
		what   string
		number uintptr
		args   []any
	}{
		{"read a file", unix.SYS_OPENAT, []any{at, path("outside/file"), unix.O_RDONLY}},
		{"make a file", unix.SYS_OPENAT, []any{at, path("state/x"), unix.O_CREAT | unix.O_WRONLY, 0o600}},
		{"move a file", unix.SYS_RENAME, []any{path("state/x"), path("state/y")}},
		{"truncate a file", unix.SYS_TRUNCATE, []any{path("state/y"), 0}},
		{"remove a file", unix.SYS_UNLINKAT, []any{at, path("state/y"), 0}},
		{"open a socket", unix.SYS_SOCKET, []any{unix.AF_INET, unix.SOCK_STREAM, 0}},
	} {
		if _, errno := confinetest.Call(t, v.pid, c.number, c.args...); errno != 0 {
			t.Errorf("%s: %v", c.what, errno)
		}
	}

	if text, err := os.ReadFile(path("outside/file")); string(text) != "as it was" {
		t.Errorf("the file outside is %q, %v", text, err)
	}
}

// A confined daemon does all its work: it writes its journal, is backed up to any place, reads its
// config and new certificates again, and makes a journal anew.
func TestConfinedDaemonWorks(t *testing.T) {
	v := startVictim(t)
	config := filepath.Join(v.dir, "config.toml")
	if _, err := v.client.Ban(t.Context(), []control.NewBan{{
		Prefix: netip.MustParsePrefix("203.0.113.7/32"), Scope: "all", For: 3600,
	}}); err != nil {
		t.Fatal(err)
	}

	// The backup is made by the command, which is not confined.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(v.dir, "outside/backup.db")
	cmd := exec.Command(self, "backup", backup, "--config", config)
	cmd.Args[0] = "amifend"
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "1 ban,") {
		t.Errorf("backup: %v\n%s", err, out)
	}

	// A second server, whose certificate becomes another one.
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		certificate, ca, err := amitest.Certificate("127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		pbx := amitest.Run(t, amitest.Config{
			Username: "amifend", Secret: "right",
			TLS: &tls.Config{Certificates: []tls.Certificate{certificate}},
		})
		write(t, v.dir, "ca.pem", string(ca))
		write(t, v.dir, "config.toml", fmt.Sprintf(`[[server]]
name = "second"
address = %q
username = "amifend"
secret_file = "secret"
[server.tls]
ca_file = "ca.pem"
`, pbx.Addr())+string(text))
		if _, err := v.client.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		v.eventually(t, "the second server is up", func(s control.Status) bool {
			return len(s.Servers) == 2 && s.Servers[0].Address == pbx.Addr() &&
				s.Servers[0].Connected && s.Servers[0].Verified && s.Servers[1].Connected
		})
	}

	// A journal that was deleted is made anew, whole.
	for _, end := range []string{"", "-wal"} {
		if err := os.Remove(filepath.Join(v.dir, "state/observed.db"+end)); err != nil {
			t.Error(err)
		}
	}
	v.eventually(t, "the journal is new", func(s control.Status) bool {
		_, err := os.Stat(filepath.Join(v.dir, "state/observed.db"))
		return err == nil && s.Journal.Problem == "" && s.Journal.Waiting == 0
	})
	if l, err := v.client.Bans(t.Context(), control.BanQuery{}); err != nil || l.Total != 1 {
		t.Errorf("%d bans, %v", l.Total, err)
	}
}
