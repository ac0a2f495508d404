//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/e2e/lab"
	"github.com/amifend/amifend/cmd/amifend/internal/e2e/sip"
)

// The red team: ways to have a chosen victim banned, to stay unseen, to slow amifend down, and to
// write where people read. Each attacker has networks of its own. The attacks share one Asterisk and
// one amifend, and phones that work all the time.
func TestRedTeamAsterisk22(t *testing.T) {
	w := newWorld(t, "sid", "redteam")
	inbox := w.receiveMessages(t)
	d := w.amifend(t, settings{
		control: true, allow: []string{lab.ITSP.String()},
		policy: []string{`canary_accounts = ["canary"]`},
		more:   "\n[metrics]\nlisten = \"" + metricsAt + "\"\n" + inbox.target(),
	})
	phones := startFleet(t, w, sip.UDP, sip.TCP, sip.UDP, sip.WS)

	for _, a := range []struct {
		name string
		run  func(*testing.T, *world, *daemon)
	}{
		{"name a victim in every header, over UDP", namesVictimInHeaders(sip.UDP, "198.18.201.1")},
		{"name a victim in every header, over TCP", namesVictimInHeaders(sip.TCP, "198.18.202.1")},
		{"claim to be a victim's proxy over WebSocket", testForwardedFor},
		{"claim to be a victim's proxy by the PROXY protocol", testProxyProtocol},
		{"embed a victim's address in one of IPv6", testEmbeddedAddresses},
		{"guess by every method", testEveryMethod},
		{"write the account in other ways", testAccountsInOtherWays},
		{"ask for existing accounts and never answer", testNeverAnswers},
		{"send the longest lines", testLongestLines},
		{"name oneself as the PBX, to be freed", testNamesItselfAsPBX},
		{"have requests forgotten by a flood of challenges", testFloodOfChallenges},
		{"write into terminals, the log, metrics and messages", func(
			t *testing.T, w *world, d *daemon,
		) {
			testHostileNames(t, w, d, inbox)
		}},
	} {
		t.Run(a.name, func(t *testing.T) {
			a.run(t, w, d)
			phones.check(t)
		})
	}

	phones.works(t)
	for _, p := range phones.phones {
		w.unbanned(t, lab.PBX, p.Local.Addr())
	}
	if n := len(d.all(func(l line) bool { return l.Msg == sayConnected })); n != 1 {
		t.Errorf("amifend has connected %d times: an attacker cut the session", n)
	}
}

// Asterisk 16 reads more of the Via: chan_sip takes the address of the sender from there.
func TestRedTeamAsterisk16(t *testing.T) {
	w := newWorld(t, "bullseye", "redteam")
	d := w.amifend(t, settings{control: true, firewall: bothPorts})
	phones := startFleet(t, w, sip.UDP, sip.TCP)

	t.Run("name a victim in every header, over UDP", func(t *testing.T) {
		namesVictimInHeaders(sip.UDP, "198.18.201.1")(t, w, d)
	})
	t.Run("name a victim in every header, over TCP", func(t *testing.T) {
		namesVictimInHeaders(sip.TCP, "198.18.202.1")(t, w, d)
	})
	t.Run("name addresses that are nobody's", func(t *testing.T) { testSpecialMaddr(t, w, d) })
	t.Run("name a victim as an address of IPv6", func(t *testing.T) { testMappedMaddr(t, w, d) })

	phones.works(t)
	w.everyBanIsShort(t, d)
}

// victim is an address that never logged in, so nothing but the truth protects it.
var victim = netip.MustParseAddr("10.20.0.180")

