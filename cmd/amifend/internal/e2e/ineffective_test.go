//go:build e2e

package e2e

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/e2e/lab"
	"github.com/amifend/amifend/cmd/amifend/internal/e2e/sip"
)

// Bans that drop nothing, one case for each cause: amifend logs the cause and what to do.
func TestIneffectiveBans(t *testing.T) {
	w := newWorld(t, "sid")

	t.Run("port not in sip_ports", func(t *testing.T) {
		d := w.amifend(t, settings{})
		c := w.dialPort(t, lab.Attack, sip.UDP, netip.MustParseAddr("198.51.100.71"), 5070)
		w.attackUntilBanned(t, d, c, unknown("REGISTER"))

		l := w.keepAttacking(t, c, d, sayNoEffect)
		if l.Cause != causePort || l.Port != 5070 || l.Source != c.Local.Addr().String() {
			t.Errorf("want %q, port 5070, said: %s", causePort, l.raw)
		}
		d.stop(t)

		// The operator does what the line asks for: the same source is dropped.
		d = w.amifend(t, settings{firewall: []string{`sip_ports = ["5060-5061", "5070/udp"]`}})
		sure := time.Now()
		c.Patience = 500 * time.Millisecond
		if unknown("REGISTER")(t.Context(), c, 0) == nil {
			t.Error("answered although its port is in sip_ports now")
		}
		w.silentSince(t, c.Local.Addr(), sure)
		d.stop(t)
	})

	t.Run("monitor outside the path", func(t *testing.T) {
		fingerprint, err := w.Fingerprint()
		if err != nil {
			t.Fatal(err)
		}
		d := w.amifend(t, settings{
			who:     lab.Mon,
			address: lab.PBX4.String() + ":5039",
			tls:     []string{fmt.Sprintf("fingerprint = %q", fingerprint)},
		})

		// The ban is in the monitor's kernel, and the traffic passes another one.
		c := w.dial(t, lab.Attack, sip.TCP, netip.MustParseAddr("198.51.100.72"))
		w.attackUntilBanned(t, d, c, unknown("REGISTER"))
		l := w.keepAttacking(t, c, d, sayNoEffect)
		if l.Cause != causePath || l.Source != c.Local.Addr().String() {
			t.Errorf("want %q, said: %s", causePath, l.raw)
		}
		d.stop(t)
	})

	t.Run("masquerade hides the sources", func(t *testing.T) {
		const rule = "table ip lab { chain post { type nat hook postrouting priority 100; " +
			"oifname pbx ip saddr 198.51.100.0/24 masquerade; }; }"
		if _, err := w.Exec(t.Context(), lab.GW, "nft", rule); err != nil {
			t.Fatal(err)
		}

		// The PBX sees the gateway, which is never banned: the attack goes on.
		d := w.amifend(t, settings{})
		c := w.dial(t, lab.Attack, sip.UDP, netip.MustParseAddr("198.51.100.73"))
		if l := w.keepAttacking(t, c, d, sayMasked); l.Address != lab.Gateway4.String() {
			t.Errorf("said of %s, want the gateway: %s", l.Address, l.raw)
		}
		w.unbanned(t, lab.PBX, lab.Gateway4)
	})
}

// keepAttacking goes on until amifend logs that its bans drop nothing, and returns that line. The
// PBX must answer all the time.
func (w *world) keepAttacking(t *testing.T, c *sip.Client, d *daemon, what string) line {
	t.Helper()
	surely(c)
	for n := range 200 {
		if err := unknown("REGISTER")(t.Context(), c, n); err != nil {
			t.Fatalf("the ban was meant to be ineffective: %v", err)
		}
		if l, ok := d.find(func(l line) bool { return l.Msg == what }); ok {
			return l
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("amifend did not say %q:\n%s", what, d)
	return line{}
}
