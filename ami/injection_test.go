package ami

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// victim is the address that injected text claims, in the captures and in the tests.
var victim = netip.MustParseAddr("9.9.9.9")

func checkNoVictim(t *testing.T, events []Event) {
	t.Helper()
	for _, e := range events {
		if e.Source.Addr() == victim || !e.Source.IsValid() {
			t.Fatalf("source %s in %s", e.Source, render(e))
		}
	}
}

// TestCapturesAtEverySplit feeds every capture byte by byte and in pieces of random sizes. The
// events must be the same, and 9.9.9.9 must never be a source.
func TestCapturesAtEverySplit(t *testing.T) {
	for name, capture := range captures(t) {
		whole := replay(capture)
		checkNoVictim(t, whole.events)
		if !strings.Contains(whole.out.String(), "event ") {
			t.Errorf("%s: no event", name)
		}

		// TCP may split the stream anywhere: the extreme first, then at random places.
		bytewise := newPlayer("")
		bytewise.feed(capture, 1)
		bytewise.release()

		if bytewise.out.String() != whole.out.String() || bytewise.Stats() != whole.Stats() {
			t.Errorf("%s: byte by byte, something else comes out", name)
		}

		for seed := range uint64(20) {
			r, p, rest := newRand(seed), newPlayer(""), capture
			for len(rest) > 0 {
				n := min(1+r.IntN(700), len(rest))
				p.feed(rest[:n], n)
				rest = rest[n:]
			}

			p.release()
			if p.out.String() != whole.out.String() || p.Stats() != whole.Stats() {
				t.Errorf("%s: split by seed %d, something else comes out", name, seed)
			}
		}
	}
}

// TestCapturesWithReleaseAnywhere releases at random places, and at every place of the captures
// with injections.
func TestCapturesWithReleaseAnywhere(t *testing.T) {
	for name, capture := range captures(t) {
		for seed := range uint64(20) {
			r, p, rest := newRand(seed), newPlayer(""), capture
			for len(rest) > 0 {
				// A release without a stall is the worst that can happen.
				n := min(1+r.IntN(200), len(rest))
				p.feed(rest[:n], n)
				p.release()
				rest = rest[n:]
			}

			checkNoVictim(t, p.events)
		}

		// These captures hold forged events. A release may come at the one place that matters.
		if strings.Contains(capture, "9.9.9.9") {
			p := newPlayer("")
			for i := range len(capture) {
				p.feed(capture[i:i+1], 1)
				p.release()
			}

			checkNoVictim(t, p.events)
			if p.Stats().LateOrphans > 0 {
				t.Errorf("%s: %d late orphans", name, p.Stats().LateOrphans)
			}
		}
	}
}

// true sender and victim as Asterisk prints them
const (
	senderAddress = "IPV4/UDP/198.51.100.11/5062"
	victimAddress = "IPV4/UDP/9.9.9.9/1"
)

// shortestTail is the shortest text in an AccountID that ends a forged event of the kind, without
// the line end that Asterisk itself prints after the AccountID and that makes the empty line.
func shortestTail(k Kind, session string) string {
	short := map[Kind]string{
		KindRequestNotSupported: "RequestType: \r\n", KindRequestNotAllowed: "RequestType: \r\n",
		KindRequestBadFormat: "RequestType: \r\n", KindAuthMethodNotAllowed: "AuthMethod: \r\n",
		KindSuccessfulAuth: "UsingPassword: 1\r\n", KindUnexpectedAddress: "ExpectedAddress: \r\n",
		KindChallengeResponseFailed: "Challenge: \r\nResponse: \r\nExpectedResponse: \r\n",
		KindChallengeSent:           "Challenge: \r\n",
		KindInvalidTransport:        "AttemptedTransport: \r\n",
	}

	return "\r\nSessionID: " + session +
		"\r\nLocalAddress: IPV6/WS/::/0\r\nRemoteAddress: IPV6/WS/::/0\r\n" + short[k]
}