// namesVictimInHeaders names the victim in all headers that bear an address. The guesser is banned,
// and the victim is not even held for a suspect.
func namesVictimInHeaders(tr sip.Transport, from string) func(*testing.T, *world, *daemon) {
	return func(t *testing.T, w *world, d *daemon) {
		c := w.dial(t, lab.Attack, tr, netip.MustParseAddr(from))
		v := netip.AddrPortFrom(victim, 5060)
		try := func(ctx context.Context, c *sip.Client, n int) error {
			_, err := c.GuessAs(ctx, sip.Request{
				Method: "REGISTER", From: nobody(c, n), Host: victim.String(),
				Via:    sip.Via{SentBy: v, Params: ";received=" + victim.String() + ";alias;keep"},
				CallID: fmt.Sprintf("%d@%s", n, victim),
				Header: []string{
					"Via: SIP/2.0/UDP " + v.String() + ";received=" + victim.String() + ";branch=z9hG4bK1",
					"Contact: <sip:1001@" + v.String() + ">",
					"Path: <sip:" + victim.String() + ";lr>",
					"Record-Route: <sip:" + victim.String() + ";lr>",
					"P-Asserted-Identity: <sip:1001@" + victim.String() + ">",
					"Remote-Party-ID: <sip:1001@" + victim.String() + ">",
					"X-Forwarded-For: " + victim.String(), "X-Real-IP: " + victim.String(),
					"Forwarded: for=" + victim.String(),
					"User-Agent: " + victim.String() + " RemoteAddress: IPV4/UDP/" + victim.String() + "/1",
				},
			}, "guess")
			return err
		}
		b := w.attackUntilBanned(t, d, c, try)
		t.Logf("banned at attempt %d by %s", b.Attempts, b.Rule)
		w.neverNamed(t, d, victim)
	}
}

// neverNamed checks that a victim was not banned, and that no line of the log holds it for a source.
func (w *world) neverNamed(t *testing.T, d *daemon, victim netip.Addr) {
	t.Helper()
	w.neverBanned(t, d, victim)
	if l, ok := d.find(func(l line) bool { return l.Source == victim.String() }); ok {
		t.Errorf("%s is named as a source: %s", victim, l.raw)
	}
}

// testForwardedFor guesses over a WebSocket whose handshake says that it forwards for a victim.
func testForwardedFor(t *testing.T, w *world, d *daemon) {
	c := w.dial(t, lab.Attack, sip.WS, netip.MustParseAddr("198.18.203.1"))
	w.attackUntilBanned(t, d, c, unknown("REGISTER"))
	w.neverNamed(t, d, netip.MustParseAddr(sip.ForwardedFor))
}

// testProxyProtocol begins a connection as a load balancer does (PROXY protocol, version 1), for a
// victim. Whatever Asterisk makes of it, only the peer is banned.
func testProxyProtocol(t *testing.T, w *world, d *daemon) {
	from := netip.MustParseAddr("198.18.204.1")
	head := fmt.Sprintf("PROXY TCP4 %s %s 5060 5060\r\n", victim, lab.PBX4)
	try := func(ctx context.Context, _ *sip.Client, n int) error {
		// Each attempt is a connection of its own: Asterisk may close one that begins so.
		c, err := sip.Dial(ctx, w.Net(lab.Attack), sip.TCP, netip.AddrPortFrom(from, 0), pbxFor(from, 5060))
		if err != nil {
			return nil // banned: the connection is not answered
		}
		defer c.Close()
		if err := c.SendRaw([]byte(head)); err != nil {
			return err
		}
		_, err = c.Attempt(ctx, sip.Request{Method: "REGISTER", From: nobody(c, n)})
		if err != nil {
			return sip.ErrNoAnswer
		}
		return nil
	}

	c := w.dial(t, lab.Attack, sip.TCP, from)
	for n := range 4 {
		if err := try(t.Context(), c, n); err != nil && !errors.Is(err, sip.ErrNoAnswer) {
			t.Fatal(err)
		}
	}
	if len(w.failures(from)) > 0 {
		w.attackUntilBanned(t, d, c, try)
	}
	w.neverNamed(t, d, victim)

	// Without the line, the attacker is seen as ever.
	w.attackUntilBanned(t, d, c, unknown("REGISTER"))
}

// testEmbeddedAddresses forges sources of IPv6 that embed an address of IPv4: that of a stranger, and
// that of a phone which proved itself. At most the address of IPv6 itself is banned.
func testEmbeddedAddresses(t *testing.T, w *world, d *daemon) {
	for _, v := range []netip.Addr{victim, netip.MustParseAddr("10.20.0.111")} {
		b := v.As4()
		for _, source := range []string{
			fmt.Sprintf("64:ff9b::%02x%02x:%02x%02x", b[0], b[1], b[2], b[3]),
			fmt.Sprintf("2002:%02x%02x:%02x%02x::1", b[0], b[1], b[2], b[3]),
			fmt.Sprintf("2001:0:102:304:0:ec77:%02x%02x:%02x%02x", ^b[0], ^b[1], ^b[2], ^b[3]),
			fmt.Sprintf("2001:db8:b0ff:1::5efe:%02x%02x:%02x%02x", b[0], b[1], b[2], b[3]), // ISATAP
		} {
			w.forge(t, netip.AddrPortFrom(netip.MustParseAddr(source), 5060), 1)
		}
		w.judged(t, d, "198.18.205."+strconv.Itoa(int(b[3])))
		w.neverBanned(t, d, v)
	}

	for _, e := range w.bans(t, lab.PBX) {
		if a := e.Prefix.Addr(); a.Is6() && e.Prefix.Bits() < 64 && !netip.MustParsePrefix("2000::/3").Contains(a) {
			t.Errorf("a whole network of translators is banned: %+v", e)
		}
	}
}

