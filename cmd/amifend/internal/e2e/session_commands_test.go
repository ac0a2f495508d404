//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/amifend/amifend/cmd/amifend/internal/e2e/lab"
	"github.com/amifend/amifend/cmd/amifend/internal/e2e/sip"
)

// scriptCommand is a command of a script: `! name args` calls it with neg.
type scriptCommand = func(ts *testscript.TestScript, neg bool, args []string)

// command makes a command of a script from a method of the session.
func command(run func(*session, *testscript.TestScript, bool, []string)) scriptCommand {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		run(ts.Value(sessionKey{}).(*session), ts, neg, args)
	}
}

// usage ends the script if a command is not written as it should be.
func usage(ts *testscript.TestScript, ok bool, text string) {
	if !ok {
		ts.Fatalf("usage: %s", text)
	}
}

func (s *session) daemonCommand(ts *testscript.TestScript, neg bool, args []string) {
	const help = "daemon start CONFIG | stop | kill | hup"
	usage(ts, !neg && (len(args) == 1 || len(args) == 2 && args[0] == "start"), help)
	switch args[0] {
	case "start":
		if len(args) == 2 {
			s.config = ts.MkAbs(args[1])
		}
		s.start()
	case "stop":
		s.d.stop(s.t)
	case "kill":
		s.d.kill()
	case "hup":
		ts.Check(s.d.cmd.Process.Signal(syscall.SIGHUP))
	default:
		usage(ts, false, help)
	}
}

func (s *session) reboot(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 0, "reboot")
	s.d.kill()
	ts.Check(s.Down())

	l, err := lab.Up(s.t.Context(), scripts, s.Name, s.Release)
	ts.Check(err)
	s.Lab = l
	s.openTap(s.t)
	ts.Check(s.boot())
}

func (s *session) attack(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) > 1, "attack ADDR COMMAND...")
	source := address(ts, args[0])
	out := s.runTool(s.t, s.d, source, args[1:]...)
	if _, ok := s.d.ban(source); !ok {
		ts.Fatalf("%s is not banned; the tool said:\n%s", source, out)
	}
}

func (s *session) guess(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 2, "guess ADDR ACCOUNT")
	source := address(ts, args[0])
	c := s.dial(s.t, behind(source), sip.TCP, source)
	try := func(ctx context.Context, c *sip.Client, n int) error {
		return guessOf(ctx, c, args[1], n)
	}
	if s.d != nil {
		s.attackUntilBanned(s.t, s.d, c, try)
		return
	}
	for n := range 10 {
		ts.Check(try(within(s.t, soon), c, n))
	}
}

func (s *session) phone(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, len(args) == 2, "[!] phone ADDR ACCOUNT")
	source, account := address(ts, args[0]), args[1]
	local := netip.AddrPortFrom(source, 0)
	pbx := netip.AddrPortFrom(lab.PBX4, 5060)

	c, err := sip.Dial(within(s.t, 2*time.Second), s.Net(behind(source)), sip.TCP, local, pbx)
	if err == nil {
		defer c.Close()
		p := sip.NewPhone(c, account, "lab-pw-"+account)
		err = p.Register(within(s.t, 2*time.Second), time.Minute)
	}
	if neg == (err == nil) {
		ts.Fatalf("register %s from %s: %v", account, source, err)
	}
}

func (s *session) kernel(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, len(args) == 1, "[!] kernel ADDR")
	a := address(ts, args[0])
	has := func() bool {
		_, ok := s.element(s.t, a)
		return ok
	}
	for end := time.Now().Add(soon); !neg && !has() && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
	if has() == neg {
		ts.Fatalf("the kernel has %+v", s.bans(s.t, lab.PBX))
	}
}

func (s *session) says(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 1, "says TEXT")
	s.d.wait(s.t, soon, args[0], func(l line) bool {
		return strings.Contains(l.raw, args[0])
	})
}

