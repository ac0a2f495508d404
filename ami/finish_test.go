package ami

import (
	"strings"
	"testing"
)

// TestHold checks when an event comes, by the bytes that follow it in the stream.
func TestHold(t *testing.T) {
	sip := asterisk{kind: KindInvalidPassword, service: "SIP", account: "1001"}.String()
	pjsip := asterisk{kind: KindInvalidAccountID, account: "1001"}.String()
	head := shortestHead(KindChallengeSent, "SIP")
	small := strings.ReplaceAll(crf("", ""), "IPV4/UDP/0.0.0.0/1", "IPV4/UDP/0.0.0.0/0")

	tests := map[string]struct {
		stream string
		want   int  // events
		held   bool // then
	}{
		"PJSIP is final at once":          {pjsip, 1, false},
		"PJSIP is final at its last byte": {pjsip[:len(pjsip)-1], 0, false},
		"PJSIP with a header that we do not know": {asterisk{
			kind: KindInvalidAccountID,
			tail: "Foo: bar\r\n",
		}.String(), 0, true},
		"chan_sip is held": {sip, 0, true},
		"chan_sip, another service": {asterisk{
			kind:    KindInvalidPassword,
			service: "TEST",
		}.String(), 0, true},
		"chan_sip, then a byte":         {sip + "E", 0, false},
		"chan_sip, then most of a head": {sip + head, 0, false},
		"chan_sip, then a head":         {sip + head + "\r\n", 1, false},
		"chan_sip, then another":        {sip + sip, 1, true},
		"chan_sip, then PJSIP":          {sip + pjsip, 2, false},
		"chan_sip, then a response": {sip +
			"Response: Success\r\nPing: Pong\r\n\r\n", 0, true},
		"chan_sip, then a response and another": {sip +
			"Response: Success\r\nPing: Pong\r\n\r\n" + sip, 1, true},
		"chan_sip, then an event of another class": {sip +
			"Event: FullyBooted\r\nPrivilege: system,all\r\n\r\n", 0, true},
		"digest, then an event": {crf("1795403290/3265a3337cc1e7557bec84da998354c3",
			"71b0d1e675f23f6d16babf53ceff8d11") + pjsip, 2, false},
		"empty digest, then an event within reach":  {small + small, 1, true},
		"empty digests, then an event within reach": {small + small + small + pjsip, 3, true},
		"empty digests, then two events": {
			small + small + small + pjsip + pjsip, 5,
			false,
		},
	}
	for name, test := range tests {
		p := newPlayer("")
		p.feed(test.stream, len(test.stream))
		if len(p.events) != test.want || p.Held() != test.held {
			t.Errorf("%s: %d events, held %v; want %d, %v\n%s", name, len(p.events), p.Held(),
				test.want, test.held, p.out.String())
		}

		checkClean(t, name, p)
		p.release()
		if p.Held() {
			t.Errorf("%s: held after a release", name)
		}
	}
}

func checkClean(t *testing.T, name string, p *player) {
	t.Helper()
	s := p.Stats()
	if s.Orphans+s.LateOrphans > 0 || s.Dropped != [NumTaints]uint64{} ||
		s.Tainted != [NumTaints]uint64{} {
		t.Errorf("%s: something is tainted:\n%s", name, renderStats(s))
	}
}

// TestRealDigestsAreFinalAtOnce: the look-ahead after a ChallengeResponseFailed delays nothing in a
// real attack.
func TestRealDigestsAreFinalAtOnce(t *testing.T) {
	all := captures(t)
	for _, name := range []string{
		"18_svcrack_dict", "19_svcrack_range",
		"04_transports_addr_formats",
	} {
		p := newPlayer("")
		for packet := range strings.SplitAfterSeq(all[name], "\r\n\r\n") {
			p.feed(packet, 1<<16)
			if p.Held() && p.held.service == ServicePJSIP {
				t.Fatalf("%s: held: %s", name, packet)
			}
		}
	}
}

// TestReleaseTooEarly shows the limit that the comment of Decoder states: a forged event that a
// release finds alone is emitted, and its orphan, late, is counted.
func TestReleaseTooEarly(t *testing.T) {
	tail := "\r\nSessionID: 0x1234\r\nLocalAddress: IPV4/UDP/192.0.2.10/5060\r\nRemoteAddress: " +
		victimAddress + "\r\n"
	stream := asterisk{kind: KindInvalidPassword, service: "SIP", account: "a" + tail}.String()

	end := strings.Index(stream, "\r\n\r\n") + 4
	for others, orphan := range []string{stream[end:], "Response: x\r\n\r\n" + stream[end:]} {
		p := newPlayer("")
		p.feed(stream[:end], end)
		if !p.Held() || len(p.events) > 0 {
			t.Fatal("the forged event is not held")
		}

		// The network stalls for HoldTime between the event and its orphan.
		p.release()
		p.feed(orphan, len(orphan))
		if s := p.Stats(); s.LateOrphans != 1 || s.Released != 1 || len(p.events) != 1 ||
			s.Others != uint64(others) {
			t.Errorf("the late orphan is not counted:\n%s%s", p.out.String(), renderStats(s))
		}

		// The late orphan must not swallow the event behind it.
		p.feed(asterisk{kind: KindChallengeSent}.String(), 1000)
		p.feed("\r\n", 2)
		if s := p.Stats(); s.Orphans != 2 || len(p.events) != 2 {
			t.Errorf("the next event is lost:\n%s%s", p.out.String(), renderStats(s))
		}
	}
}

