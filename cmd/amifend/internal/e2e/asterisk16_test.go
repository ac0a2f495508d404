//go:build e2e

package e2e

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/amifend/amifend/cmd/amifend/internal/e2e/lab"
	"github.com/amifend/amifend/cmd/amifend/internal/e2e/sip"
)

// Asterisk 16 with chan_sip: other events, other injections. Whoever sends a packet chooses the
// address that its event names, so no ban here is of more than the SIP ports, or longer than ten
// minutes.
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
		{"passwords over TLS", "198.18.84.1", sip.TLS, guessAnother, 7},
		// chan_sip does not tell unknown accounts from wrong passwords, so neither can amifend. But
		// it sees that there are many accounts.
		{"unknown accounts over UDP", "198.18.83.1", sip.UDP, guessUnknown, 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := w.dial(t, lab.Attack, tc.transport, netip.MustParseAddr(tc.from))
			b := w.attackUntilBanned(t, d, c, tc.try)

			if b.Attempts != tc.attempts {
				t.Errorf("banned at attempt %d, want %d: %s", b.Attempts, tc.attempts, b.raw)
			}
			lasts(t, b, "sip", shortBan)
			explained(t, b)
			w.dropped(t, b, c, tc.try)
		})
	}

	t.Run("tools", func(t *testing.T) { testTools(t, w, d) })
	t.Run("injection", func(t *testing.T) { testChanSIPInjection(t, w, d) })
	t.Run("forgery", func(t *testing.T) { testChanSIPForgery(t, w, d, phones) })

	phones.works(t)
	w.everyBanIsShort(t, d)
}

// everyBanIsShort checks all bans of a daemon, hosts and prefixes, in its log and in the kernel:
// each is of the SIP ports only, and none lasts longer than a sender may have others banned.
func (w *world) everyBanIsShort(t *testing.T, d *daemon) {
	t.Helper()
	told := d.all(func(l line) bool { return l.Msg == sayBanned })
	if len(told) == 0 {
		t.Error("no ban at all: the test tested nothing")
	}
	short(t, told, shortBan)

	for _, e := range w.bans(t, lab.PBX) {
		if !strings.HasSuffix(e.Set, "_sip") || e.Timeout == 0 || e.Timeout > shortBan {
			t.Errorf("want it banned from the SIP ports, for %s at most: %+v", shortBan, e)
		}
	}
}

// chan_sip knows a dialog by its Call-ID, whoever speaks, and keeps one nonce for it. So an
// attacker who was challenged at its own address can answer in a phone's name, with the nonce that
// was sent: the failure looks like a round trip of the phone's, and proves none.
func testChanSIPForgery(t *testing.T, w *world, d *daemon, phones *fleet) {
	attacker := netip.MustParseAddr("198.18.88.1")
	challenged := surely(w.dial(t, lab.Attack, sip.UDP, attacker))
	victims := []netip.AddrPort{
		netip.AddrPortFrom(lab.Gateway4, 5060),
		netip.AddrPortFrom(lab.ITSP, 5060),
	}
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
	if l, ok := d.ban(attacker); ok {
		t.Errorf("banned for being challenged: %s", l.raw)
	}

	// The control: the same packets do ban an address that nobody vouches for. How many of them get
	// through before, nobody knows.
	control := netip.MustParseAddrPort("10.20.0.198:5060")
	w.forgeRoundTrips(t, challenged, control)
	w.shortBanOf(t, d, control.Addr())
}

// forgeRoundTrips sends wrong answers in a victim's name to challenges that another client was
// sent, three times as many as ban.
func (w *world) forgeRoundTrips(t *testing.T, challenged *sip.Client, victim netip.AddrPort) {
	t.Helper()
	pbx := pbxFor(victim.Addr(), 5060)
	f, err := sip.NewForger(t.Context(), w.Net(lab.Attack), victim, pbx)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	// Nobody else tries it: of an account that is under attack fewer attempts ban.
	const account = "1029"
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

		// The same Call-ID, so that Asterisk takes it for the same dialog.
		r.CSeq, r.Branch = r.CSeq+1, ""
		answer := ch.Answer(account, "guess", r.Method, r.Target)
		r.Header = []string{"Authorization: " + answer}
		if err := f.Send(r); err != nil {
			t.Fatal(err)
		}
	}
}

// roundTripsFailed waits until Asterisk has told of as many of them as ban.
func (w *world) roundTripsFailed(t *testing.T, victim netip.AddrPort) {
	t.Helper()
	what := "failures of " + victim.String() + " with the nonce that was sent"
	eventually(t, soon, what, func() bool {
		n := 0
		for _, e := range w.failures(victim.Addr()) {
			sent, rest, _ := strings.Cut(e.Packet, "\r\nReceivedChallenge: ")
			received, _, _ := strings.Cut(rest, "\r\n")
			if received != "" && strings.HasSuffix(sent, "Challenge: "+received) {
				n++
			}
		}
		return n >= 7
	})
}

// chanSIPFailure is a whole failure of the planted address, with the same nonce sent and received,
// as in a round trip.
const chanSIPFailure = "a\r\nSessionID: 0x7fa2\r\nLocalAddress: IPV4/UDP/192.0.2.10/5060\r\n" +
	"RemoteAddress: IPV4/UDP/9.9.9.9/1\r\n" +
	"Challenge: 1\r\nReceivedChallenge: 1\r\nReceivedHash: 1\r\n\r\n"

// chan_sip decodes the user of To without a limit that matters. A whole forged failure of another
// address fits, in perfect order. The rest of the true event follows it as an orphan.
func testChanSIPInjection(t *testing.T, w *world, d *daemon) {
	senders := make(map[netip.Addr]bool)
	send := func(tr sip.Transport, host byte, text string) {
		source := netip.AddrFrom4([4]byte{198, 18, host, 1})
		senders[source] = true
		c := w.dial(t, lab.Attack, tr, source)

		// More than enough for a ban by the score, should the injection not be seen.
		r := sip.Request{Method: "REGISTER", From: "1001", To: percent(text)}
		for range 12 {
			if _, err := c.GuessAs(t.Context(), r, "guess"); err != nil {
				return // banned, as it may be: it named itself in the Via
			}
		}
	}

	// Texts that leave the sender's true event in a shape that amifend sees to be torn.
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
		return len(w.tap.Select(func(e lab.Event) bool {
			return e.Kind == "InvalidPassword" && e.Source == planted
		}))
	}
	const enough = 15 // twice what bans
	before := perfect()
	for host := byte(121); perfect() < before+enough && host < 161; host++ {
		send(sip.UDP, host, chanSIPFailure)
	}
	if n := perfect() - before; n < enough {
		t.Errorf("Asterisk wrote %d forged failures of %s, want %d: the test tested nothing",
			n, planted, enough)
	}
	w.onlySenders(t, d, senders)
}