func (s *session) await(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) > 1, "await TEXT COMMAND...")
	var out []byte
	var err error
	for end := time.Now().Add(soon); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		// env finds the programs of the script.
		cmd := exec.CommandContext(s.t.Context(), "env", args[1:]...)
		cmd.Dir = s.work
		cmd.Env = append(os.Environ(), "PATH="+ts.Getenv("PATH"))
		if out, err = cmd.CombinedOutput(); err == nil && strings.Contains(string(out), args[0]) {
			return
		}
	}
	ts.Fatalf("%q does not come within %s; the last time: %v\n%s", args[0], soon, err, out)
}

func (s *session) exits(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) > 1, "exits CODE COMMAND...")
	got := 0
	err := ts.Exec(args[1], args[2:]...)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// Groups that every Debian has, in the place of amifend and amifend-admin. c.toml of the scripts
// names them.
const (
	readGroup  = "operator"
	adminGroup = "staff"
)

func (s *session) as(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) > 1, "as USER COMMAND...")
	ts.Check(s.asUser(ts, args[0], args[1:]))
}

// asUser runs a command with the groups of a user.
func (s *session) asUser(ts *testscript.TestScript, user string, command []string) error {
	groups := map[string]string{
		"nobody": "--clear-groups",
		"reader": "--groups=" + readGroup,
		"admin":  "--groups=" + readGroup + "," + adminGroup,
	}[user]
	usage(ts, groups != "", "a user is nobody, reader or admin")

	// The script of that name needs root: it enters the namespace of the PBX.
	if command[0] == "amifend" {
		command = slices.Concat([]string{s.program}, command[1:])
	}
	setpriv := []string{"--reuid=65534", "--regid=65534", groups}
	return ts.Exec("setpriv", slices.Concat(setpriv, command)...)
}

// noRight matches what a user without the right is told.
var noRight = regexp.MustCompile(`no right|may not do that|permission denied`)

func (s *session) refused(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) > 1, "refused USER COMMAND...")
	err := s.asUser(ts, args[0], args[1:])
	told := ts.ReadFile("stderr")
	exit := (*exec.ExitError)(nil)
	if !errors.As(err, &exit) || exit.ExitCode() != 1 ||
		!noRight.MatchString(told) || !strings.Contains(told, "\n  do: use sudo") {
		ts.Fatalf("as %s: want exit code 1, that the user has no right, and what to do: %v\n%s",
			args[0], err, told)
	}
}

func expand(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) > 0, "expand FILE...")
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
		ts.Check(os.Chmod(ts.MkAbs(name), 0o600)) // it was there before
	}
}

// behind returns the namespace where an address lives.
func behind(a netip.Addr) lab.Who {
	if netip.MustParsePrefix("10.20.0.0/24").Contains(a) {
		return lab.Phones
	}
	return lab.Attack
}

// address parses an argument.
func address(ts *testscript.TestScript, text string) netip.Addr {
	a, err := netip.ParseAddr(text)
	ts.Check(err)
	return a
}

// told checks the next states that the daemon sends to systemd, which is played here
// (sd_notify(3)).
func (s *session) told(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) > 0, "told STATE...")
	for _, want := range args {
		got := s.nextTold(ts)

		// The status and the watchdog come at times of their own.
		for strings.HasPrefix(got, "STATUS=") || got == "WATCHDOG=1" {
			got = s.nextTold(ts)
		}
		if !regexp.MustCompile("^" + want + "$").MatchString(got) {
			ts.Fatalf("systemd was told %q, want %q", got, want)
		}
	}
}

// nextTold returns the next thing that systemd was told.
func (s *session) nextTold(ts *testscript.TestScript) string {
	b := make([]byte, 4096)
	ts.Check(s.systemd.SetReadDeadline(time.Now().Add(soon)))
	n, err := s.systemd.Read(b)
	ts.Check(err)
	return string(b[:n])
}
