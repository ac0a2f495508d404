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

const (
	sayProves   = "the kernel sensor proves senders over UDP by their nonces"
	alertAstray = "answers_led_astray"
)

// Over UDP a guesser with nonces of its own is banned like one over TCP. Whoever forges the address
// of a phone, with whatever nonce they can get, bans nobody.
func TestProofByNonce(t *testing.T) {
	w := newWorld(t, "sid", "proof")
	d := w.amifend(t, settings{control: true})
	phones := startFleet(t, w, sip.UDP, sip.UDP, sip.UDP)
	d.wait(t, time.Minute, sayProves, func(l line) bool { return l.Msg == sayProves })

	t.Run("svcrack", func(t *testing.T) {
		source := netip.MustParseAddr("198.18.50.1")
		out := w.runTool(t, d, source, "svcrack", "-u", "1001", "-r", "1000-3000", lab.PBX4.String())
		w.fullBan(t, d, source, 7, out)
	})
	t.Run("over IPv6", func(t *testing.T) {
		c := w.dial(t, lab.Attack, sip.UDP, netip.MustParseAddr("2001:db8:b050::1"))
		w.attackUntilBanned(t, d, c, guessAnother)
		w.fullBan(t, d, c.Local.Addr(), 7, "")
	})

	for i, tc := range []struct {
		name   string
		nonces func(t *testing.T, victim netip.AddrPort, n byte) func() string
	}{
		{"made-up nonces", w.madeUp},
		{"nonces of another address", w.stolen},
		{"stale nonces", w.stale},
		{"hole A: leaked by maddr", w.leaked},
		{"hole B: planted by maddr", w.planted},
		{"hole D: echoed", w.echoed},
		{"hole F: leaked while rules are away", w.leakedUnseen},
	} {
		t.Run(tc.name, func(t *testing.T) {
			phone := phones.phones[0]
			w.forgeAnswers(t, phone.Local, tc.nonces(t, phone.Local, byte(i+1)))
			w.judged(t, d, fmt.Sprintf("198.18.%d.1", 80+i))
			w.neverBanned(t, d, phone.Local.Addr())
			for _, l := range d.all(func(l line) bool { return l.Source == phone.Local.Addr().String() }) {
				if l.Scope != "" {
					t.Errorf("said %s", l.raw)
				}
			}
		})
	}

	// Who has the answers sent elsewhere is told: the victim of those that are planted, and the reader
	// of those that are asked for in many names.
	told := func(source string) {
		t.Helper()
		d.wait(t, soon, alertAstray+" of "+source, func(l line) bool {
			return l.Kind == alertAstray && l.Source == source
		})
	}
	told(attackerOf(5).String()) // its own name: it planted
	reader := netip.MustParseAddr("198.18.72.1")
	for n := range 4 {
		name := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(60 + n)}), 5060)
		nonceOf(t, w.dialForged(t, name, reader))
	}
	told(reader.String())

	phones.works(t)
	t.Run("a guesser at a phone's address", func(t *testing.T) {
		at := phones.phones[1].Local.Addr()
		c := surely(w.dial(t, lab.Phones, sip.UDP, at))
		for n := range 12 {
			_ = guessOf(t.Context(), c, fmt.Sprint(1020+n%8), n) // until it is banned
		}
		b := d.wait(t, soon, "the ban of "+at.String(), func(l line) bool {
			return l.Msg == sayBanned && l.Source == at.String()
		})
		if b.Scope != "sip" {
			t.Errorf("banned %s", b.raw)
		}
		l := d.wait(t, soon, alertGuessing, func(l line) bool {
			return l.Kind == alertGuessing && l.Source == at.String() && strings.Contains(l.Reason, "nonces")
		})
		t.Log(l.raw)
	})
}

// fullBan wants that a source is banned from everything, for the full time, as one strike.
func (w *world) fullBan(t *testing.T, d *daemon, source netip.Addr, attempts int, out string) {
	t.Helper()
	eventually(t, soon, "the ban of scope all of "+source.String(), func() bool {
		bans := d.bans(source)
		return len(bans) > 0 && bans[len(bans)-1].Scope == "all"
	})
	bans := d.bans(source)
	b := bans[len(bans)-1]
	if b.Attempts != attempts || strings.Contains(b.Reason, "forgeable") {
		t.Errorf("want %d attempts, all proven: %s\n%s", attempts, b.raw, out)
	}
	e, ok := w.element(t, source)
	if !ok || e.Timeout < 50*time.Minute {
		t.Errorf("in the kernel: %+v", e)
	}
}

