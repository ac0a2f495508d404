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

// packetsForged is the size of a flood in one victim's name: twenty times what bans.
const packetsForged = 80

// A flood of forged UDP packets cuts off neither a phone that proved itself nor those that are
// never banned. A control shows that the same flood does ban an address that nobody vouches for,
// from the SIP ports.
func testForgery(t *testing.T, w *world, d *daemon, phones *fleet) {
	victims := map[string]netip.AddrPort{
		"gateway":           netip.AddrPortFrom(lab.Gateway4, 5060),
		"gateway, IPv6":     netip.AddrPortFrom(lab.Gateway6, 5060),
		"PBX":               netip.AddrPortFrom(lab.PBX4, 5090),
		"PBX, IPv6":         netip.AddrPortFrom(lab.PBX6, 5090),
		"resolver":          netip.AddrPortFrom(lab.Resolver, 53),
		"allowlisted trunk": netip.AddrPortFrom(lab.ITSP, 5060),
	}
	for _, p := range phones.phones {
		victims[fmt.Sprintf("registered phone %s, %s", p.User, p.Transport)] = p.Local
	}

	// Each victim has a ban due twenty times over.
	for name, victim := range victims {
		t.Run(name, func(t *testing.T) {
			w.forge(t, victim, packetsForged) // all arrive
			time.Sleep(100 * time.Millisecond)
			w.unbanned(t, lab.PBX, victim.Addr())
		})
	}

	// For all that amifend can tell, somebody may be guessing there: it says so.
	for _, p := range phones.phones {
		source := p.Local.Addr().String()
		l := d.wait(t, soon, "alert of "+source, func(l line) bool {
			return l.Msg == sayAlert && l.Source == source
		})
		if l.Kind != alertGuessing || l.Account == "" || l.Server != "pbx" ||
			l.Reason == "" || l.Do == "" {
			t.Errorf("said %s", l.raw)
		}
	}

	// A prefix is banned when several of its addresses were, but not over the heads of phones in
	// it.
	t.Run("strangers in the phones' /64", func(t *testing.T) {
		for _, stranger := range []string{
			"[2001:db8:20::f1]:5060", "[2001:db8:20::f2]:5060", "[2001:db8:20::f3]:5060",
		} {
			w.forge(t, netip.MustParseAddrPort(stranger), 1)
		}
		d.wait(t, soon, "ban of a stranger", func(l line) bool {
			return l.Msg == sayBanned && l.Source == "2001:db8:20::f1"
		})
		phones.works(t)
		for _, p := range phones.phones {
			w.unbanned(t, lab.PBX, p.Local.Addr())
		}
	})

	// The same packets do ban an address that never logged in.
	control := netip.MustParseAddrPort("10.20.0.199:5060")
	w.forge(t, control, 1)
	b := d.wait(t, soon, "ban of the control", func(l line) bool {
		return l.Msg == sayBanned && l.Source == control.Addr().String()
	})
	if b.Scope != "sip" {
		t.Errorf("forgeable evidence banned with scope %q, want sip: %s", b.Scope, b.raw)
	}

	phones.works(t)
	for name, victim := range victims {
		if e, ok := w.element(t, victim.Addr()); ok {
			t.Errorf("%s is banned: %+v", name, e)
		}
	}
}

// forge sends a flood in a victim's name and waits until Asterisk has raised so many failures
// against it. Of a victim that is banned meanwhile only the first packets arrive.
func (w *world) forge(t *testing.T, victim netip.AddrPort, failures int) {
	t.Helper()
	pbx := pbxFor(victim.Addr(), 5060)
	f, err := sip.NewForger(t.Context(), w.Net(lab.Attack), victim, pbx)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	// Unknown accounts and a known one in turn.
	before := len(w.failures(victim.Addr()))
	for n := range packetsForged {
		user := fmt.Sprint(8000 + n)
		if n%2 == 1 {
			user = "1001"
		}
		made := sip.MadeUp(user, "REGISTER", "sip:pbx")
		err := f.Send(sip.Request{Method: "REGISTER", From: user, Header: []string{made}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}

	eventually(t, soon, fmt.Sprintf("%d failures of %s", failures, victim), func() bool {
		return len(w.failures(victim.Addr())) >= before+failures
	})
}

// failures returns the events that the witness saw and that count against a source.
func (w *world) failures(source netip.Addr) []lab.Event {
	var out []lab.Event
	for _, e := range w.tap.Events(source) {
		switch e.Kind {
		case "InvalidAccountID", "ChallengeResponseFailed", "InvalidPassword", "FailedACL":
			out = append(out, e)
		}
	}
	return out
}
