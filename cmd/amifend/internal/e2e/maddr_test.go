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

// bothPorts are the SIP ports of Asterisk 16: chan_sip's, then PJSIP's.
var bothPorts = []string{`sip_ports = ["5060-5061", "5070-5071"]`}

// Asterisk 16 believes the Via: chan_sip over every transport, PJSIP over UDP.
func TestSenderChoosesTheAddressAsterisk16(t *testing.T) {
	w := newWorld(t, "bullseye", "maddr")
	t.Run("Service SIP", func(t *testing.T) { testChanSIPMaddr(t, w) })
	t.Run("Service PJSIP", func(t *testing.T) { testPJSIPMaddr(t, w.pjsip16()) })
}

// pjsip16 is the same lab, where clients connect to the PJSIP of Asterisk 16.
func (w *world) pjsip16() *world { return &world{Lab: w.Lab, tap: w.tap, shift: 10} }

// Asterisk 22 has PJSIP alone: UDP answers go to maddr, and connections tell the truth.
func TestSenderChoosesTheAddressAsterisk22(t *testing.T) {
	w := newWorld(t, "sid", "maddr")
	testPJSIPMaddr(t, w)
}

// dialForged is an attacker at the address reader who sends over UDP in the name of source, and
// reads the answers.
func (w *world) dialForged(t *testing.T, source netip.AddrPort, reader netip.Addr) *sip.Client {
	t.Helper()
	pbx := pbxFor(source.Addr(), sip.UDP.Port()+w.shift)
	answers := netip.AddrPortFrom(reader, 0)
	c, err := sip.DialForged(t.Context(), w.Net(lab.Attack), source, answers, pbx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return surely(c)
}

// dialNaming is an attacker at its own address, without spoofing, whose Via names the victim in
// maddr.
func (w *world) dialNaming(
	t *testing.T, tr sip.Transport, from, victim netip.Addr,
) *sip.Client {
	t.Helper()
	c := surely(w.dial(t, lab.Attack, tr, from))
	c.Via.Maddr = victim
	return c
}

// guessesAnswered guesses so many passwords of an account, by registrations and calls in turn. The PBX
// must refuse each of them: no ban reaches an attacker who names somebody else.
func guessesAnswered(t *testing.T, c *sip.Client, account string, n int) {
	t.Helper()
	for i := range n {
		method := []string{"REGISTER", "INVITE"}[i%2]
		m, err := c.Guess(t.Context(), method, account, fmt.Sprint("guess-", i))
		if err != nil {
			t.Fatalf("%s %s: guess %d of %s: %v", c.Transport, c.Local, i+1, account, err)
		}
		if m.Status() != 401 && m.Status() != 403 {
			t.Fatalf("%s %s: guess %d of %s: %s", c.Transport, c.Local, i+1, account, m.Start)
		}
	}
}

// login registers with the right password, and calls.
func login(t *testing.T, c *sip.Client, account string) {
	t.Helper()
	p := sip.NewPhone(c, account, "lab-pw-"+account)
	err := p.Register(within(t, soon), time.Minute)
	if err == nil {
		err = p.Call(within(t, soon), "600", 0)
	}
	if err != nil {
		t.Fatalf("%s %s: %v", c.Transport, c.Local, err)
	}
}

// shortBan is the longest ban on evidence whose address the sender may have chosen.
const shortBan = 10 * time.Minute

// shortBanOf waits until a source is banned, and checks in the log and in the kernel that the ban
// is of the SIP ports only, and short.
func (w *world) shortBanOf(t *testing.T, d *daemon, source netip.Addr) {
	t.Helper()
	d.wait(t, soon, "ban of "+source.String(), func(l line) bool {
		return l.Msg == sayBanned && l.Source == source.String()
	})
	short(t, d.bans(source), shortBan)

	e, ok := w.element(t, source)
	if !ok {
		t.Fatalf("%s: banned, but no element in the kernel: %+v", source, w.bans(t, lab.PBX))
	}
	if e.Set != "ban4_sip" || e.Timeout == 0 || e.Timeout > shortBan {
		t.Errorf("%s: want it in ban4_sip for %s at most: %+v", source, shortBan, e)
	}
}

// short checks bans: each is of the SIP ports only, and lasts as long as allowed at most.
func short(t *testing.T, bans []line, longest time.Duration) {
	t.Helper()
	for _, b := range bans {
		if b.Scope != "sip" {
			t.Errorf("scope %q, want sip: %s", b.Scope, b.raw)
		}
		if lasts := b.Until.Sub(b.Time); lasts > longest {
			t.Errorf("banned for %s, want %s at most: %s", lasts, longest, b.raw)
		}
	}
}

// neverBanned checks that a source was not banned since the daemon began, and is not now. What was
// sent before the call has been judged by then: a control is banned last.
func (w *world) neverBanned(t *testing.T, d *daemon, source netip.Addr) {
	t.Helper()
	for _, b := range d.bans(source) {
		t.Errorf("%s must not be banned: %s", source, b.raw)
	}
	w.unbanned(t, lab.PBX, source)
}

// succeeded reports whether Asterisk told of a success of a source.
func (w *world) succeeded(source netip.Addr) bool {
	for _, e := range w.tap.Events(source) {
		if e.Kind == "SuccessfulAuth" {
			return true
		}
	}
	return false
}

// forgivesNothingProven checks that a success in the name of a guesser takes nothing away from what
// is proven of it. The guesser guesses over TCP at PJSIP; its friend names it in a success as the
// account that it guessed at.
func (w *world) forgivesNothingProven(
	t *testing.T, d *daemon, guesser netip.Addr, friend *sip.Client, account string,
) {
	t.Helper()
	c := surely(w.dial(t, lab.Attack, sip.TCP, guesser))

	guessesAnswered(t, c, account, 6) // one more bans
	login(t, friend, account)
	eventually(t, soon, "Asterisk names the guesser as logged in", func() bool {
		return w.succeeded(guesser)
	})

	// At another account, since the one that succeeded might be a phone's with an old password.
	c.Patience = 300 * time.Millisecond
	b := w.attackUntilBanned(t, d, c, guess)
	if b.Attempts != 7 || b.Scope != "all" {
		t.Errorf("want a ban of scope all at attempt 7, as without the success: %s", b.raw)
	}
}

// judged returns when amifend has judged everything that Asterisk has told so far. It judges in the
// order of the events, so it waits until a guesser who comes last is banned.
func (w *world) judged(t *testing.T, d *daemon, control string) {
	t.Helper()
	c := w.dial(t, lab.Attack, sip.TCP, netip.MustParseAddr(control))
	w.attackUntilBanned(t, d, c, guessUnknown)
}
