//go:build e2e

package e2e

import (
	"crypto/rand"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/e2e/lab"
	"github.com/amifend/amifend/cmd/amifend/internal/e2e/sip"
)

// The rules and kinds of the kernel sensor.
const (
	ruleUnseen   = "unseen_request"
	alertUnseen  = "unseen_requests"
	alertCracked = "compromised_account"
)

// hidden is a registration of which Asterisk raises no event.
func hidden(user string) sip.Request {
	return sip.Request{Method: "REGISTER", From: user, CallID: "\xff" + rand.Text()}
}

// What hides from Asterisk's log is seen in the kernel, and ten phones that register and call
// throughout are not accused.
func TestSensor(t *testing.T) {
	w := newWorld(t, "sid", "sensor")
	const allowed = "198.18.26.1"
	d := w.amifend(t, settings{control: true, allow: []string{lab.ITSP.String(), allowed}})
	phones := startFleet(t, w, allTransports...)

	eventually(t, time.Minute, "the sensor compares the PBX's refusals", func() bool {
		return strings.Contains(w.ask(t, d, "status"), "on, 1 of 1 server compared")
	})

	for _, tc := range []struct {
		transport sip.Transport
		from      string
		scope     string
	}{
		{sip.UDP, "198.18.21.1", "sip"},
		{sip.TCP, "198.18.22.1", "all"},
		{sip.WS, "198.18.23.1", "all"},
		{sip.UDP, "2001:db8:b021::1", "sip"},
	} {
		t.Run(string(tc.transport)+" "+tc.from, func(t *testing.T) {
			from := netip.MustParseAddr(tc.from)
			c := w.dial(t, lab.Attack, tc.transport, from)
			began := time.Now()
			_, err := c.GuessAs(t.Context(), hidden("1001"), "guess")
			t.Logf("the guess: %v", err)
			eventually(t, soon, "the ban of "+tc.from, func() bool { _, ok := d.ban(from); return ok })
			b, _ := d.ban(from)
			t.Logf("banned %s after the first request", b.Time.Sub(began))
			if b.Rule != ruleUnseen || b.Scope != tc.scope || b.Attempts != 1 {
				t.Errorf("rule %s, scope %s, %d attempts", b.Rule, b.Scope, b.Attempts)
			}
			if got := w.tap.Events(from); len(got) != 0 {
				t.Errorf("Asterisk raised events: %+v", got)
			}
		})
	}

	t.Run("a cracked account", func(t *testing.T) {
		from := netip.MustParseAddr(allowed)
		c := surely(w.dial(t, lab.Attack, sip.UDP, from))
		m, err := c.GuessAs(t.Context(), hidden("1030"), "lab-pw-1030")
		if err != nil || m.Status() != 200 {
			t.Fatalf("%v, %v", m, err)
		}
		l := d.wait(t, soon, alertCracked, func(l line) bool { return l.Kind == alertCracked })
		if l.Account != "1030" || l.Source != allowed {
			t.Errorf("told %s", l.raw)
		}
	})

	t.Run("at a phone's address", func(t *testing.T) {
		at := phones.phones[0].Local.Addr()
		c := surely(w.dial(t, lab.Phones, sip.UDP, at))
		for range 8 {
			if _, err := c.GuessAs(t.Context(), hidden("1001"), "guess"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(200 * time.Millisecond)
		}
		l := d.wait(t, soon, alertGuessing, func(l line) bool { return l.Kind == alertGuessing })
		if l.Source != at.String() {
			t.Errorf("told %s", l.raw)
		}
		l = d.wait(t, 2*soon, alertUnseen, func(l line) bool { return l.Kind == alertUnseen })
		if l.Source != at.String() || strings.Contains(l.Reason, "more addresses") {
			t.Errorf("told %s", l.raw)
		}
		w.unbanned(t, lab.PBX, at)
	})

	// Nobody else was accused.
	phones.works(t)
	for _, p := range phones.phones {
		w.unbanned(t, lab.PBX, p.Local.Addr())
	}
	for _, l := range d.all(func(l line) bool { return l.Kind == alertUnseen || l.Rule == ruleUnseen }) {
		if l.Kind == alertUnseen && l.Source != phones.phones[0].Local.Addr().String() {
			t.Errorf("accused: %s", l.raw)
		}
	}
	t.Log(w.ask(t, d, "status"))
	t.Logf("ten phones registered and called %d times", phones.stop())
}
