package ami

import (
	"net/netip"
	"strings"
	"testing"
)

// FuzzDecoder feeds any bytes in any pieces, with Release anywhere: nothing panics, memory is
// bounded, every event has a source, without Release the pieces do not matter, and the reference
// decoder reads the same.
func FuzzDecoder(f *testing.F) {
	for _, k := range everyKind() {
		f.Add([]byte(asterisk{kind: k, account: "1001"}.String()), uint64(k))
		f.Add([]byte(asterisk{kind: k, service: "SIP", account: "a\r\n\r\nResponse: x"}.String()),
			uint64(k))
	}
	f.Add([]byte("Asterisk Call Manager/11.0.0\r\nResponse: Success\r\nActionID: 1\r\n\r\n\r\n"),
		uint64(3))

	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		whole := newPlayer("1001")
		whole.feed(string(stream), max(1, len(stream)))
		r := newRand(seed)

		// One decoder gets other pieces, a second one is also released at random places.
		split, torn := newPlayer("1001"), newPlayer("1001")
		for rest := string(stream); len(rest) > 0; {
			n := min(1+r.IntN(64), len(rest))
			split.feed(rest[:n], n)
			torn.feed(rest[:n], n)
			if r.IntN(3) == 0 {
				torn.release()
			}
			rest = rest[n:]
		}

		if whole.out.String() != split.out.String() || whole.Stats() != split.Stats() ||
			whole.Held() != split.Held() {
			t.Errorf("split, something else comes out:\n%s\nwhole:\n%s", split.out.String(),
				whole.out.String())
		}

		// What holds for all of them, whatever came.
		for _, p := range []*player{whole, split, torn} {
			p.release()
			if len(p.Buffer()) < freeSize || len(p.frame.buf) > 1<<20 {
				t.Errorf("buffer of %d bytes has %d free", len(p.frame.buf), len(p.Buffer()))
			}
			if n := p.Stats(); n.Bytes != uint64(len(stream)) {
				t.Errorf("counted %d bytes of %d", n.Bytes, len(stream))
			}

			for _, e := range p.events {
				if !e.Source.IsValid() || e.Kind == KindUnknown || e.Time.IsZero() {
					t.Errorf("incomplete event: %s", render(e))
				}
			}
		}

		// A decoder that shares no code with this one reads the same.
		compareWithReference(t, string(stream), whole)
	})
}

// templates are the events with text of their sender, and how much of it Asterisk lets through.
var templates = []struct {
	name  string
	limit [2]int
	print func(a, b string) string
}{
	{"PJSIP InvalidAccountID", [2]int{36, 0}, func(a, _ string) string {
		return asterisk{kind: KindInvalidAccountID, account: a}.String()
	}},
	{"PJSIP ChallengeResponseFailed", [2]int{63, 255}, func(a, b string) string {
		return asterisk{
			kind: KindChallengeResponseFailed, account: "<unknown>",
			tail: "Challenge: " + a + "\r\nResponse: " + b + "\r\nExpectedResponse: \r\n",
		}.String()
	}},
	{"SIP ChallengeSent", [2]int{215, 0}, func(a, _ string) string {
		return asterisk{
			kind: KindChallengeSent, service: "SIP", account: a,
			tail: "Challenge: 67a746aa\r\n",
		}.String()
	}},
	{"SIP InvalidPassword", [2]int{215, 0}, func(a, _ string) string {
		return asterisk{
			kind: KindInvalidPassword, service: "SIP", account: a, version: "2",
			tail: "Challenge: 1\r\nReceivedChallenge: 1\r\nReceivedHash: 2\r\n",
		}.String()
	}},
	{"SIP InvalidAccountID", [2]int{215, 0}, func(a, _ string) string {
		return asterisk{kind: KindInvalidAccountID, service: "SIP", account: a}.String()
	}},
	{"SIP FailedACL", [2]int{215, 0}, func(a, _ string) string {
		return asterisk{
			kind: KindFailedACL, service: "SIP", account: a,
			tail: "ACLName: device_must_match_acl\r\n",
		}.String()
	}},
	{"SIP ChallengeResponseFailed", [2]int{215, 0}, func(a, _ string) string {
		return asterisk{
			kind: KindChallengeResponseFailed, service: "SIP", account: a,
			tail: "Challenge: 2e0a4eb1\r\nResponse: other\r\nExpectedResponse: \r\n",
		}.String()
	}},
	{"SIP SuccessfulAuth", [2]int{215, 0}, func(a, _ string) string {
		return asterisk{kind: KindSuccessfulAuth, service: "SIP", account: a}.String()
	}},
	{"SIP InvalidTransport", [2]int{215, 0}, func(a, _ string) string {
		return asterisk{kind: KindInvalidTransport, service: "SIP", account: a}.String()
	}},
}

