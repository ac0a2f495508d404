//go:build e2e

package e2e

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/e2e/lab"
	"github.com/amifend/amifend/cmd/amifend/internal/e2e/sip"
)

// The transports of the ten phones of Asterisk 22.
var allTransports = []sip.Transport{
	sip.UDP, sip.UDP, sip.UDP, sip.TCP, sip.TLS, sip.UDP, sip.WS, sip.TCP, sip.WSS, sip.UDP,
}

// The main job: attackers are banned and dropped, ten phones register and call throughout.
func TestAsterisk22(t *testing.T) {
	w := newWorld(t, "sid")
	d := w.amifend(t, settings{allow: []string{lab.ITSP.String()}})
	phones := startFleet(t, w, allTransports...)

	t.Run("scanners", func(t *testing.T) { testScanners(t, w, d) })
	t.Run("tools", func(t *testing.T) { testTools(t, w, d) })
	t.Run("second address of a /64", func(t *testing.T) { testSlash64(t, w, d) })
	t.Run("injection", func(t *testing.T) { testInjection(t, w, d) })
	t.Run("forgery", func(t *testing.T) { testForgery(t, w, d, phones) })

	phones.works(t)
	for _, p := range phones.phones {
		w.unbanned(t, lab.PBX, p.Local.Addr())
	}
	t.Logf("ten phones registered and called %d times", phones.stop())
}

// A scanner of unknown accounts is banned at its fourth attempt, a guesser of a known one's password at its seventh,
// over every transport and both families.
func testScanners(t *testing.T, w *world, d *daemon) {
	for _, tc := range []struct {
		name      string
		transport sip.Transport
		from      string
		try       attempt
		attempts  int
	}{
		{"REGISTER over UDP, IPv4", sip.UDP, "198.51.100.31", unknown("REGISTER"), 4},
		{"REGISTER over UDP, IPv6", sip.UDP, "2001:db8:bad:31::1", unknown("REGISTER"), 4},
		{"INVITE over UDP", sip.UDP, "198.51.100.32", unknown("INVITE"), 4},
		{"OPTIONS over UDP", sip.UDP, "198.51.100.33", unknown("OPTIONS"), 4},
		{"credentials at once over UDP", sip.UDP, "198.51.100.34", unknownWithCredentials, 4},
		{"challenge answered over UDP", sip.UDP, "198.51.100.35", guessUnknown, 4},
		{"TCP, IPv4", sip.TCP, "198.51.100.36", unknown("REGISTER"), 4},
		{"TCP, IPv6", sip.TCP, "2001:db8:bad:36::1", unknown("INVITE"), 4},
		{"TLS, IPv4", sip.TLS, "198.51.100.37", unknown("INVITE"), 4},
		{"TLS, IPv6", sip.TLS, "2001:db8:bad:37::1", unknown("REGISTER"), 4},
		{"WS, IPv4", sip.WS, "198.51.100.38", unknown("REGISTER"), 4},
		{"WS, IPv6", sip.WS, "2001:db8:bad:38::1", unknown("REGISTER"), 4},
		{"WSS, IPv4", sip.WSS, "198.51.100.39", unknownWithCredentials, 4},
		{"passwords over UDP", sip.UDP, "198.51.100.40", guess, 7},
		{"passwords over TCP, IPv6", sip.TCP, "2001:db8:bad:40::1", guess, 7},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := w.dial(t, lab.Attack, tc.transport, netip.MustParseAddr(tc.from))
			b := w.attackUntilBanned(t, d, c, tc.try)
			if b.Attempts != tc.attempts {
				t.Errorf("banned at attempt %d, want %d: %s", b.Attempts, tc.attempts, b.raw)
			}
			scope := "all" // a source that is proven by its transport loses every port
			if tc.transport == sip.UDP {
				scope = "sip"
			}
			if b.Scope != scope {
				t.Errorf("scope %q, want %q: %s", b.Scope, scope, b.raw)
			}
			explained(t, b)
			t.Logf("in the kernel %s after the last event before", w.reaction(b, c.Local.Addr()))
			w.dropped(t, b, c, tc.try)
			if tc.transport != sip.UDP {
				w.noWayIn(t, c)
			}
		})
	}
}

// explained checks that a ban's line says which events, which rule, until when and how to undo it.
func explained(t *testing.T, b line) {
	t.Helper()
	if b.Rule == "" || b.Evidence == "" || b.Undo == "" || !b.Until.After(b.Time) {
		t.Errorf("ban not explained: %s", b.raw)
	}
}

// noWayIn checks that a banned source cannot connect again.
func (w *world) noWayIn(t *testing.T, c *sip.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	again, err := sip.Dial(ctx, w.Net(lab.Attack), c.Transport, netip.AddrPortFrom(c.Local.Addr(), 0), c.Remote)
	if err == nil {
		again.Close()
		t.Errorf("%s %s: connected after its ban", c.Transport, c.Local)
	}
}

// One address of a /64 is banned alone; from the second on the whole /64 is.
func testSlash64(t *testing.T, w *world, d *daemon) {
	first := w.dial(t, lab.Attack, sip.TCP, netip.MustParseAddr("2001:db8:bad:64::1"))
	w.attackUntilBanned(t, d, first, unknown("REGISTER"))
	prefix := netip.MustParsePrefix("2001:db8:bad:64::/64")
	for _, e := range w.bans(t, lab.PBX) {
		if e.Prefix == prefix {
			t.Errorf("the /64 is banned for one address: %+v", e)
		}
	}
	second := w.dial(t, lab.Attack, sip.TCP, netip.MustParseAddr("2001:db8:bad:64::2"))
	whole := func(l line) bool { return l.Msg == sayBanned && l.Source == prefix.String() }
	for n := range mostTries {
		_ = unknown("REGISTER")(t.Context(), second, n) // it is cut off at some try
		if _, ok := d.find(whole); ok {
			break
		}
		time.Sleep(pause)
	}
	b := d.wait(t, soon, "the /64 banned", whole)
	explained(t, b)
	third, err := sip.Dial(within(t, 500*time.Millisecond), w.Net(lab.Attack), sip.TCP,
		netip.MustParseAddrPort("[2001:db8:bad:64::3]:0"), pbxFor(lab.PBX6, 5060))
	if err == nil {
		third.Close()
		t.Error("an address of the banned /64 connected")
	}
}