// shortestHead is the shortest head that makes a packet begin, up to where text of the AccountID
// may follow.
func shortestHead(k Kind, service string) string {
	account := "AccountID: "
	if k == KindRequestBadFormat {
		account = "SessionID: 0x1234"
	}
	return fmt.Sprintf("Event: %s\r\nPrivilege: security,all\r\n"+
		"EventTV: 2026-11-23T02:49:24.744+0000\r\nSeverity: %s\r\n"+
		"Service: %s\r\nEventVersion: 1\r\n%s", k, k.severity(), service, account)
}

// TestForgedTailNeedsMoreThanPJSIPGives proves the release rule of PJSIP by counting: the shortest
// tail that the decoder takes for one, and one with an IPv4 victim, are longer than the 36 bytes of
// an AccountID.
func TestForgedTailNeedsMoreThanPJSIPGives(t *testing.T) {
	const limit = 36 // AST_UUID_STR_LEN - 1
	shortest := 1 << 20
	for _, k := range everyKind() {
		if k == KindRequestBadFormat {
			continue // has no AccountID before its tail
		}
		forged := shortestTail(k, "")

		got := replay(asterisk{kind: k, account: forged}.String())
		if len(got.events) != 1 || got.events[0].Taint != Untainted ||
			got.events[0].Source.Addr() != netip.IPv6Unspecified() {
			t.Fatalf("%s: the tail %q is not the forgery it should be:\n%s", k, forged,
				got.out.String())
		}

		shortest = min(shortest, len(forged))
		for i := range len(forged) { // no byte of it can be spared
			shorter := forged[:i] + forged[i+1:]
			for _, e := range replay(asterisk{kind: k, account: shorter}.String()).events {
				if e.Taint == Untainted && e.Source.Addr() == netip.IPv6Unspecified() && i > 1 &&
					len(shorter) <= limit {
					t.Errorf("%s: %q is a tail too", k, shorter)
				}
			}
		}
	}

	const usual = "\r\nSessionID: \r\nLocalAddress: IPV4/UDP/0.0.0.0/1\r\nRemoteAddress: " +
		victimAddress + "\r\n"
	t.Logf("shortest forged tail: %d bytes; with victim %s and a usual LocalAddress: %d bytes",
		shortest, victim, len(usual))
	if shortest < 2*limit {
		t.Errorf("shortest forged tail is %d bytes, too near to %d", shortest, limit)
	}
}

// TestForgedTailAndHeadNeedMoreThanChanSIPGives proves the hold of chan_sip by counting: a tail and
// a head do not fit into the 215 bytes that a real one gives, so what follows a forged tail is
// known for an orphan.
func TestForgedTailAndHeadNeedMoreThanChanSIPGives(t *testing.T) {
	const limit = 215

	// The reason for that limit: REGISTER's To is cut to 255 bytes while it is still
	// percent-encoded (chan_sip.c 16.28.0, register_verify, tmp[256]), where every CR and every LF
	// takes three, and `sip:` and `@h` stand round it.
	const encodedLimit = 255 - len("sip:@h")

	shortest := 1 << 20
	for _, first := range []Kind{
		KindInvalidAccountID, KindInvalidPassword, KindFailedACL,
		KindSessionLimit, KindChallengeSent, KindInvalidTransport,
	} {
		for _, second := range everyKind() {
			text := shortestTail(first, "0x1234") + "\r\n" + shortestHead(second, "SIP")
			got := replay(asterisk{kind: first, service: "SIP", account: text}.String())
			if len(got.events) == 0 || got.events[0].Source.Addr() != netip.IPv6Unspecified() {
				t.Fatalf("%s, %s: %q is not the forgery it should be:\n%s", first, second, text,
					got.out.String())
			}

			shortest = min(shortest, len(text))
			if encoded := len(text) + 4*strings.Count(text, "\r\n"); encoded <= encodedLimit {
				t.Errorf("%s, %s: %d bytes are enough", first, second, encoded)
			}
		}
	}

	t.Logf("shortest forged tail and head: %d bytes", shortest)
	if shortest <= limit {
		t.Errorf("shortest forged tail and head are %d bytes, chan_sip gives %d", shortest, limit)
	}
}