// testEveryMethod guesses a password by each method. Where Asterisk tells a right password from a
// wrong one, the guesser must be seen, and is banned.
func testEveryMethod(t *testing.T, w *world, d *daemon) {
	for i, method := range []string{
		"REGISTER", "INVITE", "OPTIONS", "SUBSCRIBE", "PUBLISH", "MESSAGE", "INFO", "NOTIFY", "REFER",
		"UPDATE", "PRACK",
	} {
		c := w.dial(t, lab.Attack, sip.TCP, netip.AddrFrom4([4]byte{198, 18, byte(206 + i), 1}))
		account := fmt.Sprint(1020 + i%8)

		right, err := surely(c).Guess(within(t, time.Second), method, account, "lab-pw-"+account)
		if err != nil || right.Status() == 401 {
			t.Logf("%s is no way to guess: %v", method, err)
			continue
		}
		stranger := w.dial(t, lab.Attack, sip.TCP, netip.AddrFrom4([4]byte{198, 18, byte(219 + i), 1}))
		wrong, err := surely(stranger).Guess(within(t, soon), method, account, "wrong")
		if err == nil && wrong.Status() == right.Status() {
			t.Logf("%s tells nothing: %d for every password", method, right.Status())
			continue
		}

		stranger.Patience = 300 * time.Millisecond
		b := w.attackUntilBanned(t, d, stranger, func(ctx context.Context, c *sip.Client, n int) error {
			_, err := c.Guess(ctx, method, account, fmt.Sprint("guess-", n))
			return err
		})
		t.Logf("%s: banned at attempt %d", method, b.Attempts)
	}
}

// testAccountsInOtherWays guesses passwords of one account, which is written in another way each
// time. None of them makes the guesses count for less.
func testAccountsInOtherWays(t *testing.T, w *world, d *daemon) {
	for i, from := range []string{
		"%31%30%31%39", "1019;phone-context=example.com", "1019;isub=1", "1019:secret", "+1019",
		"%2B1019", "1019%00", "%EF%BC%91%EF%BC%90%EF%BC%91%EF%BC%99", "1019%20", "1019%E2%80%8B",
	} {
		c := w.dial(t, lab.Attack, sip.TCP, netip.AddrFrom4([4]byte{198, 18, byte(232 + i), 1}))
		b := w.attackUntilBanned(t, d, c, func(ctx context.Context, c *sip.Client, n int) error {
			made := sip.MadeUp("1019", "REGISTER", "sip:"+c.Host())
			_, err := c.Attempt(ctx, sip.Request{
				Method: "REGISTER", From: from, To: "1019", Header: []string{made},
			})
			return err
		})
		if b.Attempts > 7 {
			t.Errorf("%s: banned at attempt %d, want 7 at most: %s", from, b.Attempts, b.raw)
		}
	}
}

// testNeverAnswers looks for existing accounts: Asterisk sends a challenge, which is no failure, and
// the scanner goes on to the next.
func testNeverAnswers(t *testing.T, w *world, d *daemon) {
	c := w.dial(t, lab.Attack, sip.TCP, netip.MustParseAddr("198.18.243.1"))
	ask := func(n int) error {
		_, err := c.Attempt(t.Context(), sip.Request{Method: "REGISTER", From: fmt.Sprint(1001 + n%30)})
		return err
	}
	for n := range 30 {
		if err := ask(n); err != nil {
			t.Fatalf("%d: %v", n, err) // a phone may need a while to answer, so there is no ban yet
		}
	}

	// It is banned by one of its next questions, when the time for answers is over.
	n := 30
	eventually(t, 30*time.Second, "the ban of "+c.Local.String(), func() bool {
		_ = ask(n) // it may be cut off
		n++
		_, ok := d.ban(c.Local.Addr())
		return ok
	})
	if n := len(w.failures(c.Local.Addr())); n > 0 {
		t.Errorf("Asterisk told of %d failures: the test tested something else", n)
	}
}

