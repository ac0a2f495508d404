//go:build packages

package packaging

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	_ "modernc.org/sqlite"

	"github.com/amifend/amifend/ami/amitest"
)

// machine is a Debian that runs under systemd, in namespaces of its own.
type machine struct {
	pid string // of its init, as the host counts
}

// boot starts a machine with a release of Debian, which ends with the test. Its network is a loopback
// interface.
func boot(t *testing.T, release string) *machine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root: sudo make packages")
	}

	made, err := exec.Command("testdata/root.sh", release).Output()
	if err != nil {
		t.Fatalf("make a Debian: %v\n%s", err, stderr(err))
	}

	var console bytes.Buffer
	cmd := exec.Command("testdata/boot.sh", strings.TrimSpace(string(made)), t.TempDir())
	cmd.Stdout, cmd.Stderr = &console, &console
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	// The script becomes unshare, whose only child is the machine's init. With it all processes of
	// the machine end.
	m := &machine{}
	t.Cleanup(func() {
		if m.pid != "" {
			_ = exec.Command("kill", "-KILL", m.pid).Run()
		}
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the console:\n%s", &console)
		}
		removeGroup(cmd.Process.Pid)
	})

	children := fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid)
	eventually(t, "the machine begins", func() bool {
		text, _ := os.ReadFile(children)
		exe := "/proc/" + strings.TrimSpace(string(text)) + "/comm"
		name, _ := os.ReadFile(exe)
		if strings.TrimSpace(string(name)) == "systemd" {
			m.pid = strings.TrimSpace(string(text))
		}
		return m.pid != ""
	})
	eventually(t, "the machine is up", func() bool {
		out, _ := m.command("systemctl is-system-running").Output()
		state := strings.TrimSpace(string(out))
		return state == "running" || state == "degraded"
	})

	return m
}

// removeGroup removes the control group that boot.sh made.
func removeGroup(pid int) {
	mounts, _ := os.ReadFile("/proc/mounts")
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" {
			group := filepath.Join(f[1], "amifend-packages-"+strconv.Itoa(pid))
			_ = exec.Command("find", group, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";").Run()
		}
	}
}

// command returns a shell command that runs in the machine, as root.
func (m *machine) command(script string) *exec.Cmd {
	return exec.Command("nsenter", "--target", m.pid, "--mount", "--pid", "--net", "--uts", "--ipc",
		"--cgroup", "--root", "env", "--ignore-environment", "--chdir=/", "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
		"LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "bash", "-euc", script)
}

// run runs a shell command in the machine, and returns what it printed. It must succeed.
func (m *machine) run(t *testing.T, script string) string {
	t.Helper()
	out, err := m.command(script).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

// fails runs a shell command that must fail, and returns what it printed.
func (m *machine) fails(t *testing.T, script string) string {
	t.Helper()
	out, err := m.command(script).CombinedOutput()
	if err == nil {
		t.Fatalf("%s: succeeds\n%s", script, out)
	}
	return string(out)
}

// path returns the path of a file of the machine on the host.
func (m *machine) path(name string) string { return filepath.Join("/proc", m.pid, "root", name) }

// copyIn copies a file of the host into the machine.
func (m *machine) copyIn(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.path(to), text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// pbx plays an Asterisk on the loopback of the machine.
func (m *machine) pbx(t *testing.T, secret string) *amitest.PBX {
	t.Helper()
	var pbx *amitest.PBX
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)

		// Never unlocked: the thread ends with the goroutine, and no other gets its network.
		runtime.LockOSThread()
		var ns netns.NsHandle
		if ns, err = netns.GetFromPath("/proc/" + m.pid + "/ns/net"); err != nil {
			return
		}
		defer ns.Close()
		if err = netns.Set(ns); err == nil {
			pbx, err = amitest.Listen(net.JoinHostPort("127.0.0.1", "5038"),
				amitest.Config{Username: "amifend", Secret: secret})
		}
	}()

	<-done
	if err != nil {
		t.Fatalf("play a PBX: %v", err)
	}
	t.Cleanup(pbx.Close)
	return pbx
}

// guess has an attacker try four accounts that do not exist, over TCP.
func guess(pbx *amitest.PBX, source string) {
	p := amitest.NewPeer(source + ":5060")
	p.Transport = "TCP"
	for i := range 4 {
		pbx.Emit(p.GuessAccount(strconv.Itoa(100 + i))...)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(90 * time.Second); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 90 s: %s", what)
		}
	}
}

// stderr returns what a command that failed wrote to standard error.
func stderr(err error) string {
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(e.Stderr)
	}
	return ""
}

// setSchema has a journal say that it has another version of the schema.
func setSchema(t *testing.T, journal string, version int) {
	t.Helper()

	// SQLite resolves the links in a path, and those of another process lead nowhere.
	text, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "journal.db")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}

	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec("PRAGMA journal_mode = DELETE; PRAGMA user_version = " + strconv.Itoa(version))
	if closed := db.Close(); err != nil || closed != nil {
		t.Fatal(err, closed)
	}

	if text, err = os.ReadFile(file); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(journal, text, 0o600); err != nil { // it keeps its owner
		t.Fatal(err)
	}
}
