//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/e2e/lab"
	"github.com/amifend/amifend/cmd/amifend/internal/e2e/sip"
)

// scripts is the folder examples/lab, relative to this one.
const scripts = "../../../../examples/lab"

// program builds the program under test, once, and returns its path.
var program func() (string, error)

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run prepares what every test needs, and runs the tests. If something is missing it returns 1 and
// says on stderr what to do.
func run(m *testing.M) int {
	ctx := context.Background()
	for _, release := range []string{"sid", "bullseye"} {
		build := exec.CommandContext(ctx, filepath.Join(scripts, "build-asterisk.sh"), release)
		build.Stderr = os.Stderr // says what is missing, and as a user: what to install
		if err := build.Run(); err != nil {
			fmt.Fprintf(os.Stderr, "e2e: build Asterisk (%s): %v\n", release, err)
			return 1
		}
	}

	if err := lab.RemoveLeftovers(ctx, scripts); err != nil {
		fmt.Fprintf(os.Stderr, "e2e: remove labs of earlier runs: %v\n", err)
		return 1
	}

	// Built at its first use: a run of a few tests may need none.
	dir, err := os.MkdirTemp("", "amifend-e2e-")
	if err != nil {
		fmt.Fprintf(os.Stderr, "e2e: make a folder: %v\n", err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = sync.OnceValues(func() (string, error) { return buildProgram(ctx, dir) })
	return m.Run()
}

func buildProgram(ctx context.Context, dir string) (string, error) {
	const source = "github.com/amifend/amifend/cmd/amifend"
	path := filepath.Join(dir, "amifend")
	build := exec.CommandContext(ctx, "go", "build", "-o", path, source)
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build amifend: %w\n%s", err, out)
	}
	return path, nil
}

// world is one lab with its witness, for one test and its subtests.
type world struct {
	*lab.Lab
	tap   *lab.Tap
	shift uint16 // added to the SIP ports: PJSIP of Asterisk 16 has ports of its own
}

// newWorld brings a lab up; it goes down with the test. A name distinguishes it from labs of the
// same release that are up at the same time.
func newWorld(t *testing.T, release string, name ...string) *world {
	t.Helper()
	unique := lab.Unique(strings.Join(append([]string{release}, name...), "-"))
	l, err := lab.Up(t.Context(), scripts, unique, release)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Down(); err != nil {
			t.Error(err)
		}
	})

	w := &world{Lab: l}
	w.openTap(t)
	return w
}

// openTap connects the witness; again, after Asterisk was started again.
func (w *world) openTap(t *testing.T) {
	t.Helper()
	tap, err := w.OpenTap(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tap.Close() })
	w.tap = tap
}

// dial connects from an address in a namespace to the PBX.
func (w *world) dial(t *testing.T, who lab.Who, tr sip.Transport, from netip.Addr) *sip.Client {
	t.Helper()
	return w.dialPort(t, who, tr, from, tr.Port()+w.shift)
}

// dialPort does the same with another port of the PBX.
func (w *world) dialPort(
	t *testing.T, who lab.Who, tr sip.Transport, from netip.Addr, port uint16,
) *sip.Client {
	t.Helper()
	local := netip.AddrPortFrom(from, 0)
	c, err := sip.Dial(t.Context(), w.Net(who), tr, local, pbxFor(from, port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// pbxFor returns the address of the PBX in the family of a client's address.
func pbxFor(from netip.Addr, port uint16) netip.AddrPort {
	if from.Is6() {
		return netip.AddrPortFrom(lab.PBX6, port)
	}
	return netip.AddrPortFrom(lab.PBX4, port)
}

// phone connects a phone of the lab from an address. It does not register it.
func (w *world) phone(t *testing.T, tr sip.Transport, from netip.Addr, user string) *sip.Phone {
	t.Helper()
	return sip.NewPhone(w.dial(t, lab.Phones, tr, from), user, "lab-pw-"+user)
}

// soon is how long the tests wait for something that takes milliseconds on a machine that is not
// busy.
const soon = 10 * time.Second

// surely makes an attacker wait long for its answers: for tests in which the PBX must answer.
func surely(c *sip.Client) *sip.Client {
	c.Patience = soon
	return c
}

// within returns a context that ends after d, or with the test.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits until ok holds, for d at most.
func eventually(t *testing.T, d time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", d, what)
		}
	}
}
