//go:build e2e

package e2e

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/e2e/lab"
)

// tool is a real attacker's tool, where it attacks from, and the attempt that bans it.
type tool struct {
	from     string
	attempts int
	command  []string
}

// Real attackers' tools: SIPVicious' password cracker and extension scanner, and SIPp as a flooding
// caller.
func testTools(t *testing.T, w *world, d *daemon) {
	pbx := lab.PBX4.String()
	tools := []tool{
		{"198.18.50.1", 7, []string{"svcrack", "-u", "1001", "-r", "1000-3000", pbx}},
		// Against an Asterisk that answers alike for all accounts svwar ends after a request; the
		// attacker tries again.
		{"198.18.51.1", 4, []string{"svwar", "-m", "REGISTER", "-e", "9000-9100", pbx}},
		{"198.18.52.1", 4, []string{"svwar", "-m", "INVITE", "-e", "9000-9100", pbx}},
		{"198.18.53.1", 4, []string{
			"sipp", "-sn", "uac", "-i", "198.18.53.1", "-s", "600",
			"-r", "20", "-m", "100", "-nostdin", pbx,
		}},
	}
	if w.Release == "bullseye" {
		// chan_sip tells only of wrong answers to a challenge, and the others give none.
		tools = tools[:1]
	}

	for _, tc := range tools {
		t.Run(tc.command[0]+" "+tc.command[2], func(t *testing.T) {
			source := netip.MustParseAddr(tc.from)
			out := w.runTool(t, d, source, tc.command...)
			b, ok := d.ban(source)
			if !ok {
				t.Fatalf("not banned; the witness saw %d events; the tool said:\n%s",
					len(w.tap.Events(source)), out)
			}

			if b.Attempts != tc.attempts {
				t.Errorf("banned at attempt %d, want %d: %s", b.Attempts, tc.attempts, b.raw)
			}
			explained(t, b)
			if e, ok := w.element(t, source); !ok || e.Packets == 0 {
				t.Errorf("no packet of %s counted as dropped: %+v", source, e)
			}
			w.silentSince(t, source, b.Time)
		})
	}
}

// runTool runs a tool from an address, again when it ends, until the address is banned and for a
// second longer. It returns the tool's output.
func (w *world) runTool(t *testing.T, d *daemon, source netip.Addr, command ...string) string {
	t.Helper()
	if err := w.Source(t.Context(), source); err != nil {
		t.Fatal(err)
	}

	// A second longer, so that the kernel drops some of its packets.
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

	home := t.TempDir() // SIPVicious keeps its sessions there
	var out []byte
	for ctx.Err() == nil {
		cmd := w.Command(ctx, lab.Attack, command[0], command[1:]...)
		cmd.Env = append(cmd.Environ(), "HOME="+home)
		cmd.Dir = home
		// A tool that reaches nobody fails, as it should once it is banned.
		said, _ := cmd.CombinedOutput()
		out = append(out, said...)
	}
	return string(out)
}
