//go:build e2e

package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/e2e/lab"
	"github.com/amifend/amifend/cmd/amifend/internal/e2e/sip"
)

// debianManager is the manager.conf of Debian: the AMI is disabled, and manager.d is included.
const debianManager = "[general]\nenabled = no\nport = 5038\nbindaddr = 127.0.0.1\n\n" +
	"#include \"manager.d/*.conf\"\n"

// The whole way of a newcomer with a real Asterisk: init enables the AMI and writes the manager user,
// the reload makes both known, and the check logs in. Then amifend observes, bans on trial, and keeps.
func TestInitToTheFirstBan(t *testing.T) {
	w := newWorld(t, "sid", "init")
	etc := filepath.Join(w.Run, "etc")
	err := errors.Join(os.WriteFile(filepath.Join(etc, "manager.conf"), []byte(debianManager), 0o640),
		os.Mkdir(filepath.Join(etc, "manager.d"), 0o750), w.Kill(t.Context()), w.Start(t.Context()))
	if err != nil {
		t.Fatal(err)
	}

	// asterisk is the command of the machine, which is that of the lab.
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs(filepath.Join(scripts, "lab.sh"))
	if err != nil {
		t.Fatal(err)
	}
	bin, dir := t.TempDir(), filepath.Join(t.TempDir(), "amifend")
	stub := fmt.Sprintf("#!/bin/sh\nexec %s asterisk %s \"$2\"\n", script, w.Name)
	if err := os.WriteFile(filepath.Join(bin, "asterisk"), []byte(stub), 0o755); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (string, error) {
		cmd := w.Command(t.Context(), lab.PBX, path, args...)
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"),
			"SSH_CONNECTION=100.64.1.5 50000 192.0.2.10 22")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	start := []string{"init", "--yes", "--asterisk-dir", etc, "--config-dir", dir, "--group", "root"}

	// Without the reload Asterisk does not listen, and init says what is missing.
	out, err := run(start...)
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 ||
		!strings.Contains(out, "asterisk -rx 'manager reload'") {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = run(append(start, "--reload-asterisk")...)
	if err != nil || !strings.Contains(out, `logged in as "amifend", by MD5 challenge`) {
		t.Fatalf("%v\n%s", err, out)
	}
	if secret, err := os.ReadFile(filepath.Join(dir, "ami-secret")); err != nil ||
		strings.Contains(out, strings.TrimSpace(string(secret))) {
		t.Errorf("the secret is printed, or missing: %v", err)
	}

	config := filepath.Join(dir, "config.toml")
	text, err := os.ReadFile(config)
	if err != nil || !strings.Contains(string(text), `"100.64.1.5"`) ||
		!strings.Contains(string(text), `"100.64.9.9"`) {
		t.Errorf("the SSH session or the trunk is not allowed: %v\n%s", err, text)
	}

	// A state of its own, since other tests run on this machine.
	more := fmt.Sprintf("\n[state]\ndirectory = %q\n[control]\nsocket = %q\n", filepath.Join(dir, "state"),
		filepath.Join(dir, "s.sock"))
	if err := os.WriteFile(config, append(text, more...), 0o640); err != nil {
		t.Fatal(err)
	}
	d := w.launch(t, w.Command(t.Context(), lab.PBX, path, "run", "--config", config))
	d.config = config
	d.wait(t, soon, sayConnected, func(l line) bool { return l.Msg == sayConnected })

	// Observing: nobody is banned, and the status says who would have been.
	attacker := netip.MustParseAddr("198.51.100.77")
	scan(t, w, attacker, 5)
	d.wait(t, soon, "would ban", func(l line) bool { return l.Msg == "would ban" && l.Source == attacker.String() })
	eventually(t, soon, "the status tells it", func() bool {
		s := w.ask(t, d, "status")
		return strings.Contains(s, "1 source would have been banned") &&
			strings.Contains(s, "none of them ever logged in") &&
			strings.Contains(s, "sudo amifend enforce")
	})

	// On trial: banned in the kernel, and the line of the config is changed.
	out = w.enforce(t, d, "5m")
	if !strings.Contains(out, "amifend bans now, on trial until") ||
		!strings.Contains(out, "-observe = true\n+observe = false") {
		t.Fatalf("enforce: %s", out)
	}
	scan(t, w, attacker, 1)
	d.wait(t, soon, sayBanned, func(l line) bool { return l.Msg == sayBanned && l.Source == attacker.String() })
	if now, err := os.ReadFile(config); err != nil || !strings.Contains(string(now), "\nobserve = false\n") {
		t.Errorf("the config in the trial: %v\n%s", err, now)
	}

	// Kept: the config stays so, and a copy of the old one is there.
	if out = w.ask(t, d, "keep"); !strings.Contains(out, "1 ban kept") {
		t.Fatalf("keep: %s", out)
	}
	now, err := os.ReadFile(config)
	copies, _ := filepath.Glob(config + ".before-*")
	if err != nil || !strings.Contains(string(now), "\nobserve = false\n") || len(copies) != 1 {
		t.Errorf("the config: %v, copies %q\n%s", err, copies, now)
	}

	// A crash right after it changes nothing any more.
	d.kill()
	d = w.launch(t, w.Command(t.Context(), lab.PBX, path, "run", "--config", config))
	d.config = config
	d.wait(t, soon, sayRuns, func(l line) bool { return l.Msg == sayRuns && l.Adopted == 1 })
}

// A crash in the middle of a trial leads back to observing, and the trial's bans end with it.
func TestCrashInTheTrialOfEnforce(t *testing.T) {
	w := newWorld(t, "sid", "enforce")
	d := w.amifend(t, settings{policy: []string{"observe = true"}, control: true})
	if out := w.enforce(t, d, "20s"); !strings.Contains(out, "amifend bans now") {
		t.Fatalf("enforce: %s", out)
	}
	attacker := netip.MustParseAddr("198.51.100.78")
	scan(t, w, attacker, 4)
	d.wait(t, soon, sayBanned, func(l line) bool { return l.Msg == sayBanned && l.Source == attacker.String() })
	d.kill()

	again := w.launch(t, w.Command(t.Context(), lab.PBX, must(program()), "run", "--config", d.config))
	again.config = d.config
	again.wait(t, soon, sayConnected, func(l line) bool { return l.Msg == sayConnected })
	if out := w.ask(t, again, "status"); !strings.Contains(out, "nobody is banned: the trial of ") {
		t.Errorf("status: %s", out)
	}
	eventually(t, 30*time.Second, "the trial's ban ends", func() bool {
		// Other sets have the address as well: the sensor counts what is refused to it.
		set, err := w.Exec(t.Context(), lab.PBX, "nft", "list", "set", "inet", "amifend", "ban4")
		return err == nil && !strings.Contains(set, attacker.String())
	})
}

// enforce begins a trial, and returns what the command has printed then. Without systemd the command
// goes on until the trial is kept or over.
func (w *world) enforce(t *testing.T, d *daemon, trial string) string {
	t.Helper()
	cmd := w.Command(t.Context(), lab.PBX, must(program()), "enforce", "--trial", trial, "--config", d.config)
	stdout, err := cmd.StdoutPipe()
	cmd.Stderr = os.Stderr
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}

	var out strings.Builder
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "Otherwise ") {
		out.WriteString(lines.Text() + "\n")
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // the test's context has ended it
	return out.String()
}

func must(path string, err error) string {
	if err != nil {
		panic(err)
	}
	return path
}

// scan has an attacker try unknown accounts over TCP, whose evidence is proven.
func scan(t *testing.T, w *world, from netip.Addr, n int) {
	t.Helper()
	for i := range n {
		c := w.dial(t, lab.Attack, sip.TCP, from)
		_, err := c.Attempt(t.Context(), sip.Request{Method: "REGISTER", From: fmt.Sprint(9100 + i)})
		if err != nil {
			t.Logf("attempt %d: %v", i, err) // the ban may have come
		}
		c.Close()
	}
}
