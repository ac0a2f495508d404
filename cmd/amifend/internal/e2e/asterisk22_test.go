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
	t.Run("second address of a /64", func(t *testing.T) {
		testPrefix(t, w, d, "2001:db8:b064:64::/64", "ban6_64", 2)
	})
	t.Run("fourth address of a /24", func(t *testing.T) {
		testPrefix(t, w, d, "198.18.64.0/24", "ban4_24", 4)
	})
	t.Run("injection", func(t *testing.T) { testInjection(t, w, d) })
	t.Run("forgery", func(t *testing.T) { testForgery(t, w, d, phones) })

	// After all the attacks: nobody's ban has taken a phone with it.
	phones.works(t)
	for _, p := range phones.phones {
		w.unbanned(t, lab.PBX, p.Local.Addr())
	}
	t.Logf("ten phones registered and called %d times", phones.stop())
}

// A scanner of unknown accounts is banned at its fourth attempt, a guesser of a known one's
// password at its seventh, over every transport and both families. Each is of a network of its own,
// so that none is banned for its neighbours.
func testScanners(t *testing.T, w *world, d *daemon) {
	for _, tc := range []struct {
		name      string
		transport sip.Transport
		from      string
		try       attempt
		attempts  int
	}{
		{"REGISTER over UDP, IPv4", sip.UDP, "198.18.31.1", unknown("REGISTER"), 4},
		{"REGISTER over UDP, IPv6", sip.UDP, "2001:db8:b031::1", unknown("REGISTER"), 4},
		{"INVITE over UDP", sip.UDP, "198.18.32.1", unknown("INVITE"), 4},
		{"OPTIONS over UDP", sip.UDP, "198.18.33.1", unknown("OPTIONS"), 4},
		{"credentials at once over UDP", sip.UDP, "198.18.34.1", unknownWithCredentials, 4},
		{"challenge answered over UDP", sip.UDP, "198.18.35.1", guessUnknown, 4},
		{"TCP, IPv4", sip.TCP, "198.18.36.1", unknown("REGISTER"), 4},
		{"TCP, IPv6", sip.TCP, "2001:db8:b036::1", unknown("INVITE"), 4},
		{"TLS, IPv4", sip.TLS, "198.18.37.1", unknown("INVITE"), 4},
		{"TLS, IPv6", sip.TLS, "2001:db8:b037::1", unknown("REGISTER"), 4},
		{"WS, IPv4", sip.WS, "198.18.38.1", unknown("REGISTER"), 4},
		{"WS, IPv6", sip.WS, "2001:db8:b038::1", unknown("REGISTER"), 4},
		{"WSS, IPv4", sip.WSS, "198.18.39.1", unknownWithCredentials, 4},
		{"passwords over UDP", sip.UDP, "198.18.40.1", guess, 7},
		{"passwords over TCP, IPv6", sip.TCP, "2001:db8:b040::1", guess, 7},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := w.dial(t, lab.Attack, tc.transport, netip.MustParseAddr(tc.from))
			b := w.attackUntilBanned(t, d, c, tc.try)

			if b.Attempts != tc.attempts {
				t.Errorf("banned at attempt %d, want %d: %s", b.Attempts, tc.attempts, b.raw)
			}
			if tc.transport == sip.UDP {
				lasts(t, b, "sip", shortBan)
			} else { // proven by its transport: it loses every port
				lasts(t, b, "all", time.Hour)
			}
			explained(t, b)
			reaction := w.reaction(b, c.Local.Addr())
			t.Logf("in the kernel %s after the last event before", reaction)

			// The kernel's word for it, and Asterisk's.
			w.dropped(t, b, c, tc.try)
			if tc.transport != sip.UDP {
				w.noWayIn(t, c)
			}
		})
	}
}

// lasts checks the scope and the time of a first ban.
func lasts(t *testing.T, b line, scope string, want time.Duration) {
	t.Helper()
	if b.Scope != scope {
		t.Errorf("scope %q, want %q: %s", b.Scope, scope, b.raw)
	}
	// A line is written when the kernel has acknowledged, a moment after the decision.
	if d := b.Until.Sub(b.Time); d > want || d < want-10*time.Second {
		t.Errorf("banned for %s, want %s: %s", d, want, b.raw)
	}
}

// explained checks that a ban's line has the events, the rule, the end and how to undo it.
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
	local := netip.AddrPortFrom(c.Local.Addr(), 0)
	again, err := sip.Dial(ctx, w.Net(lab.Attack), c.Transport, local, c.Remote)
	if err == nil {
		again.Close()
		t.Errorf("%s %s: connected after its ban", c.Transport, c.Local)
	}
}

// A prefix is banned once so many of its hosts were; those before are banned alone.
func testPrefix(t *testing.T, w *world, d *daemon, prefix, set string, hosts int) {
	p := netip.MustParsePrefix(prefix)
	inKernel := func() (e lab.Element, ok bool) {
		for _, e := range w.bans(t, lab.PBX) {
			if e.Prefix == p {
				return e, true
			}
		}
		return e, false
	}

	// One host fewer than it takes: each has a ban of its own, the prefix has none.
	addr := p.Addr().Next()
	for range hosts - 1 {
		c := w.dial(t, lab.Attack, sip.TCP, addr)
		w.attackUntilBanned(t, d, c, unknown("REGISTER"))
		if e, ok := inKernel(); ok {
			t.Fatalf("%s is banned already after its hosts up to %s: %+v", p, addr, e)
		}
		addr = addr.Next()
	}

	// Not attackUntilBanned: the ban of the prefix may take the place of this host's own.
	last := w.dial(t, lab.Attack, sip.TCP, addr)
	whole := func(l line) bool { return l.Msg == sayBanned && l.Source == p.String() }
	for n := range mostTries {
		_ = unknown("REGISTER")(t.Context(), last, n) // it is cut off at some try
		if _, ok := d.find(whole); ok {
			break
		}
		time.Sleep(pause)
	}
	b := d.wait(t, soon, p.String()+" banned", whole)
	explained(t, b)

	before, ok := inKernel()
	if !ok || before.Set != set || before.Timeout == 0 {
		t.Fatalf("%s is told to be banned, and the kernel has %+v, %t; want it in %s: %+v",
			p, before, ok, set, w.bans(t, lab.PBX))
	}
	w.wholePrefixDropped(t, p, addr.Next())
	if after, _ := inKernel(); after.Packets <= before.Packets {
		t.Errorf("%s: no packet counted as dropped: %d, then %d", p, before.Packets, after.Packets)
	}
}

// wholePrefixDropped checks that an address of a banned prefix that did nothing cannot connect, and
// that the last address before the prefix is answered.
func (w *world) wholePrefixDropped(t *testing.T, p netip.Prefix, inside netip.Addr) {
	t.Helper()
	ctx := within(t, 500*time.Millisecond)
	local := netip.AddrPortFrom(inside, 0)
	neighbour, err := sip.Dial(ctx, w.Net(lab.Attack), sip.TCP, local, pbxFor(inside, 5060))
	if err == nil {
		neighbour.Close()
		t.Errorf("%s, an address of the banned prefix, connected", inside)
	}

	outside := p.Addr().Prev()
	c := surely(w.dial(t, lab.Attack, sip.TCP, outside))
	m, err := c.Attempt(t.Context(), sip.Request{Method: "REGISTER", From: nobody(c, 0)})
	if err != nil || m.Status() != 401 {
		t.Errorf("%s, just outside of the banned prefix: %v, %v; want 401", outside, m, err)
	}
}
