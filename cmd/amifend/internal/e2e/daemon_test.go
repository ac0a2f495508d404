//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/e2e/lab"
)

// Messages and keys of amifend's log. They are an API; the tests know no others.
const (
	sayRuns       = "amifend runs"
	sayBanned     = "banned"
	sayAlert      = "alert"
	sayConnected  = "AMI session is up"
	sayNoEffect   = "ban is ineffective"
	causePort     = "port not in sip_ports"
	causePath     = "traffic does not pass this machine"
	alertGuessing = "proved_source_guessing"
	alertAccount  = "account_attacked"
	alertServer   = "server_attacked"
	sayMasked     = "most failures come from one address that is never banned: " +
		"the PBX does not see real sources"
)

// settings of one amifend; the zero value watches the PBX over TCP from its own namespace.
type settings struct {
	who      lab.Who
	address  string   // of the AMI; default 127.0.0.1:5038
	username string   // default amifend
	secret   string   // default the lab's
	tls      []string // lines of [server.tls]
	allow    []string
	policy   []string // lines of [policy]
	firewall []string // lines of [firewall]
	control  bool     // it has a control socket, and ask can be used
	more     string   // further sections
}

// daemon is amifend as a process.
type daemon struct {
	cmd    *exec.Cmd
	config string        // the file that it was started with
	done   chan struct{} // closed when it has ended
	err    error         // of its end

	mu    sync.Mutex
	lines []line
}

// line is one line of its log.
type line struct {
	Time     time.Time
	Level    string
	Msg      string
	Source   string
	Address  string
	Scope    string
	Rule     string
	Attempts int
	Until    time.Time
	Evidence string
	Undo     string
	Port     int
	Cause    string
	Problem  string // of the AMI session
	Adopted  int    // bans found in the kernel at the start
	Kind     string // of an alert
	Account  string
	Server   string
	Reason   string
	Do       string
	Err      string
	raw      string
}

// amifend starts a daemon and waits until it runs and has logged in.
func (w *world) amifend(t *testing.T, s settings) *daemon {
	t.Helper()
	d := w.startAmifend(t, s)
	d.wait(t, soon, sayRuns, func(l line) bool { return l.Msg == sayRuns })
	d.wait(t, soon, sayConnected, func(l line) bool { return l.Msg == sayConnected })
	return d
}

// startAmifend starts a daemon and does not wait.
func (w *world) startAmifend(t *testing.T, s settings) *daemon {
	t.Helper()
	if s.who == "" {
		s.who = lab.PBX
	}

	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	config := w.config(t, s)
	d := w.launch(t, w.Command(t.Context(), s.who, path, "run", "--config", config))
	d.config = config
	return d
}

// fresh starts an amifend that finds no ban in the kernel, and takes its table away with it: for
// tests that share a lab.
func (w *world) fresh(t *testing.T, s settings) *daemon {
	t.Helper()
	// Registered before the daemon's own clean-up, so it runs after it.
	t.Cleanup(func() {
		_, err := w.Exec(context.Background(), lab.PBX, "nft", "delete", "table", "inet", "amifend")
		if err != nil {
			t.Error(err)
		}
	})
	return w.amifend(t, s)
}

// ask runs another command of amifend on the machine of the daemon, and returns all that it wrote.
// Its exit code is not looked at: check has one for what it finds.
func (w *world) ask(t *testing.T, d *daemon, command string, args ...string) string {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{command}, append(args, "--config", d.config)...)
	out, err := w.Command(t.Context(), lab.PBX, path, args...).CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out)
}

// launch starts a command that becomes amifend in the end, and records its log. The daemon ends
// with the test, which fails if the log holds the AMI secret.
func (w *world) launch(t *testing.T, cmd *exec.Cmd) *daemon {
	t.Helper()
	secret := w.secret(t)
	d := &daemon{cmd: cmd, done: make(chan struct{})}
	stderr, err := d.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}

	// The context ends before the clean-up: the daemon then ends in order, as it does for systemd.
	d.cmd.Cancel = func() error { return d.cmd.Process.Signal(syscall.SIGTERM) }
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}

	go func() {
		defer close(d.done)
		for sc := bufio.NewScanner(stderr); sc.Scan(); {
			d.record(sc.Text())
		}
		d.err = d.cmd.Wait()
	}()

	// The log is long: it is shown only where it explains a failure.
	t.Cleanup(func() {
		d.stop(t)
		if t.Failed() {
			t.Logf("amifend's log:\n%s", d)
		}
		if strings.Contains(d.String(), secret) {
			t.Error("amifend's log holds the AMI secret")
		}
	})
	return d
}

