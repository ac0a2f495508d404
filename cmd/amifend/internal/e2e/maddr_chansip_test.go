//go:build e2e

package e2e

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/e2e/lab"
	"github.com/amifend/amifend/cmd/amifend/internal/e2e/sip"
)

// chan_sip names the address in maddr as the sender's, whoever sent it, and answers the sender.
func testChanSIPMaddr(t *testing.T, w *world) {
	t.Run("a stranger who is named loses the SIP ports for ten minutes", func(t *testing.T) {
		testChanSIPNamesAStranger(t, w)
	})
	t.Run("bans do not grow", func(t *testing.T) { testChanSIPBansDoNotGrow(t, w) })
	t.Run("a phone that proved itself is not banned", func(t *testing.T) {
		testChanSIPNamesAPhone(t, w)
	})
	t.Run("a success bans nobody from everything", func(t *testing.T) {
		testChanSIPSuccessNamesAStranger(t, w)
	})
	t.Run("a success forgives nothing that is proven", func(t *testing.T) {
		testChanSIPSuccessForgivesNothingProven(t, w)
	})
	t.Run("status and check tell of it", func(t *testing.T) { testChanSIPIsTold(t, w, true) })
}

// The transports of chan_sip: over each of them the sender names whom it likes.
var chanSIPTransports = []sip.Transport{sip.UDP, sip.TCP, sip.TLS}

// A stranger in whose name somebody guesses loses the SIP ports for ten minutes, and no more. An
// operator who lifts the ban sees the same ban again when the attack goes on.
func testChanSIPNamesAStranger(t *testing.T, w *world) {
	d := w.fresh(t, settings{control: true})
	for i, tr := range chanSIPTransports {
		t.Run(string(tr), func(t *testing.T) {
			const guesses = 21 // three times what bans
			attacker := netip.AddrFrom4([4]byte{198, 18, byte(21 + i), 1})
			victim := netip.AddrFrom4([4]byte{203, 0, 113, byte(91 + i)})
			c := w.dialNaming(t, tr, attacker, victim)

			// Every event names the victim, who sent nothing, and every answer reaches the
			// attacker.
			guessesAnswered(t, c, "1001", guesses)
			w.expect(t, victim, "InvalidPassword", guesses)
			w.expect(t, attacker, "InvalidPassword", 0)
			w.shortBanOf(t, d, victim)
			said := w.ask(t, d, "explain", victim.String())
			if !strings.Contains(said, "forgeable by anybody") {
				t.Errorf("explain does not say who could have chosen the address:\n%s", said)
			}

			// The rest of what the victim may use this PBX for goes on.
			w.connects(t, victim, 5039)

			// The operator lifts it; the attacker never stops.
			said = w.ask(t, d, "unban", victim.String())
			w.unbanned(t, lab.PBX, victim)
			before := len(d.bans(victim))
			guessesAnswered(t, c, "1001", guesses)
			eventually(t, soon, "another ban, after amifend said: "+said, func() bool {
				return len(d.bans(victim)) > before
			})
			w.shortBanOf(t, d, victim)
			w.neverBanned(t, d, attacker)
		})
	}
}

// connects fails the test unless an address in the attackers' namespace reaches a TCP port of the
// PBX.
func (w *world) connects(t *testing.T, from netip.Addr, port uint16) {
	t.Helper()
	local := netip.AddrPortFrom(from, 0)
	c, err := sip.Dial(within(t, soon), w.Net(lab.Attack), sip.TCP, local, pbxFor(from, port))
	if err != nil {
		t.Errorf("cut off from port %d: %v", port, err)
		return
	}
	c.Close()
}

// The attack goes on for as long as the attacker likes: each ban of the stranger runs out, and the
// next one is as short. With bans of two seconds the test need not wait for ten minutes.
func testChanSIPBansDoNotGrow(t *testing.T, w *world) {
	const longest = 2 * time.Second
	d := w.fresh(t, settings{policy: []string{`ban_time = "2s"`, `ban_growth = 4`}})
	victim := netip.MustParseAddr("203.0.113.95")
	c := w.dialNaming(t, sip.UDP, netip.MustParseAddr("198.18.25.1"), victim)

	// Before, the third ban was four times as long as the second.
	for n := range 4 {
		for len(d.bans(victim)) <= n {
			guessesAnswered(t, c, "1002", 1)
			time.Sleep(pause)
			if len(w.failures(victim)) > 5000 {
				t.Fatalf("%d bans of %s after 5,000 failures", n, victim)
			}
		}
		short(t, d.bans(victim), longest)
		eventually(t, soon, "the ban has run out", func() bool {
			_, ok := w.element(t, victim)
			return !ok
		})
	}
}

