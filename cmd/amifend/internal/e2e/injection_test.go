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

// planted is the address that injected text names. No packet comes from it.
var planted = netip.MustParseAddr("9.9.9.9")

// injections are users of From as an attacker writes them. PJSIP decodes them to at most 36 bytes,
// and AMI prints those as they are. The first eight are capture 03's; the others are further ways
// to end a line or an event, and lone LFs and CRs.
var injections = []string{
	"bob\r\nFoo: bar",
	"\r\nRemoteAddress: IPV4/UDP/9.9.9.9/1",
	"b\r\n\r\nEvent: SuccessfulAuth",
	"b\r\nService: AMI\r\nSeverity: X",
	"\r\n\r\nResponse: Success\r\nA: b",
	"bob\r\n\r\n",
	"\r\nRemoteAddress: IPV4/TCP/9.9.9.9/1",
	"bob\r",
	"\nRemoteAddress: IPV4/UDP/9.9.9.9/1",
	"b\n\nEvent: InvalidAccountID",
	"\r\nEvent: InvalidAccountID",
	"Event: ChallengeSent",
}

// percent escapes the bytes that a URI must not hold, and no others: chan_sip cuts a To of more
// than 255 bytes.
func percent(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if strings.IndexByte("\r\n :@;<>", c) >= 0 {
			fmt.Fprintf(&b, "%%%02x", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// Injected text bans at most its own sender.
func testInjection(t *testing.T, w *world, d *daemon) {
	senders := make(map[netip.Addr]bool)
	for i, text := range injections {
		for _, tr := range []sip.Transport{sip.UDP, sip.TCP} {
			// Of a /24 of its own: no neighbour must get it banned.
			source := netip.AddrFrom4([4]byte{198, 18, byte(101 + i), 1})
			if tr == sip.TCP {
				source = netip.AddrFrom4([4]byte{198, 18, byte(151 + i), 1})
			}
			senders[source] = true

			c := w.dial(t, lab.Attack, tr, source)
			r := sip.Request{Method: "REGISTER", From: percent(text)}
			for range 8 {
				if _, err := c.Attempt(t.Context(), r); err != nil {
					break // banned: as it should be, where the sender is certain
				}
			}

			// The event may be torn in two: the sender's address is somewhere in one of them.
			what := fmt.Sprintf("%q over %s raises an event", text, tr)
			eventually(t, soon, what, func() bool {
				return len(w.tap.Select(func(e lab.Event) bool {
					return strings.Contains(e.Packet, "/"+source.String()+"/")
				})) > 0
			})
		}
	}
	w.onlySenders(t, d, senders)
}

// onlySenders checks that senders of injections are banned for that, that the planted address is
// not, and that the decoder was not put out of step: a plain guesser is still banned at its seventh
// attempt. (A scanner would be banned sooner, since so many strangers were here.)
func (w *world) onlySenders(t *testing.T, d *daemon, senders map[netip.Addr]bool) {
	t.Helper()
	injected := w.tap.Select(func(e lab.Event) bool {
		return strings.Contains(e.Packet, planted.String())
	})
	if len(injected) == 0 {
		t.Error("no packet of the AMI bore the planted address: the test tested nothing")
	}

	time.Sleep(500 * time.Millisecond) // packets that the decoder held back have been judged
	banned := 0
	for _, e := range w.bans(t, lab.PBX) {
		if e.Prefix.Contains(planted) {
			t.Errorf("injected text became a ban: %+v", e)
		}
		if senders[e.Prefix.Addr()] {
			banned++
		}
	}
	named := func(l line) bool { return strings.Contains(l.Source, planted.String()) }
	for _, l := range d.all(named) {
		t.Errorf("injected text became a source: %s", l.raw)
	}

	// The rule that sees through them must have been at work, not only the score.
	injectors := d.all(func(l line) bool { return l.Msg == sayBanned && l.Rule == "injection" })
	if len(injectors) == 0 || banned == 0 {
		t.Error("nobody was banned for injecting text")
	}
	t.Logf("%d of %d senders of injections were banned", banned, len(senders))

	// An account that no injection named.
	c := w.dial(t, lab.Attack, sip.UDP, netip.MustParseAddr("198.18.199.1"))
	b := w.attackUntilBanned(t, d, c, guessAnother)
	if b.Attempts != 7 {
		t.Errorf("after the injections a guesser was banned at attempt %d, want 7: %s",
			b.Attempts, b.raw)
	}
}
