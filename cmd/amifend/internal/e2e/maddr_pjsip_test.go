//go:build e2e

package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/amifend/amifend/cmd/amifend/internal/e2e/lab"
	"github.com/amifend/amifend/cmd/amifend/internal/e2e/sip"
)

// PJSIP answers a UDP request at maddr and names the packet's source. Over connections it knows
// better.
func testPJSIPMaddr(t *testing.T, w *world) {
	t.Run("a success over UDP in the name of a phone does not ban it", func(t *testing.T) {
		testPJSIPNamesAPhone(t, w)
	})
	connections := []sip.Transport{sip.TCP, sip.TLS}
	if w.Release == "sid" { // Asterisk 16 of the lab has no WebSocket
		connections = append(connections, sip.WS, sip.WSS)
	}
	for i, tr := range connections {
		t.Run("over "+string(tr)+" the true peer is banned", func(t *testing.T) {
			testPJSIPNamesThePeer(t, w, tr, byte(i))
		})
	}
	t.Run("a success over UDP forgives nothing that is proven", func(t *testing.T) {
		testPJSIPSuccessForgivesNothingProven(t, w)
	})
	t.Run("one account guessed behind many names", func(t *testing.T) {
		testAccountBehindManyNames(t, w)
	})
	t.Run("one server guessed behind many names", func(t *testing.T) {
		testServerBehindManyNames(t, w)
	})
}

// Who owns an account and can forge an address has anybody fail and log in. It does not make a
// phone that works a cracked one: amifend may tell of it, and bans nobody.
func testPJSIPNamesAPhone(t *testing.T, w *world) {
	d := w.fresh(t, settings{firewall: bothPorts})
	phones := startFleet(t, w, sip.UDP)
	phone := phones.phones[0]
	attacker := netip.MustParseAddr("198.18.21.1")

	// From the phone's own port, and from another one of its address.
	for _, port := range []uint16{phone.Local.Port(), 5060, 40404} {
		name := netip.AddrPortFrom(phone.Local.Addr(), port)
		c := w.dialForged(t, name, attacker)
		before := len(w.failures(name.Addr()))

		guessesAnswered(t, c, "1005", 12)
		login(t, c, "1005")
		guessesAnswered(t, c, phone.User, 5)
		eventually(t, soon, "Asterisk names the phone", func() bool {
			return len(w.failures(name.Addr())) >= before+17 && w.loggedInAs(name, "1005")
		})
	}

	// A stranger is named as easily: that is no ban either.
	stranger := netip.MustParseAddrPort("203.0.113.99:5060")
	login(t, w.dialForged(t, stranger, attacker), "1006")
	eventually(t, soon, "Asterisk names the stranger", func() bool {
		return w.loggedInAs(stranger, "1006")
	})

	w.judged(t, d, "198.18.22.1")
	phones.works(t)
	w.neverBanned(t, d, phone.Local.Addr())
	w.neverBanned(t, d, stranger.Addr())
}

// loggedInAs reports whether Asterisk told of a success of an account over UDP from an address and
// port.
func (w *world) loggedInAs(source netip.AddrPort, account string) bool {
	written := fmt.Sprintf("/UDP/%s/%d\r\n", source.Addr(), source.Port()) // as in RemoteAddress
	return len(w.tap.Select(func(e lab.Event) bool {
		return e.Kind == "SuccessfulAuth" && e.Account == account &&
			strings.Contains(e.Packet, written)
	})) > 0
}

// Over a connection PJSIP ignores maddr: the guesser itself loses every port, and the one whom it
// names loses nothing.
func testPJSIPNamesThePeer(t *testing.T, w *world, tr sip.Transport, n byte) {
	d := w.fresh(t, settings{firewall: bothPorts})
	attacker := netip.AddrFrom4([4]byte{198, 18, 31 + n, 1})
	victim := netip.AddrFrom4([4]byte{203, 0, 113, 31 + n})
	c := w.dial(t, lab.Attack, tr, attacker)
	c.Via.Maddr = victim

	b := w.attackUntilBanned(t, d, c, guess)
	if b.Attempts != 7 || b.Scope != "all" {
		t.Errorf("want a ban of scope all at attempt 7: %s", b.raw)
	}
	w.dropped(t, b, c, guess)
	if events := w.tap.Events(victim); len(events) > 0 {
		t.Errorf("Asterisk named %s %d times over %s: the documents say that it does not",
			victim, len(events), tr)
	}
	w.neverBanned(t, d, victim)
}

// A friend who forges the address of a guesser does not free it.
func testPJSIPSuccessForgivesNothingProven(t *testing.T, w *world) {
	d := w.fresh(t, settings{firewall: bothPorts})
	guesser := netip.MustParseAddr("198.18.61.1")
	friend := w.dialForged(t, netip.AddrPortFrom(guesser, 5060), netip.MustParseAddr("198.18.62.1"))
	w.forgivesNothingProven(t, d, netip.MustParseAddr("198.18.60.1"), guesser, friend)
}

// behindManyNames guesses one password in each name of sixty, all from one attacker who reads the
// answers. Each guess is of the account that it is given.
func (w *world) behindManyNames(t *testing.T, net byte, account func(n int) string) {
	t.Helper()
	attacker := netip.MustParseAddr("198.18.41.1")
	for n := range 60 {
		name := netip.AddrFrom4([4]byte{198, net, byte(101 + n), 7})
		c := w.dialForged(t, netip.AddrPortFrom(name, 5060), attacker)
		guessesAnswered(t, c, account(n), 1)
		w.expect(t, name, "ChallengeResponseFailed", 1)
	}
}

// No ban reaches who guesses one account's password behind ever new names. It is told, with the
// account.
func testAccountBehindManyNames(t *testing.T, w *world) {
	d := w.fresh(t, settings{firewall: bothPorts})

	// One guesser alone is no such attack, however long it tries.
	alone := w.dial(t, lab.Attack, sip.TCP, netip.MustParseAddr("198.18.42.1"))
	w.attackUntilBanned(t, d, alone, guess)

	const account = "1029"
	w.behindManyNames(t, 18, func(int) string { return account })
	l := d.wait(t, soon, "alert "+alertAccount, func(l line) bool {
		return l.Msg == sayAlert && l.Kind == alertAccount
	})
	if l.Account != account || l.Server != "pbx" || l.Reason == "" || l.Do == "" {
		t.Errorf("want the account, the server, why and what to do: %s", l.raw)
	}
	other := func(l line) bool { return l.Kind == alertAccount && l.Account != account }
	if l, ok := d.find(other); ok {
		t.Errorf("nobody attacks that account: %s", l.raw)
	}
}

// The same where the attacker tries every account in turn: the server is what is attacked.
func testServerBehindManyNames(t *testing.T, w *world) {
	d := w.fresh(t, settings{firewall: bothPorts})
	w.behindManyNames(t, 19, func(n int) string { return fmt.Sprint(1001 + n%30) })
	l := d.wait(t, soon, "alert "+alertServer, func(l line) bool {
		return l.Msg == sayAlert && l.Kind == alertServer
	})
	if l.Server != "pbx" || l.Reason == "" || l.Do == "" {
		t.Errorf("want the server, why and what to do: %s", l.raw)
	}
}
