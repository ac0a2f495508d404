package demo

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/amifend/amifend/firewall/firewalltest"
	"github.com/amifend/amifend/firewall/sandbox"
)

// TestMain is also the program that the demo runs again in its sandbox.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "demo" {
		os.Exit(demoMain(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == "useless" {
		_ = tellOutside(errors.New("it has no\nnftables")) // the one outside tells
		os.Exit(1)
	}
	firewalltest.Main(withLoopback{m})
}

// withLoopback runs the tests where 127.0.0.1 can be reached: in the sandbox that a user gets, it
// is down at first.
type withLoopback struct{ m *testing.M }

func (w withLoopback) Run() int {
	if os.Geteuid() == 0 {
		if err := sandbox.RaiseLoopback(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return w.m.Run()
}

// demoMain is `amifend demo`.
func demoMain(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	o := Options{Out: os.Stdout, Args: os.Args[1:]}
	flags := flag.NewFlagSet("demo", flag.ExitOnError)
	flags.DurationVar(&o.For, "for", Shortest, "")
	flags.StringVar(&o.Log, "log", "", "")
	_ = flags.Parse(args) // it exits
	err := Run(ctx, o)
	if err != nil && !errors.Is(err, ErrFailed) {
		fmt.Println("amifend:", err)
	}
	if err != nil {
		return 1
	}

	return 0
}

// TestDemo plays the demo with packets and a kernel, in a network namespace that stands for the
// host's.
func TestDemo(t *testing.T) {
	t.Parallel()
	host := firewalltest.New(t)
	log := filepath.Join(t.TempDir(), "log")
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "demo", "-for=12s", "-log="+log)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}

	cmd.Stderr = cmd.Stdout
	host.Do(t, cmd.Start)
	var out strings.Builder
	lines := bufio.NewScanner(pipe)

	// The host is looked at while bans exist, since the sandbox is gone at the end.
	for looked := false; lines.Scan(); {
		out.WriteString(lines.Text() + "\n")
		if len(lines.Text()) > width {
			t.Errorf("a line of %d columns: %s", len(lines.Text()), lines.Text())
		}

		if strings.Contains(lines.Text(), "BANNED") && !looked {
			looked = true
			untouched(t, host)
		}
	}

	if err := cmd.Wait(); err != nil {
		t.Errorf("the demo failed: %v\n%s", err, &out)
	}

	untouched(t, host)
	told(t, out.String(),
		"its nftables table are real.", "READY", "BANNED    203.0.113.5  SIP ports",
		"BANNED    198.51.100.20  SIP ports",
		"BANNED    203.0.113.77  all traffic", "BANNED    2001:db8:bad::/64  SIP ports",
		"DROPPED   203.0.113.5:",
		"OK        198.51.100.150: let in at try 3",
		"OK        198.51.100.200: 7 of 7 registrations", "OK        10.20.0.11: 500 packets",
		"ALERT     10.20.0.11  proved_source_guessing", "    alert proved_source_guessing: ",
		"All attackers were banned, and nobody else.")

	// The log is the daemon's own account of the same play.
	logged, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}

	if n := strings.Count(string(logged), "msg=banned"); n != 4 {
		t.Errorf("the daemon logged %d bans, want 4", n)
	}
}

// untouched checks that nothing was done to a network namespace.
func untouched(t *testing.T, host *firewalltest.NS) {
	t.Helper()
	if rules := host.NFT(t, "list", "ruleset"); rules != "" {
		t.Errorf("the host's firewall has been touched:\n%s", rules)
	}
	if links := host.Run(t, "ip", "-o", "link", "show", "up"); strings.Count(links, "\n") != 1 ||
		!strings.Contains(links, "lo:") {
		t.Errorf("the host's interfaces have been touched:\n%s", links)
	}
}

// slowMachine is the one complaint that is no fault: this machine had no time for the daemon.
const slowMachine = `WARN      msg="events had to wait for us"`

// told checks a story: what must be in it, and that the daemon had nothing to complain of.
func told(t *testing.T, out string, want ...string) {
	t.Helper()
	out = strings.ReplaceAll(out, slowMachine, "")
	for _, w := range want {
		if !strings.Contains(out, w) {
			t.Errorf("the story does not tell %q:\n%s", w, out)
		}
	}

	for _, bad := range []string{"WARN", "ERROR", "WRONG", "NOT BANNED"} {
		if strings.Contains(out, bad) {
			t.Errorf("the story tells %s:\n%s", bad, out)
		}
	}
}

