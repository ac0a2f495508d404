//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/amifend/amifend/cmd/amifend/internal/e2e/lab"
)

// unpackFail2ban is the script that provides Debian's fail2ban, relative to this folder.
const unpackFail2ban = "../../../../.ci/fail2ban"

// TestSession runs the scripts in testdata/script, each in a lab of its own: an operator's days. In
// a script `exec amifend …` runs the program on the machine of the PBX and `exec pbx …` any other.
// Commands of its own:
//
//	daemon start CONFIG      starts amifend there, and waits until it has logged in; `stop` ends it
//	                         in order, `kill` as a crash does, `hup` has it read its config again
//	reboot                   the machine loses its power: amifend is killed, the namespaces with all
//	                         in their kernels are gone, new ones come up with Asterisk; the disk stays
//	attack ADDR COMMAND...   runs a tool of attackers from an address until amifend has banned it
//	guess ADDR ACCOUNT       guesses passwords of an account over TCP until it is banned; ten, before
//	                         the first amifend runs
//	[!] phone ADDR ACCOUNT   a phone registers over TCP with the right password; `!`: no answer
//	[!] kernel ADDR          waits until the kernel of the PBX has the address among the banned;
//	                         `!`: it has not, now
//	says TEXT                waits until the log of the running amifend has the text
//	told STATE...            checks the next states that systemd is sent
//	await TEXT COMMAND...    repeats a command until its output has the text
//	exits CODE COMMAND...    checks an exit code
//	as USER COMMAND...       runs a command as nobody, as reader (of read_group), or as admin (of both
//	                         groups)
//	refused USER COMMAND...  the same, and the user must be told that they have no right
//	expand FILE...           puts the environment's values into files
//
// `exec fail2ban-server` and `exec fail2ban-client` are Debian's, with the configuration in the
// folder fail2ban of the script.
func TestSession(t *testing.T) {
	//nolint:usetesting // other users have to get in
	root, err := os.MkdirTemp("/tmp", "amifend-session-")
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
		Dir:                 "testdata/script",
		WorkdirRoot:         root,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               func(env *testscript.Env) error { return newSession(env, path) },
		Cmds: map[string]scriptCommand{
			"daemon":  command((*session).daemonCommand),
			"reboot":  command((*session).reboot),
			"attack":  command((*session).attack),
			"guess":   command((*session).guess),
			"phone":   command((*session).phone),
			"kernel":  command((*session).kernel),
			"says":    command((*session).says),
			"told":    command((*session).told),
			"await":   command((*session).await),
			"exits":   command((*session).exits),
			"as":      command((*session).as),
			"refused": command((*session).refused),
			"expand":  expand,
		},
	})
}

// script is a test in the form that testscript takes.
type script struct{ *testing.T }

func (s script) Run(name string, f func(testscript.T)) {
	s.T.Run(name, func(t *testing.T) { f(script{t}) })
}
func (s script) Verbose() bool { return testing.Verbose() }

// session is the state of one script.
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

// sessionKey is the key of the session among a script's values.
type sessionKey struct{}

// newSession brings up a lab, and writes the programs that a script runs into a folder of its PATH.
func newSession(env *testscript.Env, program string) error {
	t := env.T().(script).T
	name := strings.TrimPrefix(filepath.Base(env.WorkDir), "script-")
	s := &session{
		world: newWorld(t, "sid", name), t: t, work: env.WorkDir, program: program,
	}
	env.Values[sessionKey{}] = s
	env.Setenv("LAB", s.Run)
	env.Setenv("PBX", lab.PBX4.String())
	bin := filepath.Join(env.WorkDir, "bin")
	env.Setenv("PATH", bin+":"+env.Getenv("PATH"))

	out, err := exec.CommandContext(t.Context(), unpackFail2ban).Output()
	if err != nil {
		return fmt.Errorf("unpack fail2ban: %w", err)
	}
	fail2ban := strings.TrimSpace(string(out))

	// The script plays systemd: it reads what the daemon notifies.
	address := &net.UnixAddr{Name: s.notifySocket(), Net: "unixgram"}
	if s.systemd, err = net.ListenUnixgram("unixgram", address); err != nil {
		return err
	}
	t.Cleanup(func() { s.systemd.Close() })

	// A program of that name is a shell script that enters the namespace of the PBX.
	inside := fmt.Sprintf("ip netns exec %s", s.Net(lab.PBX))
	programs := map[string]string{"amifend": inside + " " + program, "pbx": inside}
	for _, name := range []string{"fail2ban-server", "fail2ban-client"} {
		programs[name] = fmt.Sprintf("env PYTHONPATH=%[1]s/usr/lib/python3/dist-packages "+
			"/usr/bin/python3 -B %[1]s/usr/bin/%[2]s "+
			"-c %[3]s/fail2ban -s %[3]s/f2b.sock -p %[3]s/f2b.pid",
			fail2ban, name, env.WorkDir)
	}

	if err := errors.Join(os.Mkdir(bin, 0o755), s.boot()); err != nil {
		return err
	}
	for name, command := range programs {
		text := fmt.Appendf(nil, "#!/bin/sh\nexec %s \"$@\"\n", command)
		if err := os.WriteFile(filepath.Join(bin, name), text, 0o755); err != nil {
			return err
		}
	}
	config := os.DirFS(filepath.Join(fail2ban, "etc/fail2ban"))
	return os.CopyFS(filepath.Join(env.WorkDir, "fail2ban"), config)
}

// start starts the daemon with the id and the clocks of this boot, and waits until it has logged
// in.
func (s *session) start() {
	s.t.Helper()
	const run = `mount --bind "$1" /proc/sys/kernel/random/boot_id &&
		exec nsenter --time="$2" "$3" run --config "$4"`
	cmd := s.Command(s.t.Context(), lab.PBX, "sh", "-c", run, "sh",
		s.bootFile(), s.clock, s.program, s.config)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+s.notifySocket())
	s.d = s.launch(s.t, cmd)
	s.d.wait(s.t, soon, sayRuns, func(l line) bool { return l.Msg == sayRuns })
	s.d.wait(s.t, soon, sayConnected, func(l line) bool { return l.Msg == sayConnected })
}

func (s *session) notifySocket() string { return filepath.Join(s.work, "notify.sock") }

func (s *session) bootFile() string { return filepath.Join(s.work, "boot_id") }

// boot gives the machine a new id of its boot (random(4)), and clocks that count since then
// (time_namespaces(7)).
func (s *session) boot() error {
	s.boots++
	id := fmt.Appendf(nil, "00000000-0000-4000-8000-%012d\n", s.boots)
	if err := os.WriteFile(s.bootFile(), id, 0o644); err != nil {
		return err
	}

	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &up); err != nil {
		return err
	}

	// A time namespace lives as long as a process is in it.
	holder := exec.CommandContext(s.t.Context(), "unshare",
		"--time", "--monotonic", fmt.Sprint(-up.Sec), "--fork", "--kill-child",
		"sh", "-c", "echo; exec sleep infinity")
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

	// It writes a line when the namespace is there.
	s.clock = fmt.Sprintf("/proc/%d/ns/time_for_children", holder.Process.Pid)
	_, err = ready.Read(make([]byte, 1))
	return err
}
