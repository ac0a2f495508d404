//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/amifend/amifend/cmd/amifend/internal/e2e/lab"
	"github.com/amifend/amifend/cmd/amifend/internal/e2e/sip"
)

// unpackFail2ban is the script that provides Debian's fail2ban, seen from this folder.
const unpackFail2ban = "../../../../.ci/fail2ban"

// TestSession plays what an operator lives through: the scripts in testdata/script, each in a lab of its own. In a script
// `exec amifend …` runs the program on the machine of the PBX, `exec pbx …` any other, and there are commands of its own:
//
//	daemon start CONFIG        starts amifend there, and waits until it has logged in; `stop` ends it in order, `kill` as a
//	                           crash does, `hup` has it read its config again
//	reboot                     the machine loses its power: amifend is killed, the namespaces with all in their kernels are gone,
//	                           new ones come up with Asterisk; what is on the disk stays
//	attack ADDR COMMAND...     runs a tool of attackers from an address until amifend has banned the address
//	guess ADDR ACCOUNT         guesses passwords of an account over TCP until it is banned; ten, before the first
//	                           amifend runs
//	[!] phone ADDR ACCOUNT     a phone registers over TCP with the right password; `!`: it gets no answer
//	[!] kernel ADDR            waits until the kernel of the PBX has the address among the banned; `!`: it has not, now
//	says TEXT                  waits until the log of the running amifend has the text
//	told STATE...              checks what systemd is told next
//	await TEXT COMMAND...      repeats a command until its output has the text
//	exits CODE COMMAND...      checks an exit code
//	as USER COMMAND...         runs a command as nobody, as reader (of read_group), or as admin (of both groups)
//	refused USER COMMAND...    the same, and the user must be told that he may not
//	expand FILE...             puts the environment's values into files
//
// `exec fail2ban-server` and `exec fail2ban-client` are Debian's, with the configuration in the folder fail2ban of the script.
func TestSession(t *testing.T) {
	root, err := os.MkdirTemp("/tmp", "amifend-session-") //nolint:usetesting // other users have to get in
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	path, err := program()
	if err == nil {
		err = errors.Join(os.Chmod(root, 0o755), os.Chmod(filepath.Dir(path), 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
	testscript.RunT(script{t}, testscript.Params{
		Dir: "testdata/script", WorkdirRoot: root, RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error { return newSession(env, path) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"daemon": command((*session).daemonCommand), "reboot": command((*session).reboot), "attack": command((*session).attack),
			"guess": command((*session).guess), "phone": command((*session).phone), "kernel": command((*session).kernel),
			"says": command((*session).says), "told": command((*session).told), "await": command((*session).await), "exits": command((*session).exits),
			"as": command((*session).as), "refused": command((*session).refused), "expand": expand,
		},
	})
}

// script is a test as testscript wants it, and as the helpers of these tests do.
type script struct{ *testing.T }

func (s script) Run(name string, f func(testscript.T)) {
	s.T.Run(name, func(t *testing.T) { f(script{t}) })
}
func (s script) Verbose() bool { return testing.Verbose() }

// session is what a script works with.
type session struct {
	*world
	t       *testing.T
	d       *daemon // the last one
	config  string
	work    string
	program string
	boots   int
	clock   string // of the machine: a time namespace
	systemd *net.UnixConn
}

type sessionKey struct{}

func newSession(env *testscript.Env, program string) error {
	t := env.T().(script).T
	name := strings.TrimPrefix(filepath.Base(env.WorkDir), "script-")
	s := &session{world: newWorld(t, "sid", name), t: t, work: env.WorkDir, program: program}
	env.Values[sessionKey{}] = s
	env.Setenv("LAB", s.Run)
	env.Setenv("PBX", lab.PBX4.String())
	bin := filepath.Join(env.WorkDir, "bin")
	env.Setenv("PATH", bin+":"+env.Getenv("PATH"))
	out, err := exec.CommandContext(t.Context(), unpackFail2ban).Output()
	if err != nil {
		return fmt.Errorf("unpack fail2ban: %w", err)
	}
	inside := fmt.Sprintf("ip netns exec %s", s.Net(lab.PBX))
	if s.systemd, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: s.notifySocket(), Net: "unixgram"}); err != nil {
		return err
	}
	t.Cleanup(func() { s.systemd.Close() })
	programs := map[string]string{"amifend": inside + " " + program, "pbx": inside}
	for _, name := range []string{"fail2ban-server", "fail2ban-client"} {
		programs[name] = fmt.Sprintf("env PYTHONPATH=%[1]s/usr/lib/python3/dist-packages /usr/bin/python3 -B %[1]s/usr/bin/%[2]s -c %[3]s/fail2ban -s %[3]s/f2b.sock -p %[3]s/f2b.pid",
			strings.TrimSpace(string(out)), name, env.WorkDir)
	}
	if err := errors.Join(os.Mkdir(bin, 0o755), s.boot()); err != nil {
		return err
	}
	for name, command := range programs {
		if err := os.WriteFile(filepath.Join(bin, name), fmt.Appendf(nil, "#!/bin/sh\nexec %s \"$@\"\n", command), 0o755); err != nil {
			return err
		}
	}
	return os.CopyFS(filepath.Join(env.WorkDir, "fail2ban"), os.DirFS(filepath.Join(strings.TrimSpace(string(out)), "etc/fail2ban")))
}

// command is a method of the session as a command of the script.
func command(run func(*session, *testscript.TestScript, bool, []string)) func(*testscript.TestScript, bool, []string) {
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
	usage(ts, !neg && (len(args) == 1 || len(args) == 2 && args[0] == "start"), "daemon start CONFIG | stop | kill | hup")
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
		usage(ts, false, "daemon start CONFIG | stop | kill | hup")
	}
}