// TestWithoutNamespaces takes away what the demo needs of the kernel, by limits that hold for a
// user namespace only.
func TestWithoutNamespaces(t *testing.T) {
	t.Parallel()
	firewalltest.New(t) // the test needs what it takes away
	for name, tc := range map[string]struct {
		limit string
		want  []string
	}{
		"no sandbox": {"echo 0 > /proc/sys/user/max_user_namespaces", []string{
			"Dry run: no packets are sent", "user.max_user_namespaces",
			"WOULDBAN  203.0.113.77  all traffic",
			"All attackers would be banned, and nobody else.",
		}},
		"no second network": {"echo 2 > /proc/sys/user/max_net_namespaces", []string{
			"No packets are sent", "make a second network", "BANNED    203.0.113.77  all traffic",
			"All attackers were banned, and nobody else.",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}

			var out strings.Builder
			cmd := sandbox.Command(t.Context(), "sh", "-ec",
				`ip link set lo up; `+tc.limit+`; exec "$0" demo -for=6s`, self)

			cmd.SysProcAttr.Pdeathsig = 0 // of this thread, which may end before the test
			cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, &out, &out
			if err := cmd.Run(); err != nil {
				t.Errorf("the demo failed: %v", err)
			}

			told(t, out.String(), tc.want...)
		})
	}
}

// A sandbox can be had and be of no use: AppArmor's profile for unprivileged user namespaces leaves
// them without rights.
func TestUselessSandbox(t *testing.T) {
	t.Parallel()
	firewalltest.New(t)
	var out strings.Builder
	if err := Run(t.Context(),
		Options{For: Shortest, Out: &out, Args: []string{"useless"}}); err != nil {
		t.Errorf("the demo failed: %v", err)
	}
	told(t, out.String(), "Dry run: no packets", "it has no; nftables", "WOULDBAN  203.0.113.5")
}

// Whatever the environment says, nothing is played in the host's network.
func TestRefusesTheHostsNetwork(t *testing.T) {
	t.Parallel()
	for name, enter := range map[string]func(host *firewalltest.NS) string{
		"the one outside": func(host *firewalltest.NS) string {
			return strings.TrimSpace(host.Run(t, "readlink", "/proc/self/ns/net"))
		},
		"one in use": func(host *firewalltest.NS) string {
			firewalltest.Join(t, host, firewalltest.New(t), []string{"192.0.2.10/24"},
				[]string{"192.0.2.1/24"})
			return "another"
		},
	} {
		t.Run(name, func(t *testing.T) {
			host := firewalltest.New(t)
			outside := enter(host)
			before := host.Run(t, "ip", "-o", "addr")

			// The variable claims that the process is in the sandbox, as after a mistake.
			cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "demo", "-for=6s")
			cmd.Env = append(os.Environ(), envOutside+"="+outside)

			var out []byte
			host.Do(t, func() (err error) {
				out, err = cmd.CombinedOutput()
				if err == nil {
					return errors.New("it played")
				}
				return nil
			})

			rules, after := host.NFT(t, "list", "ruleset"), host.Run(t, "ip", "-o", "addr")
			if rules != "" || before != after {
				t.Errorf("the host has been touched:\n%s%s%s", rules, after, out)
			}
		})
	}
}

// An end before the time is no failure, and has a summary.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	firewalltest.New(t)
	for name, signal := range map[string]func(pid int) error{
		"the program alone": func(pid int) error {
			return syscall.Kill(pid, syscall.SIGTERM)
		},
		"all at the terminal, Ctrl-C": func(pid int) error {
			return syscall.Kill(-pid, syscall.SIGINT)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "demo", "-for=60s")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			pipe, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}

			cmd.Stderr = cmd.Stdout
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}

			began := time.Now()
			var out strings.Builder
			lines := bufio.NewScanner(pipe)

			// The first attack shows that the play has begun. Then it is interrupted.
			for lines.Scan() {
				out.WriteString(lines.Text() + "\n")
				if strings.Contains(lines.Text(), "ATTACK") {
					if err := signal(cmd.Process.Pid); err != nil {
						t.Fatal(err)
					}
				}
			}

			if err := cmd.Wait(); err != nil {
				t.Errorf("interrupted: %v\n%s", err, &out)
			}
			if time.Since(began) > 30*time.Second {
				t.Errorf("it played on for %v", time.Since(began))
			}
			if !strings.Contains(out.String(), "Ended early") {
				t.Errorf("no summary:\n%s", &out)
			}
		})
	}
}

func TestTimeOutOfRange(t *testing.T) {
	for _, long := range []time.Duration{0, Shortest - 1, Longest + 1} {
		if err := Run(t.Context(), Options{For: long}); err == nil {
			t.Errorf("%v is taken", long)
		}
	}
}
