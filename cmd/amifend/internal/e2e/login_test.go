//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/e2e/lab"
	"github.com/amifend/amifend/cmd/amifend/internal/e2e/sip"
)

// Each problem at a real AMI has a name of its own in the log, so that an administrator reads one
// line and knows what to mend.
func TestLoginProblems(t *testing.T) {
	w := newWorld(t, "sid")
	fingerprint, err := w.Fingerprint()
	if err != nil {
		t.Fatal(err)
	}

	pinned := []string{`fingerprint = "` + fingerprint + `"`}
	other := []string{`fingerprint = "` + strings.Repeat("AB:", 31) + `AB"`}
	byName := []string{`server_name = "pbx.example"`}
	cases := []struct {
		problem string
		settings
		daemon *daemon
	}{
		{problem: "login refused", settings: settings{secret: "wrong"}},
		{problem: "login refused", settings: settings{username: "nobody"}},
		{problem: "no security events", settings: settings{username: "blind"}},
		{problem: "refused", settings: settings{address: "127.0.0.1:5099"}},
		// SIP, where the server waits for the client to speak.
		{problem: "no banner", settings: settings{address: "192.0.2.10:5060"}},
		{problem: "TLS required", settings: settings{address: "127.0.0.1:5039"}},
		{problem: "TLS not spoken", settings: settings{tls: pinned}},
		{
			problem:  "fingerprint mismatch",
			settings: settings{address: "127.0.0.1:5039", tls: other},
		},
		{
			problem:  "unknown CA",
			settings: settings{address: "127.0.0.1:5039", tls: byName},
		},
	}

	// All at once, each with a table of its own: some take ten seconds to be sure.
	for i := range cases {
		cases[i].firewall = []string{fmt.Sprintf("table = \"amifend_%d\"", i)}
		cases[i].daemon = w.startAmifend(t, cases[i].settings)
	}
	for _, tc := range cases {
		t.Run(tc.problem, func(t *testing.T) {
			d := tc.daemon
			d.wait(t, 15*time.Second, tc.problem, func(l line) bool {
				return l.Problem == tc.problem
			})
			if l, ok := d.find(func(l line) bool { return l.Msg == sayConnected }); ok {
				t.Errorf("said to be connected: %s", l.raw)
			}
			d.stop(t)
		})
	}
	t.Run("closed before the banner", func(t *testing.T) { testLockedOut(t, w) })
}

// A stranger uses up Asterisk's authlimit: amifend logs that, and is back when the idle connections
// are gone.
func testLockedOut(t *testing.T, w *world) {
	w.useUpAuthlimit(t)
	d := w.startAmifend(t, settings{})
	d.wait(t, soon, "closed before the banner", func(l line) bool {
		return l.Problem == "closed before the banner"
	})

	// authtimeout is 10 s.
	d.wait(t, 20*time.Second, sayConnected, func(l line) bool { return l.Msg == sayConnected })
	c := w.dial(t, lab.Attack, sip.UDP, netip.MustParseAddr("198.51.100.91"))
	w.attackUntilBanned(t, d, c, unknown("REGISTER"))
}

// useUpAuthlimit opens connections that never log in until Asterisk closes one at once: authlimit
// is 50 in etc/common/manager.conf.
func (w *world) useUpAuthlimit(t *testing.T) {
	t.Helper()
	for range 80 {
		var c net.Conn
		err := w.Net(lab.PBX).Do(func() (err error) {
			c, err = net.DialTimeout("tcp", "127.0.0.1:5038", 2*time.Second)
			return err
		})
		if err != nil {
			continue // its queue is ten places long
		}

		// Up to the limit it sends its banner at once, and beyond it closes.
		t.Cleanup(func() { c.Close() })
		if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 64)); errors.Is(err, io.EOF) {
			return
		}
	}
	t.Fatal("Asterisk never closed a connection without its banner")
}