// TestInjection plays injections into every field that takes text, and wants the true sender or
// nothing.
func TestInjection(t *testing.T) {
	next := asterisk{kind: KindChallengeSent, account: "<unknown>"}.String()
	tail := "\r\nSessionID: 0x1234\r\nLocalAddress: IPV4/UDP/192.0.2.10/5060\r\nRemoteAddress: " +
		victimAddress + "\r\n"
	forged := asterisk{kind: KindFailedACL, account: "1001", remote: victimAddress}.String()

	forgedSIP := asterisk{
		kind: KindFailedACL, service: "SIP", account: "1001",
		remote: victimAddress,
	}.String()
	sip := func(account string) string {
		return asterisk{kind: KindInvalidPassword, service: "SIP", account: account}.String()
	}

	// In the order of the services: PJSIP, chan_sip, then digests of PJSIP, whose sender writes
	// after RemoteAddress.
	tests := map[string]struct {
		stream string
		want   Taint // of the evidence; Untainted wants none
		events int   // untainted ones of the true sender
	}{
		"address before the true one": {asterisk{
			kind:    KindInvalidAccountID,
			account: "\r\nRemoteAddress: " + victimAddress,
		}.String(), TaintOrder, 0},
		"local address before the true one": {asterisk{
			kind:    KindInvalidAccountID,
			account: "\r\nLocalAddress: " + victimAddress,
		}.String(), TaintOrder, 0},
		"session and address": {asterisk{
			kind:    KindInvalidAccountID,
			account: "\r\nSessionID: 1\r\nLocalAddress: x",
		}.String(), TaintAddress, 0},
		"two accounts": {asterisk{
			kind:    KindInvalidAccountID,
			account: "a\r\nAccountID: b",
		}.String(), TaintDuplicate, 0},
		"torn": {asterisk{
			kind:    KindInvalidAccountID,
			account: "a\r\n",
		}.String(), TaintTorn, 0},
		"torn twice": {asterisk{
			kind:    KindInvalidAccountID,
			account: "a\r\n\r\nx: y\r\n\r\nz: ",
		}.String(), TaintTorn, 0},
		"line without a colon": {asterisk{
			kind:    KindInvalidAccountID,
			account: "a\r\nb",
		}.String(), TaintLine, 0},
		"orphan like an event": {asterisk{
			kind:    KindInvalidAccountID,
			account: "b\r\n\r\nEvent: SuccessfulAuth",
		}.String(), TaintTorn, 0},
		"orphan like another event": {asterisk{
			kind:    KindInvalidAccountID,
			account: "b\r\n\r\nEvent: FullyBooted",
		}.String(), TaintTorn, 0},
		"orphan like a response": {asterisk{
			kind:    KindInvalidAccountID,
			account: "\r\n\r\nResponse: Success\r\nA: b",
		}.String(), TaintTorn, 0},
		"a response before the orphan": {asterisk{
			kind:    KindInvalidAccountID,
			account: "\r\n\r\nResponse: A\r\n\r\n",
		}.String(), TaintTorn, 0},
		"chan_sip: torn": {
			sip("a\r\n\r\nEvent: FailedACL\r\nX: y"),
			TaintTorn, 0,
		},
		"chan_sip: whole event, orphan":       {sip("a" + tail), TaintOrphan, 0},
		"chan_sip: whole event, empty packet": {sip("a" + tail + "\r\n\r\n"), TaintOrphan, 0},
		"chan_sip: whole event, orphan, response": {sip("a" + tail +
			"\r\nResponse: Success\r\nActionID: 1"), TaintOrphan, 0},
		"chan_sip: whole event, begun event": {sip("a" + tail +
			"\r\nEvent: FailedACL\r\nPrivilege: security,all"), TaintOrphan, 0},
		"chan_sip: two whole tails": {sip("a" + tail + tail), TaintOrphan, 0},
		"chan_sip: system event": {sip("a" + tail +
			"\r\nEvent: A\r\nPrivilege: system,all"), TaintOrphan, 0},
		"chan_sip: unknown security event": {sip("a" + tail +
			"\r\nEvent: A\r\nPrivilege: security,all"), Untainted, 0},
		"chan_sip: head of another event": {sip("a\r\n\r\n" +
			shortestHead(KindInvalidPassword, "SIP") + "1001"), Untainted, 0},
		"chan_sip: head of an event of PJSIP": {sip("a\r\n\r\n" +
			shortestHead(KindInvalidPassword, "PJSIP") + "1001"), Untainted, 0},
		"chan_sip: head of a digest, no tail": {asterisk{
			kind: KindFailedACL, service: "SIP",
			account: "a\r\n\r\n" + shortestHead(KindChallengeResponseFailed, "PJSIP"),
			tail:    "ACLName: x\r\n",
		}.String(), Untainted, 0},
		"digest: address": {
			crf("x", "y\r\nRemoteAddress: "+victimAddress),
			TaintDuplicate, 0,
		},
		"digest: whole tail": {
			crf("x", "y"+tail+"Challenge: \r\nResponse: z"),
			TaintDuplicate, 0,
		},
		"digest: event": {
			crf("x",
				"y\r\nExpectedResponse: \r\n\r\n"+strings.TrimSuffix(forged, "\r\n\r\n")),
			Untainted, 1,
		},
		"digest: event and its end": {crf("x",
			"y\r\nExpectedResponse: \r\n\r\n"+forged), Untainted, 1},
		"digest: event and a response": {crf("x",
			"y\r\nExpectedResponse: \r\n\r\n"+forged+"Response: z"), Untainted, 1},
		"digest: event, nothing left": {crf("x",
			"y\r\n\r\n"+strings.TrimSuffix(crfOf(victimAddress, "x", ""),
				"\r\nExpectedResponse: \r\n\r\n")), TaintTorn, 0},
		"digest: nonce ends the event": {crf("\r\nResponse: \r\nExpectedResponse: \r\n",
			"\r\n\r\n"+forged), Untainted, 1},
		"digest: nonce ends, nothing left": {crf("\r\nResponse: \r\nExpectedResponse: \r\n",
			"\r\n\r\n"+strings.TrimSuffix(crfOf(victimAddress, "x", ""),
				"\r\nExpectedResponse: \r\n\r\n")), Untainted, 1},
		"digest: event of chan_sip": {
			crf("x", "y\r\nExpectedResponse: \r\n\r\n"+forgedSIP),
			Untainted, 1,
		},
		"digest: injection of another": {crf("x",
			"y\r\nExpectedResponse: \r\n\r\n"+asterisk{
				kind:    KindInvalidAccountID,
				account: "\r\nA: b", remote: victimAddress,
			}.String()), Untainted, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1, 7, len(test.stream)} {
				p := newPlayer("")
				p.feed(test.stream, size)
				p.feed(next, size)
				p.release()
				checkNoVictim(t, p.events)

				var got Taint
				var events int
				if !strings.HasSuffix(p.out.String(),
					"session=\"3848276298220188511@atlanta.example.com\"\n") {
					t.Errorf("the next event is lost:\n%s", p.out.String())
				}

				for _, e := range p.events {
					if e.Taint != Untainted {
						if got != Untainted || e.Source.Addr().String() != "198.51.100.11" {
							t.Errorf("evidence against another or twice: %s", render(e))
						}
						got = e.Taint
					}

					if e.Taint == Untainted && string(e.Account) != "<unknown>" {
						events++
					}
				}

				if events != test.events {
					t.Errorf("%d untainted events of the sender, want %d:\n%s", events, test.events,
						p.out.String())
				}
				if got != test.want {
					t.Errorf("evidence is %s, want %s:\n%s%s", got, test.want, p.out.String(),
						renderStats(p.Stats()))
				}
			}
		})
	}
}

// crf is a ChallengeResponseFailed of PJSIP from the true sender with the digest's nonce and
// response as given.
func crf(nonce, response string) string { return crfOf(senderAddress, nonce, response) }

func crfOf(remote, nonce, response string) string {
	return asterisk{
		kind: KindChallengeResponseFailed, account: "1001", session: "c",
		local: "IPV4/UDP/0.0.0.0/1", remote: remote,
		tail: "Challenge: " + nonce + "\r\nResponse: " + response + "\r\nExpectedResponse: \r\n",
	}.String()
}
