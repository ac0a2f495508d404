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
	t.Run("status and check tell nothing of chan-sip", func(t *testing.T) {
		testChanSIPIsTold(t, w, false)
	})
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

// guessesAnswered guesses so many passwords of an account, by registrations and calls in turn. The
// PBX must refuse each of them: no ban reaches an attacker who names somebody else.
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
// is proven of it. Two guessers do the same over TCP at PJSIP: four guesses of one account, then
// guesses of another. In between, a friend names the second of them in a success as the first
// account. It must be banned as early as the other one.
func (w *world) forgivesNothingProven(
	t *testing.T, d *daemon, alone, guesser netip.Addr, friend *sip.Client,
) {
	t.Helper()
	const account = "1005" // the friend's own
	var bans []line
	for _, source := range []netip.Addr{alone, guesser} {
		c := surely(w.dial(t, lab.Attack, sip.TCP, source))
		guessesAnswered(t, c, account, 4) // no more than a user's typos

		if source == guesser {
			login(t, friend, account)
			eventually(t, soon, "Asterisk names the guesser as logged in", func() bool {
				return w.succeeded(guesser)
			})
		}

		c.Patience = 300 * time.Millisecond // it is cut off
		bans = append(bans, w.attackUntilBanned(t, d, c, guess))
	}

	first, second := bans[0], bans[1]
	if first.Scope != "all" || second.Scope != "all" || first.Attempts != second.Attempts {
		t.Errorf("with a friend's success:\n%s\nwant scope all at the same attempt as without:\n%s",
			second.raw, first.raw)
	}
}

// judged returns when amifend has judged everything that Asterisk has told so far. It judges in the
// order of the events, so it waits until a guesser who comes last is banned.
func (w *world) judged(t *testing.T, d *daemon, control string) {
	t.Helper()
	c := w.dial(t, lab.Attack, sip.TCP, netip.MustParseAddr(control))
	w.attackUntilBanned(t, d, c, guessUnknown)
}
