//go:build e2e

package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/e2e/lab"
	"github.com/amifend/amifend/cmd/amifend/internal/e2e/sip"
)

// The other tests are worth as much as the lab: phones must really register and call, and each kind
// of attack must really reach Asterisk and raise the events that it is meant to raise. amifend does
// not run here.
func TestLabItself(t *testing.T) {
	w := newWorld(t, "sid")

	t.Run("phones register and call over every transport", func(t *testing.T) {
		for i, tr := range []sip.Transport{sip.UDP, sip.TCP, sip.TLS, sip.WS, sip.WSS} {
			for _, from := range []string{"10.20.0.", "2001:db8:20::"} {
				addr := netip.MustParseAddr(fmt.Sprint(from, 101+i))
				p := w.phone(t, tr, addr, fmt.Sprint(1001+i))
				if err := p.Register(within(t, soon), time.Minute); err != nil {
					t.Errorf("%s from %s: %v", tr, addr, err)
					continue
				}
				if err := p.Call(within(t, soon), "600", 50*time.Millisecond); err != nil {
					t.Errorf("%s from %s: %v", tr, addr, err)
				}

				// Of the registration and of the call.
				w.expect(t, addr, "SuccessfulAuth", 2)
				w.expect(t, addr, "ChallengeResponseFailed", 0)
			}
		}
	})

	t.Run("an attack raises its events", func(t *testing.T) {
		a := netip.MustParseAddr("198.51.100.31")
		c := surely(w.dial(t, lab.Attack, sip.UDP, a))
		for _, method := range []string{"REGISTER", "INVITE", "OPTIONS"} {
			m, err := c.Attempt(t.Context(), sip.Request{Method: method, From: "9001"})
			if err != nil || m.Status() != 401 {
				t.Fatalf("%s of an unknown user: %v, %v; want 401", method, m, err)
			}
		}
		w.expect(t, a, "InvalidAccountID", 3)
		w.expect(t, a, "ChallengeSent", 3)

		// A known account: one failure, since it answered a challenge.
		b := netip.MustParseAddr("2001:db8:bad::31")
		guesser := surely(w.dial(t, lab.Attack, sip.TCP, b))
		if _, err := guesser.Guess(t.Context(), "REGISTER", "1001", "wrong"); err != nil {
			t.Fatal(err)
		}
		w.expect(t, b, "ChallengeResponseFailed", 1)
	})

	t.Run("forged packets count against whom they name", func(t *testing.T) {
		for _, victim := range forgeable {
			pbx := pbxFor(victim.Addr(), 5060)
			f, err := sip.NewForger(t.Context(), w.Net(lab.Attack), victim, pbx)
			if err != nil {
				t.Fatal(err)
			}
			made := sip.MadeUp("9002", "REGISTER", "sip:x")
			err = f.Send(sip.Request{Method: "REGISTER", From: "9002", Header: []string{made}})
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}

			// Asterisk answered to the victim; the event is all that comes of it.
			written := "/" + victim.Addr().String() + "/" // as in RemoteAddress
			eventually(t, soon, "a failure of "+victim.String(), func() bool {
				for _, e := range w.tap.Events(victim.Addr()) {
					if e.Kind == "ChallengeResponseFailed" && strings.Contains(e.Packet, written) {
						return true
					}
				}
				return false
			})
		}
	})
}

// The same for Asterisk 16: chan_sip answers, raises its own kinds of events, and lets a whole
// event be injected.
func TestLabItselfAsterisk16(t *testing.T) {
	w := newWorld(t, "bullseye")
	for i, tr := range []sip.Transport{sip.UDP, sip.TCP, sip.TLS} {
		addr := netip.AddrFrom4([4]byte{10, 20, 0, byte(101 + i)})
		p := w.phone(t, tr, addr, fmt.Sprint(1001+i))
		if err := p.Register(within(t, soon), time.Minute); err != nil {
			t.Errorf("%s: %v", tr, err)
			continue
		}
		if err := p.Call(within(t, soon), "600", 50*time.Millisecond); err != nil {
			t.Errorf("%s: %v", tr, err)
		}
		w.expect(t, addr, "InvalidPassword", 0)
	}

	// A known account and an unknown one: chan_sip makes no difference.
	a := netip.MustParseAddr("198.51.100.31")
	c := surely(w.dial(t, lab.Attack, sip.UDP, a))
	for _, user := range []string{"1001", "9001"} {
		m, err := c.Guess(t.Context(), "REGISTER", user, "wrong")
		if err != nil || m.Status() < 400 {
			t.Fatalf("a wrong password of %s: %v, %v", user, m, err)
		}
	}
	w.expect(t, a, "InvalidPassword", 2)

	b := surely(w.dial(t, lab.Attack, sip.UDP, netip.MustParseAddr("198.51.100.32")))
	r := sip.Request{Method: "REGISTER", From: "1001", To: percent(chanSIPFailure)}
	if _, err := b.GuessAs(t.Context(), r, "wrong"); err != nil {
		t.Fatal(err)
	}
	w.expect(t, planted, "InvalidPassword", 1) // the witness is fooled, as amifend must not be
}

// forgeable are addresses that forged packets may name to make amifend cut them off: a phone, the
// PBX, the gateway, the resolver.
var forgeable = []netip.AddrPort{
	netip.MustParseAddrPort("10.20.0.107:5060"),
	netip.MustParseAddrPort("[2001:db8:20::107]:5060"),
	netip.AddrPortFrom(lab.PBX4, 5090),
	netip.AddrPortFrom(lab.PBX6, 5090),
	netip.AddrPortFrom(lab.Gateway4, 5060),
	netip.AddrPortFrom(lab.Gateway6, 5060),
	netip.AddrPortFrom(lab.Resolver, 53),
}

// expect waits until the witness has seen so many events of a kind from a source, and no more.
func (w *world) expect(t *testing.T, source netip.Addr, kind string, n int) {
	t.Helper()
	count := func() (got int) {
		for _, e := range w.tap.Events(source) {
			if e.Kind == kind {
				got++
			}
		}
		return got
	}

	for end := time.Now().Add(soon); count() < n && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if got := count(); got != n {
		t.Errorf("%s: %d %s, want %d", source, got, kind, n)
	}
}
