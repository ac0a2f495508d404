//go:build e2e

package e2e

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/e2e/lab"
	"github.com/amifend/amifend/cmd/amifend/internal/e2e/sip"
)

// The red team fills what amifend has bounds for: the records of sources and the sets of bans. The
// bounds are small here, so that a real Asterisk is fast enough to reach them.
func TestRedTeamFillsTables(t *testing.T) {
	w := newWorld(t, "sid", "full")
	phones := startFleet(t, w, sip.UDP, sip.TCP)
	t.Run("have the strikes of an attacker and the proof of phones evicted", func(t *testing.T) {
		testEvicts(t, w, phones)
	})
	t.Run("fill the bans with forged ones", func(t *testing.T) { testFillsBans(t, w) })
	phones.works(t)
}

// testEvicts forges twice as many sources as amifend remembers. An attacker that was banned before is
// still known as such, and phones are still proved.
func testEvicts(t *testing.T, w *world, phones *fleet) {
	const remembered = 128
	d := w.fresh(t, settings{control: true, policy: []string{
		fmt.Sprintf("max_sources = %d", remembered), `ban_time = "3s"`, "ban_growth = 10",
	}, firewall: []string{"max_bans = 32"}})
	phones.works(t) // so that this amifend has seen them log in

	attacker := netip.MustParseAddr("203.0.113.201")
	c := w.dial(t, lab.Attack, sip.TCP, attacker)
	first := w.attackUntilBanned(t, d, c, unknown("REGISTER"))
	c.Close()
	eventually(t, soon, "the first ban is over", func() bool {
		_, ok := w.element(t, attacker)
		return !ok
	})

	before := len(w.unknownAccounts())
	for n := range 2 * remembered {
		w.forgeAttempts(t, netip.AddrFrom4([4]byte{198, 18, byte(n), byte(1 + n>>8)}), 1)
	}
	eventually(t, soon, "Asterisk tells of them", func() bool {
		return len(w.unknownAccounts()) >= before+remembered*3/2 // some packets may be lost
	})

	if s := w.ask(t, d, "status", "--json"); !regexp.MustCompile(`"evicted": [1-9]`).MatchString(s) {
		t.Errorf("nothing was evicted: the test tested nothing\n%s", s)
	}

	// The score of the first attack has not faded, so one more attempt may be enough.
	c = w.dial(t, lab.Attack, sip.TCP, attacker)
	_, _ = c.Attempt(t.Context(), sip.Request{Method: "REGISTER", From: "9500"}) // it may be cut off
	var second line
	eventually(t, soon, "the second ban", func() bool {
		bans := d.bans(attacker)
		if len(bans) < 2 {
			_, _ = c.Attempt(t.Context(), sip.Request{Method: "REGISTER", From: nobody(c, len(bans))})
			return false
		}
		second = bans[len(bans)-1]
		return true
	})
	if short, long := first.Until.Sub(first.Time), second.Until.Sub(second.Time); long < 5*short {
		t.Errorf("banned for %s, then for %s: the first ban is forgotten:\n%s", short, long, second.raw)
	}

	for _, p := range phones.phones {
		w.forge(t, p.Local, packetsForged)
	}
	w.judged(t, d, "203.0.113.202")
	for _, p := range phones.phones {
		w.neverBanned(t, d, p.Local.Addr())
	}
	d.stop(t)
}

// testFillsBans forges failures of more sources than may be banned. They fill half of the room at
// most: an attacker whose evidence nobody forged is still banned, and an earlier one stays so.
func testFillsBans(t *testing.T, w *world) {
	const room = 40
	d := w.fresh(t, settings{firewall: []string{fmt.Sprintf("max_bans = %d", room)}})
	early := netip.MustParseAddr("203.0.113.203")
	w.attackUntilBanned(t, d, w.dial(t, lab.Attack, sip.TCP, early), unknown("REGISTER"))

	for n := range 2 * room {
		// Each of a /24 of its own, so that none is banned for its neighbours.
		w.forgeAttempts(t, netip.AddrFrom4([4]byte{198, 18, byte(n), 201}), 6)
	}
	d.wait(t, soon, "that there is no room", func(l line) bool { return l.Kind == "bans_full" })

	late := netip.MustParseAddr("203.0.113.204")
	w.attackUntilBanned(t, d, w.dial(t, lab.Attack, sip.TCP, late), unknown("REGISTER"))
	forged := 0
	for _, e := range w.bans(t, lab.PBX) {
		if strings.HasSuffix(e.Set, "_sip") {
			forged++
		}
	}
	if forged == 0 || forged > room/2 {
		t.Errorf("%d forged sources are banned, want 1 to %d", forged, room/2)
	}
	for _, a := range []netip.Addr{early, late} {
		if _, ok := w.element(t, a); !ok {
			t.Errorf("%s is not banned", a)
		}
	}
	d.stop(t)
}

// forgeAttempts forges so many attempts of a source on accounts that do not exist.
func (w *world) forgeAttempts(t *testing.T, source netip.Addr, n int) {
	t.Helper()
	from := netip.AddrPortFrom(source, 5060)
	f, err := sip.NewForger(t.Context(), w.Net(lab.Attack), from, pbxFor(source, 5060))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := range n {
		err := f.Send(sip.Request{Method: "REGISTER", From: fmt.Sprintf("%d-%s", i, source)})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}

// unknownAccounts returns the events about accounts that do not exist.
func (w *world) unknownAccounts() []lab.Event {
	return w.tap.Select(func(e lab.Event) bool { return e.Kind == "InvalidAccountID" })
}