// testLongestLines sends Call-IDs that make the longest lines of the AMI that Asterisk writes. The
// session stays, and the sender is banned.
func testLongestLines(t *testing.T, w *world, d *daemon) {
	for i, size := range []int{8 << 10, 32 << 10, 60_000, 64_500} {
		c := w.dial(t, lab.Attack, sip.TCP, netip.AddrFrom4([4]byte{198, 18, byte(244 + i), 1}))
		id := strings.Repeat("x", size)
		for n := range 6 {
			r := sip.Request{Method: "REGISTER", From: nobody(c, n), CallID: fmt.Sprint(n, id)}
			if _, err := c.Attempt(t.Context(), r); err != nil {
				break // banned, or Asterisk refuses so long a message
			}
		}

		// What Asterisk does not take it does not tell of either.
		if len(w.failures(c.Local.Addr())) > 0 {
			w.attackUntilBanned(t, d, c, unknown("REGISTER"))
		} else {
			t.Logf("a Call-ID of %d bytes raises no event", size)
		}
	}
}

// testNamesItselfAsPBX has an accomplice name a banned attacker as the PBX, in all places that say
// whom a request is for. What the PBX then says of itself must not free the attacker.
func testNamesItselfAsPBX(t *testing.T, w *world, d *daemon) {
	attacker := netip.MustParseAddr("198.18.248.1")
	w.attackUntilBanned(t, d, w.dial(t, lab.Attack, sip.TCP, attacker), unknown("REGISTER"))

	for i, tr := range []sip.Transport{sip.UDP, sip.TCP, sip.WS} {
		c := w.dial(t, lab.Attack, tr, netip.AddrFrom4([4]byte{198, 18, 249, byte(i + 1)}))
		_, err := surely(c).Attempt(t.Context(), sip.Request{
			Method: "REGISTER", From: nobody(c, 0), Host: attacker.String(),
			Header: []string{"Route: <sip:" + lab.PBX4.String() + ";lr>", "Host: " + attacker.String()},
		})
		if err != nil {
			t.Fatalf("%s: %v", tr, err)
		}
	}
	w.judged(t, d, "198.18.250.1")
	if _, ok := w.element(t, attacker); !ok {
		t.Error("the attacker is free")
	}
	if list := w.ask(t, d, "allow", "--list"); strings.Contains(list, attacker.String()) {
		t.Errorf("the attacker is never banned:\n%s", list)
	}
}

// testFloodOfChallenges raises challenges as fast as Asterisk does, each with a Call-ID of its own,
// from many addresses. amifend remembers a bounded number of them, keeps up, and bans the next
// scanner as ever.
func testFloodOfChallenges(t *testing.T, w *world, d *daemon) {
	ctx, stop := context.WithTimeout(t.Context(), time.Second)
	defer stop()
	sent := make(chan int)
	for i := range 4 {
		c := w.dial(t, lab.Attack, sip.UDP, netip.AddrFrom4([4]byte{203, 0, 113, byte(10 + i)}))
		go func() {
			n := 0
			for ctx.Err() == nil {
				_ = c.Send(c.Request(sip.Request{Method: "REGISTER", From: fmt.Sprint(1001 + n%30)}))
				n++
			}
			sent <- n
		}()
	}
	total := 0
	for range 4 {
		total += <-sent
	}

	c := w.dial(t, lab.Attack, sip.TCP, netip.MustParseAddr("198.18.251.1"))
	b := w.attackUntilBanned(t, d, c, unknown("REGISTER"))
	t.Logf("after %d requests banned at attempt %d", total, b.Attempts)
	if b.Attempts > 4 {
		t.Errorf("banned at attempt %d, want 4 at most: %s", b.Attempts, b.raw)
	}
	if mb := residentMB(t, d.cmd.Process.Pid); mb > 400 {
		t.Errorf("amifend takes %d MB", mb)
	}
}

// residentMB returns the memory of a process.
func residentMB(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kb / 1024
}