func (s *session) start() {
	s.t.Helper()
	const run = `mount --bind "$1" /proc/sys/kernel/random/boot_id && exec nsenter --time="$2" "$3" run --config "$4"`
	cmd := s.Command(s.t.Context(), lab.PBX, "sh", "-c", run, "sh", s.bootFile(), s.clock, s.program, s.config)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+s.notifySocket())
	s.d = s.launch(s.t, cmd)
	s.d.wait(s.t, soon, sayRuns, func(l line) bool { return l.Msg == sayRuns })
	s.d.wait(s.t, soon, sayConnected, func(l line) bool { return l.Msg == sayConnected })
}

func (s *session) notifySocket() string { return filepath.Join(s.work, "notify.sock") }

// told checks what systemd, which is played here, is told next (sd_notify(3)).
func (s *session) told(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) > 0, "told STATE...")
	for _, want := range args {
		b := make([]byte, 4096)
		ts.Check(s.systemd.SetReadDeadline(time.Now().Add(soon)))
		n, err := s.systemd.Read(b)
		ts.Check(err)
		if got := string(b[:n]); !regexp.MustCompile("^" + want + "$").MatchString(got) {
			ts.Fatalf("systemd was told %q, want %q", got, want)
		}
	}
}

func (s *session) bootFile() string { return filepath.Join(s.work, "boot_id") }

// boot gives the machine a new id of its boot (random(4)), and clocks that count since then (time_namespaces(7)).
func (s *session) boot() error {
	s.boots++
	if err := os.WriteFile(s.bootFile(), fmt.Appendf(nil, "00000000-0000-4000-8000-%012d\n", s.boots), 0o644); err != nil {
		return err
	}
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &up); err != nil {
		return err
	}
	holder := exec.CommandContext(s.t.Context(), "unshare", "--time", "--monotonic", fmt.Sprint(-up.Sec), "--fork", "--kill-child", "sh", "-c", "echo; exec sleep infinity")
	ready, err := holder.StdoutPipe()
	if err != nil {
		return err
	}
	if err := holder.Start(); err != nil {
		return err
	}
	s.t.Cleanup(func() {
		_ = holder.Process.Kill() // its end is no news
		_ = holder.Wait()
	})
	s.clock = fmt.Sprintf("/proc/%d/ns/time_for_children", holder.Process.Pid)
	_, err = ready.Read(make([]byte, 1))
	return err
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
	try := func(ctx context.Context, c *sip.Client, n int) error { return guessOf(ctx, c, args[1], n) }
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
	c, err := sip.Dial(within(s.t, 2*time.Second), s.Net(behind(address(ts, args[0]))), sip.TCP, netip.AddrPortFrom(address(ts, args[0]), 0), netip.AddrPortFrom(lab.PBX4, 5060))
	if err == nil {
		defer c.Close()
		err = sip.NewPhone(c, args[1], "lab-pw-"+args[1]).Register(within(s.t, 2*time.Second), time.Minute)
	}
	if neg == (err == nil) {
		ts.Fatalf("register %s from %s: %v", args[1], args[0], err)
	}
}

