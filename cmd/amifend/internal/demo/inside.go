package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/firewall/sandbox"
)

// How the process in the sandbox and the one outside find each other.
const (
	// envOutside marks the process in the sandbox. Its value is the network namespace of the outer
	// process.
	envOutside = "AMIFEND_DEMO_OUTSIDE"
	// fdWhyNot is the descriptor on which the inner process reports why the sandbox is of no use.
	fdWhyNot = 3
	// ownNetwork identifies the network namespace of a process, namespaces(7).
	ownNetwork = "/proc/self/ns/net"
)

// noSandboxError is the reason why there is no private network.
type noSandboxError struct{ why string }

func (e *noSandboxError) Error() string { return "no private network namespace: " + e.why }

// isInside reports whether this is the process in the sandbox.
func isInside() bool { return os.Getenv(envOutside) != "" }

// runSandboxed runs this program again in a sandbox. A *noSandboxError means that it could not play
// there and has printed nothing.
func runSandboxed(ctx context.Context, o Options) error {
	outside, err := os.Readlink(ownNetwork)
	if err != nil {
		return &noSandboxError{err.Error()}
	}

	whyNot, tell, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	defer whyNot.Close()

	runtime.LockOSThread() // the sandbox ends with the thread that made it
	defer runtime.UnlockOSThread()

	cmd := sandbox.Command(ctx, "/proc/self/exe", o.Args...)
	cmd.Env = append(os.Environ(), envOutside+"="+outside)
	cmd.Stdout = o.Out
	cmd.ExtraFiles = []*os.File{tell}

	// An interrupted demo still prints its summary.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	err = cmd.Start()
	tell.Close() // the sandbox has a copy; without ours, reading ends when the sandbox ends
	if err != nil {
		return &noSandboxError{sandbox.Explain(err).Error()}
	}

	why, readErr := io.ReadAll(io.LimitReader(whyNot, 4096))
	err = cmd.Wait()
	var exit *exec.ExitError

	// The order matters: an interrupted sandbox fails too, and so does one that reports a reason.
	switch {
	case ctx.Err() != nil && (cmd.ProcessState.Success() || !cmd.ProcessState.Exited()):
		return nil // an early end is not a failure
	case len(why) > 0:
		return &noSandboxError{string(why)}
	case errors.As(err, &exit) && exit.Exited():
		return ErrFailed // its output names the reason
	case err != nil:
		return fmt.Errorf("run the sandbox: %w", err)
	case readErr != nil:
		return fmt.Errorf("hear from the sandbox: %w", readErr)
	}

	return nil
}

// checkInside returns an error unless this is a private network: the demo must not ban on the host.
func checkInside() error {
	here, err := os.Readlink(ownNetwork)
	if err != nil {
		return fmt.Errorf("find our network namespace: %w", err)
	}
	if here == os.Getenv(envOutside) {
		return errors.New("it is the same as outside")
	}

	// Another namespace is not enough: it must be a new one that nobody else uses.
	ifaces, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}

	for _, i := range ifaces {
		// A new namespace has lo, and on some kernels tunnels that nobody uses
		// (net.core.fb_tunnels_only_for_init_net).
		if i.Flags&net.FlagLoopback == 0 && i.Flags&net.FlagUp != 0 {
			return fmt.Errorf("it has the interface %s in use", i.Name)
		}
	}

	if err := sandbox.RaiseLoopback(); err != nil {
		return err
	}

	// Without rights to nftables, the daemon would fail later with a worse message.
	table, err := firewall.Open(firewall.Options{})
	if err != nil {
		return err
	}

	return table.Close()
}

// tellOutside reports to the outer process why it should play without the sandbox.
func tellOutside(why error) error {
	f := os.NewFile(fdWhyNot, "reason")
	defer f.Close()
	if _, err := io.WriteString(f, strings.ReplaceAll(why.Error(), "\n", "; ")); err != nil {
		return errors.Join(why, err)
	}
	return ErrFailed
}
