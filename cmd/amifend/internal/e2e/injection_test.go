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

// planted is the address that injected text names. No packet ever came from it.
var planted = netip.MustParseAddr("9.9.9.9")

// What an attacker writes as the user of From: PJSIP decodes it to at most 36 bytes and AMI prints those as they are.
// The first eight are capture 03's; the others are further ways to end a line or an event, and what a lone LF or CR would do.
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

// percent escapes what a URI must not hold. Only that: chan_sip cuts a To of more than 255 bytes.
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

// Injected text bans nobody but, at most, who sent it.
func testInjection(t *testing.T, w *world, d *daemon) {
	senders := make(map[netip.Addr]bool)
	for i, text := range injections {
		for _, tr := range []sip.Transport{sip.UDP, sip.TCP} {
			source := netip.AddrFrom4([4]byte{198, 18, byte(101 + i), 1}) // of a /24 of its own: no neighbour must get it banned
			if tr == sip.TCP {
				source = netip.AddrFrom4([4]byte{198, 18, byte(151 + i), 1})
			}
			senders[source] = true
			c := w.dial(t, lab.Attack, tr, source)
			for range 8 {
				if _, err := c.Attempt(t.Context(), sip.Request{Method: "REGISTER", From: percent(text)}); err != nil {
					break // banned: as it should be, where the sender is certain
				}
			}
			eventually(t, soon, fmt.Sprintf("%q over %s raises an event", text, tr), func() bool {
				return len(w.tap.Select(func(e lab.Event) bool { return strings.Contains(e.Packet, "/"+source.String()+"/") })) > 0
			})
		}
	}
	w.onlySenders(t, d, senders)
}

// onlySenders checks that senders of injections are banned for that, that the planted address is not, and that the decoder
// was not put out of step: a plain guesser is still banned at its seventh attempt. (A scanner would be sooner, with so many
// strangers about.)
func (w *world) onlySenders(t *testing.T, d *daemon, senders map[netip.Addr]bool) {
	t.Helper()
	injected := w.tap.Select(func(e lab.Event) bool { return strings.Contains(e.Packet, planted.String()) })
	if len(injected) == 0 {
		t.Error("no packet of the AMI bore the planted address: the test tested nothing")
	}
	time.Sleep(500 * time.Millisecond) // what was held back has been judged
	banned := 0
	for _, e := range w.bans(t, lab.PBX) {
		if e.Prefix.Contains(planted) {
			t.Errorf("injected text became a ban: %+v", e)
		}
		if senders[e.Prefix.Addr()] {
			banned++
		}
	}
	if l, ok := d.find(func(l line) bool { return strings.Contains(l.Source, planted.String()) }); ok {
		t.Errorf("injected text became a source: %s", l.raw)
	}
	if _, ok := d.find(func(l line) bool { return l.Msg == sayBanned && l.Rule == "injection" }); !ok || banned == 0 {
		t.Error("nobody was banned for injecting text")
	}
	t.Logf("%d of %d senders of injections were banned", banned, len(senders))

	c := w.dial(t, lab.Attack, sip.UDP, netip.MustParseAddr("198.18.199.1"))
	if b := w.attackUntilBanned(t, d, c, guessAnother); b.Attempts != 7 {
		t.Errorf("after the injections a guesser was banned at attempt %d, want 7: %s", b.Attempts, b.raw)
	}
}