// A phone of chan_sip that registered is not banned for what others send in its name, even when
// they know its port; it works on.
func testChanSIPNamesAPhone(t *testing.T, w *world) {
	d := w.fresh(t, settings{})
	phones := startFleet(t, w, chanSIPTransports...)
	for i, p := range phones.phones {
		for k, tr := range chanSIPTransports {
			attacker := netip.AddrFrom4([4]byte{198, 18, byte(31 + 3*i + k), 1})
			c := w.dialNaming(t, tr, attacker, p.Local.Addr())
			// The port in the event is that of sent-by. The answers come back to rport all the
			// same.
			c.Via.SentBy = netip.AddrPortFrom(attacker, p.Local.Port())

			before := len(w.failures(p.Local.Addr()))
			guessesAnswered(t, c, p.User, 11) // its own account
			guessesAnswered(t, c, "1003", 10) // somebody else's
			login(t, c, "1003")               // as if it had been guessed
			eventually(t, soon, "Asterisk names the phone", func() bool {
				return len(w.failures(p.Local.Addr())) >= before+21
			})
		}
	}

	// The phones' own word for it first: they registered and called throughout.
	w.judged(t, d, "198.18.48.1")
	phones.works(t)
	for _, p := range phones.phones {
		w.neverBanned(t, d, p.Local.Addr())
	}
	w.everyBanIsShort(t, d)
}

// Who owns an account can have every address fail and then succeed. To a stranger that does no more
// than failures alone can do.
func testChanSIPSuccessNamesAStranger(t *testing.T, w *world) {
	d := w.fresh(t, settings{})
	for i, tr := range chanSIPTransports {
		victim := netip.AddrFrom4([4]byte{203, 0, 113, byte(101 + i)})
		c := w.dialNaming(t, tr, netip.AddrFrom4([4]byte{198, 18, byte(51 + i), 1}), victim)

		// More failures than those of a typo, and fewer than what bans by itself.
		guessesAnswered(t, c, "1004", 5)
		login(t, c, "1004")
		eventually(t, soon, "Asterisk names the victim as logged in", func() bool {
			return w.succeeded(victim)
		})
	}
	w.judged(t, d, "198.18.58.1")
	w.everyBanIsShort(t, d)
}

// A friend on chan_sip, without spoofing, does not free a guesser of PJSIP.
func testChanSIPSuccessForgivesNothingProven(t *testing.T, w *world) {
	d := w.fresh(t, settings{firewall: bothPorts})
	guesser := netip.MustParseAddr("198.18.61.1")
	friend := w.dialNaming(t, sip.UDP, netip.MustParseAddr("198.18.62.1"), guesser)
	alone := netip.MustParseAddr("198.18.60.1")
	w.pjsip16().forgivesNothingProven(t, d, alone, guesser, friend)

	// The ban stays what it is when the friend goes on: it is not the friend's address that is
	// banned.
	login(t, friend, "1005")
	w.judged(t, d, "198.18.63.1")
	if e, ok := w.element(t, guesser); !ok || e.Set != "ban4" {
		t.Errorf("%s: want it in ban4 still: %+v, %t", guesser, e, ok)
	}
}

// An administrator learns of chan_sip from amifend, not from the first victim. Where there is none,
// nothing is said of it.
func testChanSIPIsTold(t *testing.T, w *world, want bool) {
	d := w.fresh(t, settings{control: true})
	phones := startFleet(t, w, sip.UDP)
	defer phones.stop()

	for _, command := range []string{"status", "check"} {
		// The path of the config has the name of this test in it.
		out := strings.ReplaceAll(w.ask(t, d, command), d.config, "")
		if strings.Contains(out, "chan_sip") != want {
			t.Errorf("amifend %s tells of chan_sip: %t, want %t:\n%s", command, !want, want, out)
		}
	}
}