// forgeAnswers sends answers to challenges in a victim's name, and waits until Asterisk has raised a
// failure for each.
func (w *world) forgeAnswers(t *testing.T, victim netip.AddrPort, next func() string) {
	t.Helper()
	const answers = 12
	f := w.forger(t, victim)
	before := len(w.failures(victim.Addr()))
	for n := range answers {
		c := sip.Challenge{Realm: "asterisk", Nonce: next()}
		user, target := fmt.Sprint(1020+n%8), "sip:"+lab.PBX4.String()
		answer := c.Answer(user, "guess", "REGISTER", target)
		if err := f.Send(sip.Request{
			Method: "REGISTER", From: user, Target: target, Header: []string{"Authorization: " + answer},
		}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(150 * time.Millisecond) // each is decided by itself
	}
	eventually(t, soon, fmt.Sprintf("%d failures of %s", answers, victim), func() bool {
		return len(w.failures(victim.Addr())) >= before+answers
	})
}

func (w *world) forger(t *testing.T, name netip.AddrPort) *sip.Forger {
	t.Helper()
	// A nonce is the same for all ports.
	port := uint16(30000 + time.Now().UnixNano()%10000)
	name = netip.AddrPortFrom(name.Addr(), port)
	f, err := sip.NewForger(t.Context(), w.Net(lab.Attack), name, pbxFor(name.Addr(), 5060))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// leak is an attacker who sends in a victim's name, from another port of it, and reads the answers.
func (w *world) leak(t *testing.T, victim netip.AddrPort, n byte) *sip.Client {
	t.Helper()
	return w.dialForged(t, netip.AddrPortFrom(victim.Addr(), 20000+uint16(n)), attackerOf(n))
}

// nonceOf asks for a challenge, and returns its nonce.
func nonceOf(t *testing.T, c *sip.Client) string {
	t.Helper()
	m, err := c.Attempt(t.Context(), sip.Request{Method: "REGISTER", From: "1020"})
	if err != nil {
		t.Fatal(err)
	}
	ch, ok := sip.ParseChallenge(m.Get("WWW-Authenticate"))
	if !ok {
		t.Fatalf("no challenge: %s", m.Start)
	}
	return ch.Nonce
}

// ask has the PBX challenge somebody who did not ask for it.
func ask(t *testing.T, f *sip.Forger) {
	t.Helper()
	if err := f.Send(sip.Request{Method: "REGISTER", From: "1020"}); err != nil {
		t.Fatal(err)
	}
}

// attackerOf returns an address of its own for each test.
func attackerOf(n byte) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, 71, n}) }

func (w *world) madeUp(*testing.T, netip.AddrPort, byte) func() string {
	n := 0
	return func() string { n++; return fmt.Sprintf("%d/%032x", time.Now().Unix(), n) }
}

// stolen are nonces of the attacker's own address, over TLS, so that no sensor sees them.
func (w *world) stolen(t *testing.T, _ netip.AddrPort, n byte) func() string {
	c := surely(w.dial(t, lab.Attack, sip.TLS, attackerOf(n)))
	return func() string { return nonceOf(t, c) }
}

// stale are nonces that went to the victim, and to the attacker, long ago.
func (w *world) stale(t *testing.T, victim netip.AddrPort, n byte) func() string {
	leak := w.leak(t, victim, n)
	old := nonceOf(t, leak)
	time.Sleep(3 * time.Second)
	f := w.forger(t, victim)
	return func() string { ask(t, f); return old }
}

// leaked are nonces of the victim that maddr sent to the attacker, and that go to the victim in the
// same second.
func (w *world) leaked(t *testing.T, victim netip.AddrPort, n byte) func() string {
	leak, f := w.leak(t, victim, n), w.forger(t, victim)
	return func() string {
		ask(t, f)
		out := nonceOf(t, leak)
		ask(t, f)
		return out
	}
}

// planted are nonces of the attacker, unseen, that maddr sends to the victim.
func (w *world) planted(t *testing.T, victim netip.AddrPort, n byte) func() string {
	own := surely(w.dial(t, lab.Attack, sip.TLS, attackerOf(n)))
	plant := w.dialNaming(t, sip.UDP, attackerOf(n), victim.Addr())
	return func() string {
		out := nonceOf(t, own)
		if err := plant.Send(plant.Request(sip.Request{Method: "REGISTER", From: "1020"})); err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// echoed are nonces of the attacker that the PBX echoes to the victim.
func (w *world) echoed(t *testing.T, victim netip.AddrPort, n byte) func() string {
	own, f := surely(w.dial(t, lab.Attack, sip.TLS, attackerOf(n))), w.forger(t, victim)
	return func() string {
		out := nonceOf(t, own)
		if err := f.Send(sip.Request{
			Method: "REGISTER", From: "1020", Tag: fmt.Sprintf("x;nonce=%q", out),
		}); err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// leakedUnseen are leaked while somebody has flushed the rules.
func (w *world) leakedUnseen(t *testing.T, victim netip.AddrPort, n byte) func() string {
	leak, f := w.leak(t, victim, n), w.forger(t, victim)
	return func() string {
		if out, err := w.Exec(t.Context(), lab.PBX, "nft", "flush chain inet amifend challenged"); err != nil {
			t.Fatal(out, err)
		}
		out := nonceOf(t, leak)
		ask(t, f)
		time.Sleep(100 * time.Millisecond) // the rules are back
		ask(t, f)
		return out
	}
}