// TestLateOrphanLikeAResponse: nor is a late orphan handed out as a response.
func TestLateOrphanLikeAResponse(t *testing.T) {
	p := newPlayer("")
	p.feed(asterisk{kind: KindInvalidPassword, service: "SIP"}.String(), 1000)
	p.release()
	p.feed("Response: x\r\nSessionID: 0x1234\r\nRemoteAddress: "+senderAddress+"\r\n\r\n", 1000)
	if s := p.Stats(); s.LateOrphans != 1 || s.Others != 0 {
		t.Errorf("the late orphan is not counted:\n%s%s", p.out.String(), renderStats(s))
	}
}

// TestHeldBeforeATooLongPacket: while a packet is being read, even one whose bytes are given up,
// nothing is released.
func TestHeldBeforeATooLongPacket(t *testing.T) {
	p := newPlayer("")
	p.feed(asterisk{kind: KindInvalidPassword, service: "SIP"}.String(), 1000)
	if !p.Held() {
		t.Fatal("not held")
	}

	p.feed("Response: x\r\n"+strings.Repeat("Foo: bar\r\n", MaxPacket/10), 1<<16)
	if p.release(); p.Held() || len(p.events) > 0 {
		t.Error("released within a packet")
	}
	if p.feed("\r\n", 2); !p.Held() {
		t.Error("not held after it")
	}
}

// TestEvidenceWaitsForTheNextHead: evidence against a sender of chan_sip comes neither by a release
// nor by a response.
func TestEvidenceWaitsForTheNextHead(t *testing.T) {
	p := newPlayer("")
	p.feed(asterisk{kind: KindInvalidPassword, service: "SIP", account: "a\r\n"}.String(), 1000)
	if p.Held() {
		t.Error("evidence is held like an event")
	}

	p.release()
	p.feed("Response: Success\r\nPing: Pong\r\n\r\n", 1000)
	if len(p.events) > 0 || !strings.HasPrefix(p.out.String(), "other ") {
		t.Fatalf("too early:\n%s", p.out.String())
	}

	p.feed(asterisk{kind: KindInvalidPassword, service: "SIP", account: "b"}.String(), 1000)
	if len(p.events) != 1 || p.events[0].Taint != TaintTorn || string(p.events[0].Account) != "a" {
		t.Errorf("no evidence:\n%s", p.out.String())
	}
}

func TestOwn(t *testing.T) {
	login := func(service, account, port string) string {
		return asterisk{
			kind: KindSuccessfulAuth, service: service, account: account, session: "0x7fb2f8003d40",
			remote: "IPV4/TCP/127.0.0.1/" + port,
			tail:   "UsingPassword: 0\r\nSessionTV: 2026-11-23T02:52:50.399+0000\r\n",
		}.String()
	}

	// Only the third is ours: a phone of the same name, another user, our login, and another
	// program with our name.
	stream := login("SIP", "amifend", "1") + login("AMI", "other", "2") +
		login("AMI", "amifend", "3") + login("AMI", "amifend", "4")
	for username, want := range map[string]string{"amifend": "127.0.0.1:3", "": "", "nobody": ""} {
		p := newPlayer(username)
		p.feed(stream, len(stream))
		p.release()

		var got string
		for _, e := range p.events {
			if e.Own {
				got += e.Source.String()
			}
		}

		if got != want || len(p.events) != 4 {
			t.Errorf("own login of %q is %q, want %q", username, got, want)
		}
	}
}

// TestSecretsStayInside: the response that AMI expected is a key made from a manager's secret.
func TestSecretsStayInside(t *testing.T) {
	const secret = "c45c8b8022d5062f35eaba5b9d9973e0"
	capture := captures(t)["05_ami_service_events"]
	if !strings.Contains(capture, secret) {
		t.Fatal("the capture does not hold the secret")
	}

	p := newPlayer("")
	p.Advance(copy(p.Buffer(), capture[:0]), p.emit, p.respond)
	seen := func(packet []byte) {
		if strings.Contains(string(packet), secret) {
			t.Error("a secret is handed out as a response")
		}
	}
	for rest := capture; len(rest) > 0; {
		n := copy(p.Buffer(), rest)
		p.Advance(n, p.emit, seen)
		rest = rest[n:]
	}

	// The number of events shows that the capture was really decoded.
	p.release()
	if strings.Contains(p.out.String(), secret) || len(p.events) < 20 {
		t.Error("a secret is in an event")
	}
}