// checkInjection plays an event with text of an attacker between events of others: whatever the
// text, the event's source is the true sender or there is none, it gives one untainted event at
// most, and the events of others all come.
func checkInjection(t *testing.T, template int, a, b string, seed uint64) {
	t.Helper()
	x := templates[template]
	a, b = a[:min(len(a), x.limit[0])], b[:min(len(b), x.limit[1])]
	before := asterisk{kind: KindChallengeSent, account: "before", remote: "IPV4/UDP/192.0.2.1/1"}
	after := asterisk{kind: KindInvalidAccountID, account: "after", remote: "IPV4/UDP/192.0.2.2/2"}

	if seed%3 == 1 {
		before.service, after.service = "SIP", "SIP"
	}
	if seed%3 == 2 {
		before.service, after.service = "AMI", "AMI"
	}

	// Asterisk writes a packet in one go, so a release comes only between packets.
	r, p := newRand(seed), newPlayer("")
	write := func(packet string) {
		for len(packet) > 0 {
			n := min(1+r.IntN(600), len(packet))
			p.feed(packet[:n], n)
			packet = packet[n:]
		}

		if seed&8 != 0 && r.IntN(2) == 0 {
			p.release()
		}
	}
	for _, packet := range []string{
		before.String(), x.print(a, b), after.String(),
		after.String(),
	} {
		write(packet)
	}

	p.release()

	// Sort the events by who they are about. Nobody else may appear.
	sender := netip.MustParseAddr("198.51.100.11")
	var untainted, tainted, first, others int
	for _, e := range p.events {
		switch {
		case e.Source.Addr() == sender && e.Taint == Untainted:
			untainted++
		case e.Source.Addr() == sender:
			tainted++
		case e.Taint == Untainted && string(e.Account) == "before" &&
			e.Source.Addr() == netip.MustParseAddr("192.0.2.1"):
			first++
		case e.Taint == Untainted && string(e.Account) == "after" &&
			e.Source.Addr() == netip.MustParseAddr("192.0.2.2"):
			others++
		default:
			t.Errorf("an event out of nothing: %s", render(e))
		}
	}

	if untainted+tainted > 1 || first != 1 {
		t.Errorf("%d untainted and %d tainted events of the sender, %d before it", untainted,
			tainted, first)
	}

	// The text of a digest may swallow the event after it, at the price of evidence; nothing else
	// may.
	if others != 2 && (template != 1 || others != 1) {
		t.Errorf("%d of the 2 events after it came", others)
	}
	if t.Failed() {
		t.Logf("%s, seed %d, with %q and %q:\n%s%s", x.name, seed, a, b, p.out.String(),
			renderStats(p.Stats()))
	}
}

func FuzzInjection(f *testing.F) {
	for i := range templates {
		f.Add(byte(i), "1001", "1001", uint64(0))
		f.Add(byte(i), "a\r\nRemoteAddress: IPV4/UDP/9.9.9.9/1",
			"y\r\nExpectedResponse: \r\n\r\n"+asterisk{
				kind:   KindFailedACL,
				remote: victimAddress,
			}.String(), uint64(8))

		f.Add(byte(i), "a\r\n\r\nEvent: FailedACL", "\r\n\r\nResponse: ", uint64(1))
		f.Add(byte(i), shortestTail(KindInvalidPassword, "0x1234")+shortestTail(KindInvalidPassword,
			"0x1234"), "", uint64(2))
	}

	f.Fuzz(func(t *testing.T, template byte, a, b string, seed uint64) {
		checkInjection(t, int(template)%len(templates), a, b, seed)
	})
}

// TestGeneratedInjections composes the texts that an attacker would try, which a fuzzer finds only
// by luck.
func TestGeneratedInjections(t *testing.T) {
	pieces := []string{
		"\r\n", "\r\n", "\r\n\r\n", "\r\n\r\n", "x", "", "\r", "\n", "Foo: bar", "Event: A",
		"Event: FailedACL", "Event: FullyBooted",
		"Response: ", "Response: Success", "\r\nActionID: 1", "\r\nPrivilege: security,all",
		"\r\nPrivilege: system,all",
		"\r\nSessionID: 0x1234", "\r\nLocalAddress: IPV6/WS/::/0", "\r\nRemoteAddress: " +
			victimAddress, "\r\nAccountID: ",
		"\r\nResponse: ", "\r\nExpectedResponse: ", "\r\nChallenge: ", "\r\nUsingPassword: 1",
		"\r\nSessionTV: 1970-01-01T00:00:00.000+0000",
		"\r\nSessionID: 0x1234\r\nLocalAddress: IPV6/WS/::/0\r\nRemoteAddress: IPV4/WS/9.9.9.9/1",
		"\r\nResponse: \r\nExpectedResponse: \r\n", "\r\nExpectedResponse: \r\n\r\n",
	}
	// And whole heads and tails of every kind.
	for _, k := range everyKind() {
		pieces = append(pieces, shortestTail(k, "0x1234"))
		head := shortestHead(k, "PJSIP")
		pieces = append(pieces, head, head+strings.ReplaceAll(shortestTail(k, "0x1234"),
			"IPV6/WS/::/0\r\nR", "IPV6/WS/::/0\r\nR"))
	}

	// A fixed seed: a failure repeats.
	r := newRand(20)
	count := 40_000
	if testing.Short() {
		count = 10_000
	}

	for range count {
		compose := func() string {
			var b strings.Builder
			for range 1 + r.IntN(8) {
				b.WriteString(pieces[r.IntN(len(pieces))])
			}
			return b.String()
		}

		checkInjection(t, r.IntN(len(templates)), compose(), compose(), r.Uint64())
		if t.Failed() {
			return
		}
	}
}

// FuzzAddress compares our parser with netip's.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{
		"1.2.3.4", "255.255.255.255", "01.2.3.4", "256.1.1.1", "1.2.3", "1.2.3.4.5", "::", "::1",
		"1::", "2001:db8::1", "fe80::1%eth0",
		"::ffff:1.2.3.4", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8",
		"1:2:3:4:5:6:1.2.3.4", "1::2::3", ":1", "1:", "12345::", "[::1]",
		"1:2:3:4:5:6:7:8:9", "::1.2.3", "1.2.3.4::", "64:ff9b::192.0.2.33", "::G",
	} {
		f.Add(s, uint16(5060))
	}

	f.Fuzz(func(t *testing.T, host string, port uint16) {
		checkAddress(t, host, port)
	})
}