func (s *session) kernel(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, len(args) == 1, "[!] kernel ADDR")
	a := address(ts, args[0])
	has := func() bool { _, ok := s.element(s.t, a); return ok }
	for end := time.Now().Add(soon); !neg && !has() && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
	if has() == neg {
		ts.Fatalf("the kernel has %+v", s.bans(s.t, lab.PBX))
	}
}

func (s *session) says(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 1, "says TEXT")
	s.d.wait(s.t, soon, args[0], func(l line) bool { return strings.Contains(l.raw, args[0]) })
}

func (s *session) await(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) > 1, "await TEXT COMMAND...")
	var out []byte
	var err error
	for end := time.Now().Add(soon); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		cmd := exec.CommandContext(s.t.Context(), "env", args[1:]...) // it finds the programs of the script
		cmd.Dir, cmd.Env = s.work, append(os.Environ(), "PATH="+ts.Getenv("PATH"))
		if out, err = cmd.CombinedOutput(); err == nil && strings.Contains(string(out), args[0]) {
			return
		}
	}
	ts.Fatalf("%q does not come within %s; the last time: %v\n%s", args[0], soon, err, out)
}

func (s *session) exits(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) > 1, "exits CODE COMMAND...")
	got, err := 0, ts.Exec(args[1], args[2:]...)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// Groups that every Debian has, in the place of amifend and amifend-admin; c.toml of the scripts names them.
const (
	readGroup  = "operator"
	adminGroup = "staff"
)

func (s *session) as(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) > 1, "as USER COMMAND...")
	ts.Check(s.asUser(ts, args[0], args[1:]))
}

func (s *session) asUser(ts *testscript.TestScript, user string, command []string) error {
	groups := map[string]string{"nobody": "--clear-groups", "reader": "--groups=" + readGroup, "admin": "--groups=" + readGroup + "," + adminGroup}[user]
	usage(ts, groups != "", "a user is nobody, reader or admin")
	if command[0] == "amifend" { // the script of that name needs root: it enters the namespace of the PBX
		command = slices.Concat([]string{s.program}, command[1:])
	}
	return ts.Exec("setpriv", slices.Concat([]string{"--reuid=65534", "--regid=65534", groups}, command)...)
}

func (s *session) refused(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) > 1, "refused USER COMMAND...")
	err := s.asUser(ts, args[0], args[1:])
	exit, told := (*exec.ExitError)(nil), ts.ReadFile("stderr")
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !regexp.MustCompile(`no right|may not do that|permission denied`).MatchString(told) || !strings.Contains(told, "\n  do: use sudo") {
		ts.Fatalf("as %s: want exit code 1, that he has no right, and what to do: %v\n%s", args[0], err, told)
	}
}

func expand(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) > 0, "expand FILE...")
	for _, name := range args {
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(os.Expand(ts.ReadFile(name), ts.Getenv)), 0o600))
		ts.Check(os.Chmod(ts.MkAbs(name), 0o600))
	}
}

// behind is the namespace where an address lives.
func behind(a netip.Addr) lab.Who {
	if netip.MustParsePrefix("10.20.0.0/24").Contains(a) {
		return lab.Phones
	}
	return lab.Attack
}

func address(ts *testscript.TestScript, text string) netip.Addr {
	a, err := netip.ParseAddr(text)
	ts.Check(err)
	return a
}
