// Package firewalltest gives a test kernels of its own: network namespaces with real nftables,
// joined by real interfaces. Nothing that a test does in them reaches the machine's network.
//
// A test package calls [Main] from its TestMain. As root, namespaces are made at once; as a user,
// the test binary runs itself again as root of an unprivileged user namespace. Where that is
// forbidden, New skips with the reason, but with CI=true in the environment it fails.
package firewalltest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/vishvananda/netns"

	"github.com/amifend/amifend/firewall/sandbox"
)

// envInside marks the test binary that runs inside a sandbox. If sandboxing failed, its value is
// the reason.
const envInside = "FIREWALLTEST_INSIDE"

// Main runs the tests (a *testing.M, or something around one), as root or as root of a namespace of
// their own, and ends the process.
func Main(m interface{ Run() int }) {
	if os.Geteuid() == 0 || os.Getenv(envInside) != "" {
		os.Exit(m.Run())
	}
	cmd := sandbox.Command(context.Background(), "/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), envInside+"=yes")
	err := cmd.Run()

	var exit *exec.ExitError
	switch {
	case err == nil:
		os.Exit(0)
	case errors.As(err, &exit):
		os.Exit(max(exit.ExitCode(), 1))
	}

	// No sandbox: New skips each test with the reason. An Example cannot skip itself, so none is
	// run, but in CI they fail like the tests.
	err = os.Setenv(envInside, sandbox.Explain(err).Error())
	if err == nil && os.Getenv("CI") != "true" {
		err = flag.Set("test.skip", "^Example")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "firewalltest:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// NS is a network namespace. Its loopback interface is up.
type NS struct {
	handle netns.NsHandle
	links  int
}

// New makes a network namespace for a test. It is gone after the test.
func New(t testing.TB) *NS {
	t.Helper()
	ns, err := Open()
	if err != nil {
		unable(t, err.Error())
	}

	t.Cleanup(func() {
		if err := ns.Close(); err != nil {
			t.Error(err)
		}
	})
	return ns
}

// Open makes a network namespace for an Example, which has no [testing.TB]. The caller closes it.
func Open() (*NS, error) {
	if os.Geteuid() != 0 {
		reason := os.Getenv(envInside)
		if reason == "" {
			reason = "not root, and TestMain does not call firewalltest.Main"
		}
		return nil, errors.New(reason)
	}

	ns := &NS{handle: netns.None()}
	err := onOwnThread(func() (err error) {
		if ns.handle, err = netns.New(); err != nil { // moves the thread, which ends with us
			return fmt.Errorf("make network namespace: %w", err)
		}
		return sandbox.RaiseLoopback()
	})
	if err != nil {
		return nil, err
	}
	return ns, nil
}

// Close removes the namespace once nothing uses it any more.
func (n *NS) Close() error {
	if err := n.handle.Close(); err != nil {
		return fmt.Errorf("close network namespace: %w", err)
	}
	return nil
}

// unable skips a test that cannot have a kernel of its own. In CI it fails the test, as nobody must
// take a skipped test for a passed one.
func unable(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("no network namespace: %s", reason)
	}
	t.Skipf("no network namespace: %s", reason)
}

// FD returns the descriptor of the namespace, for firewall.Options.NetNS. It is open until the test
// ends.
func (n *NS) FD() int { return int(n.handle) }

// Do runs f in the namespace. The sockets and files that f opens belong to it, also after f
// returned. Goroutines and lookups that f starts do not run in it.
func (n *NS) Do(t testing.TB, f func() error) {
	t.Helper()
	if err := n.run(f); err != nil {
		t.Fatal(err)
	}
}

func (n *NS) run(f func() error) error {
	return onOwnThread(func() error {
		if err := netns.Set(n.handle); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return f()
	})
}

// Command returns the output of a program run in the namespace, both streams.
func (n *NS) Command(name string, args ...string) (string, error) {
	var out []byte
	err := n.run(func() (err error) {
		out, err = exec.Command(name, args...).CombinedOutput()
		return err
	})
	if err != nil {
		return string(out), fmt.Errorf("run %s %v: %w: %s", name, args, err, out)
	}

	return string(out), nil
}

// Run does the same as Command, and fails the test if the program fails.
func (n *NS) Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := n.Command(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// onOwnThread runs f on a thread of its own, which ends afterwards: f may change its namespace.
func onOwnThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime ends the thread with the goroutine
		done <- f()
	}()
	return <-done
}
