//go:build e2e

package e2e

import (
	"context"
	"errors"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/e2e/lab"
)

// The real tools of SIPVicious (2.1): a password cracker and a scanner for extensions.
func testTools(t *testing.T, w *world, d *daemon) {
	t.Run("svcrack", func(t *testing.T) {
		source := netip.MustParseAddr("203.0.113.50")
		w.tool(t, d, source, "svcrack", "-u", "1001", "-r", "1000-3000", lab.PBX4.String())
		b, ok := d.ban(source)
		if !ok {
			t.Fatalf("not banned; the witness saw %d events", len(w.tap.Events(source)))
		}
		if b.Attempts != 7 {
			t.Errorf("banned at attempt %d, want 7: %s", b.Attempts, b.raw)
		}
		explained(t, b)
		w.counted(t, source)
		w.silentSince(t, source, b.Time)
	})
}

// tool runs a tool from an address until it is banned and for a second longer, or ends by itself.
func (w *world) tool(t *testing.T, d *daemon, source netip.Addr, name string, args ...string) {
	t.Helper()
	if err := w.Source(t.Context(), source); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			if _, ok := d.ban(source); ok {
				time.AfterFunc(time.Second, cancel)
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	cmd := w.Command(ctx, lab.Attack, name, args...)
	cmd.Env = append(cmd.Environ(), "HOME="+t.TempDir()) // SIPVicious keeps its sessions there
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) || len(w.tap.Events(source)) == 0 {
		t.Fatalf("%s reached nothing: %v\n%s", name, err, out)
	}
}

// counted checks that the kernel counts packets of a banned source.
func (w *world) counted(t *testing.T, source netip.Addr) {
	t.Helper()
	e, ok := w.element(t, source)
	if !ok {
		t.Errorf("%s: no element in the kernel", source)
		return
	}
	if e.Packets == 0 {
		t.Errorf("%s: no packet counted as dropped: %+v", source, e)
	}
}
