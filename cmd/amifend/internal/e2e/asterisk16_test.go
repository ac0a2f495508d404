//go:build e2e

package e2e

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/amifend/amifend/cmd/amifend/internal/e2e/lab"
	"github.com/amifend/amifend/cmd/amifend/internal/e2e/sip"
)

// Asterisk 16 with chan_sip: other events, other injections.
func TestAsterisk16(t *testing.T) {
	w := newWorld(t, "bullseye")
	d := w.amifend(t, settings{allow: []string{lab.ITSP.String()}})
	phones := startFleet(t, w, sip.UDP, sip.UDP, sip.TCP, sip.TLS, sip.UDP)

	for _, tc := range []struct {
		name, from string
		transport  sip.Transport
		try        attempt
		attempts   int
	}{
		{"passwords over UDP", "198.18.81.1", sip.UDP, guess, 7},
		{"passwords over TCP", "198.18.82.1", sip.TCP, guess, 7},
		// chan_sip does not tell unknown accounts from wrong passwords, so neither can we; but that there are many.
		{"unknown accounts over UDP", "198.18.83.1", sip.UDP, guessUnknown, 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := w.dial(t, lab.Attack, tc.transport, netip.MustParseAddr(tc.from))
			b := w.attackUntilBanned(t, d, c, tc.try)
			if b.Attempts != tc.attempts {
				t.Errorf("banned at attempt %d, want %d: %s", b.Attempts, tc.attempts, b.raw)
			}
			explained(t, b)
			w.dropped(t, b, c, tc.try)
		})
	}
	t.Run("tools", func(t *testing.T) { testTools(t, w, d) })
	t.Run("injection", func(t *testing.T) { testChanSIPInjection(t, w, d) })
	t.Run("forgery", func(t *testing.T) { testChanSIPForgery(t, w, d, phones) })
	phones.works(t)
}

// chan_sip knows a dialog by its Call-ID, whoever speaks, and keeps one nonce for it: an attacker who was challenged at
// his own address can answer in a phone's name, and the failure looks like a round trip of the phone's.
func testChanSIPForgery(t *testing.T, w *world, d *daemon, phones *fleet) {
	challenged := surely(w.dial(t, lab.Attack, sip.UDP, netip.MustParseAddr("198.18.88.1")))
	victims := []netip.AddrPort{netip.AddrPortFrom(lab.Gateway4, 5060), netip.AddrPortFrom(lab.ITSP, 5060)}
	for _, p := range phones.phones {
		if p.Transport == sip.UDP {
			victims = append(victims, p.Local)
		}
	}
	for _, victim := range victims {
		w.forgeRoundTrips(t, challenged, victim)
		w.roundTripsFailed(t, victim)
	}
	phones.works(t)
	for _, victim := range victims {
		w.unbanned(t, lab.PBX, victim.Addr())
	}
	if l, ok := d.ban(challenged.Local.Addr()); ok {
		t.Errorf("banned for being challenged: %s", l.raw)
	}
	// The control: the same packets do ban an address that nobody vouches for. How many of them get through before, nobody knows.
	control := netip.MustParseAddrPort("10.20.0.198:5060")
	w.forgeRoundTrips(t, challenged, control)
	eventually(t, soon, "ban of the control", func() bool { _, ok := d.ban(control.Addr()); return ok })
}

// forgeRoundTrips sends wrong answers in a victim's name to challenges that another client was sent, three times as many
// as ban.
func (w *world) forgeRoundTrips(t *testing.T, challenged *sip.Client, victim netip.AddrPort) {
	t.Helper()
	f, err := sip.NewForger(t.Context(), w.Net(lab.Attack), victim, pbxFor(victim.Addr(), 5060))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const account = "1029" // nobody else tries it: of an account that is under attack fewer attempts ban
	for range 21 {
		r := challenged.Request(sip.Request{Method: "REGISTER", From: account})
		m, err := challenged.Attempt(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		ch, ok := sip.ParseChallenge(m.Get("WWW-Authenticate"))
		if !ok {
			t.Fatalf("no challenge in %+v", m)
		}
		r.CSeq, r.Branch = r.CSeq+1, ""
		r.Header = []string{"Authorization: " + ch.Answer(account, "guess", r.Method, r.Target)}
		if err := f.Send(r); err != nil {
			t.Fatal(err)
		}
	}
}

// roundTripsFailed waits until Asterisk has told of as many of them as ban.
func (w *world) roundTripsFailed(t *testing.T, victim netip.AddrPort) {
	t.Helper()
	eventually(t, soon, "failures of "+victim.String()+" with the nonce that was sent", func() bool {
		n := 0
		for _, e := range w.failures(victim.Addr()) {
			sent, rest, _ := strings.Cut(e.Packet, "\r\nReceivedChallenge: ")
			if received, _, _ := strings.Cut(rest, "\r\n"); received != "" && strings.HasSuffix(sent, "Challenge: "+received) {
				n++
			}
		}
		return n >= 7
	})
}

// chanSIPFailure is a whole failure of the planted address; its nonce "proves" a round trip.
const chanSIPFailure = "a\r\nSessionID: 0x7fa2\r\nLocalAddress: IPV4/UDP/192.0.2.10/5060\r\nRemoteAddress: IPV4/UDP/9.9.9.9/1\r\n" +
	"Challenge: 1\r\nReceivedChallenge: 1\r\nReceivedHash: 1\r\n\r\n"

// chan_sip decodes the user of To without a limit that matters: a whole forged failure of another address fits, in
// perfect order, with a nonce that "proves" a round trip. What Asterisk then adds is an orphan.
func testChanSIPInjection(t *testing.T, w *world, d *daemon) {
	senders := make(map[netip.Addr]bool)
	send := func(tr sip.Transport, host byte, text string) {
		source := netip.AddrFrom4([4]byte{198, 18, host, 1})
		senders[source] = true
		c := w.dial(t, lab.Attack, tr, source)
		for range 12 {
			if _, err := c.GuessAs(t.Context(), sip.Request{Method: "REGISTER", From: "1001", To: percent(text)}, "guess"); err != nil {
				return // banned: as it should be, where the sender is certain
			}
		}
	}
	for i, text := range []string{
		chanSIPFailure + "Event: InvalidPassword\r\nX: y",
		"a\r\nRemoteAddress: IPV4/UDP/9.9.9.9/5060\r\n\r\nEvent: FailedACL\r\nX: y", // capture 20's
		"a\nSessionID: 0x7fa2\nRemoteAddress: IPV4/UDP/9.9.9.9/1\n\n",
	} {
		send(sip.UDP, byte(101+i), text)
		send(sip.TCP, byte(111+i), text)
	}
	// From many senders, so that there are more than enough for a ban before each is banned itself.
	perfect := func() int {
		return len(w.tap.Select(func(e lab.Event) bool { return e.Kind == "InvalidPassword" && e.Source == planted }))
	}
	const enough = 15 // twice what bans
	before := perfect()
	for host := byte(121); perfect() < before+enough && host < 161; host++ {
		send(sip.UDP, host, chanSIPFailure)
	}
	if n := perfect() - before; n < enough {
		t.Errorf("Asterisk wrote %d forged failures of %s, want %d: the test tested nothing", n, planted, enough)
	}
	w.onlySenders(t, d, senders)
}