func (w *world) secret(t *testing.T) string {
	t.Helper()
	secret, err := w.Secret()
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// config writes a config file and returns its path.
func (w *world) config(t *testing.T, s settings) string {
	t.Helper()
	if s.address == "" {
		s.address = "127.0.0.1:5038"
	}
	if s.username == "" {
		s.username = "amifend"
	}

	// A file, as operators should have it, unless a test wants a wrong secret.
	secret := fmt.Sprintf("secret_file = %q", filepath.Join(w.Run, "secret"))
	if s.secret != "" {
		secret = fmt.Sprintf("secret = %q", s.secret)
	}

	quoted := make([]string, len(s.allow))
	for i, a := range s.allow {
		quoted[i] = fmt.Sprintf("%q", a)
	}

	var b strings.Builder
	fmt.Fprintf(&b, "[[server]]\nname = \"pbx\"\naddress = %q\nusername = %q\n%s\n",
		s.address, s.username, secret)
	section := func(name string, lines []string) {
		if len(lines) > 0 {
			fmt.Fprintf(&b, "\n[%s]\n%s\n", name, strings.Join(lines, "\n"))
		}
	}
	section("server.tls", s.tls)
	section("allow", []string{"prefixes = [" + strings.Join(quoted, ", ") + "]"})
	section("policy", s.policy)
	section("firewall", s.firewall)

	// No daemon of a test may know another, nor the one that this machine may have.
	dir := t.TempDir()
	section("state", []string{fmt.Sprintf("directory = %q", filepath.Join(dir, "state"))})
	socket := ""
	if s.control { // not in dir, whose path may be longer than a socket's may be (unix(7))
		socket = filepath.Join(w.Run, "amifend.sock")
	}
	section("control", []string{fmt.Sprintf("socket = %q", socket)})
	b.WriteString(s.more)

	path := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// record takes one line of the log.
func (d *daemon) record(text string) {
	l := line{raw: text}
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		l = line{raw: text} // not of the logger: a panic, perhaps
	}

	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, l)
}

// String returns the whole log.
func (d *daemon) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var b strings.Builder
	for _, l := range d.lines {
		b.WriteString("\t" + l.raw + "\n")
	}
	return b.String()
}

// find returns the first line for which match holds.
func (d *daemon) find(match func(line) bool) (line, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.lines {
		if match(l) {
			return l, true
		}
	}
	return line{}, false
}

// all returns the lines for which match holds.
func (d *daemon) all(match func(line) bool) []line {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []line
	for _, l := range d.lines {
		if match(l) {
			out = append(out, l)
		}
	}
	return out
}

// wait waits for a line for which match holds, and returns it.
func (d *daemon) wait(t *testing.T, within time.Duration, what string, match func(line) bool) line {
	t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(10 * time.Millisecond) {
		if l, ok := d.find(match); ok {
			return l
		}
		select {
		case <-d.done:
			t.Fatalf("amifend ended (%v) before it said %q:\n%s", d.err, what, d)
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("amifend did not say %q within %s:\n%s", what, within, d)
		}
	}
}

// quiet waits until the daemon has written nothing for the time still.
func (d *daemon) quiet(t *testing.T, still time.Duration) {
	t.Helper()
	last, since := -1, time.Now()
	eventually(t, 10*still, "amifend is quiet", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		if len(d.lines) != last {
			last, since = len(d.lines), time.Now()
		}
		return time.Since(since) >= still
	})
}

// ban returns the line of a source's first ban, if there is one. It is written after the kernel has
// acknowledged the ban.
func (d *daemon) ban(source netip.Addr) (line, bool) {
	return d.find(func(l line) bool { return l.Msg == sayBanned && l.Source == source.String() })
}

// bans returns the lines of all bans of a source.
func (d *daemon) bans(source netip.Addr) []line {
	return d.all(func(l line) bool { return l.Msg == sayBanned && l.Source == source.String() })
}

// stop ends the daemon in order. It does nothing when it has ended.
func (d *daemon) stop(t *testing.T) {
	t.Helper()
	select {
	case <-d.done:
		return
	default:
	}
	_ = d.cmd.Process.Signal(syscall.SIGTERM) // it may just have ended
	select {
	case <-d.done:
		if d.err != nil && t.Context().Err() == nil {
			t.Errorf("amifend ended with %v:\n%s", d.err, d)
		}
	case <-time.After(10 * time.Second):
		t.Errorf("amifend did not end within 10 s of SIGTERM:\n%s", d)
		d.kill()
	}
}

// kill ends the daemon as a crash does.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill() // it may just have ended
	<-d.done
}
