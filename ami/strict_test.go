package ami

import (
	"strings"
	"testing"
	"time"
)

// TestEveryKind decodes the fifteen kinds as main/security_events.c prints them (12.8.2 to 22.10.1,
// the same table): with the required elements only, and with every optional one.
func TestEveryKind(t *testing.T) {
	const sessionTV = "SessionTV: 2026-11-23T02:52:50.399+0000\r\n"
	full := map[Kind]string{
		KindFailedACL: "Module: chan_sip\r\nACLName: TEST_ACL\r\n" + sessionTV,
		KindRequestNotAllowed: "RequestType: CheeseBurger\r\nModule: m\r\n" + sessionTV +
			"RequestParams: HoldTheCheese\r\n",
		KindRequestBadFormat: "RequestType: CheeseBurger\r\nModule: m\r\n" + sessionTV +
			"AccountID: 1001\r\nRequestParams: Onions,Swiss,MotorOil\r\n",
		KindInvalidPassword: "Module: m\r\n" + sessionTV +
			"Challenge: GOOD\r\nReceivedChallenge: BAD\r\nReceivedHash: FURTHERMORE\r\n",
		KindSuccessfulAuth:       "UsingPassword: 1\r\nModule: m\r\n" + sessionTV,
		KindUnexpectedAddress:    "ExpectedAddress: IPV4/UDP/192.168.1.2/2121\r\nModule: m\r\n",
		KindAuthMethodNotAllowed: "AuthMethod: PlainText\r\n" + sessionTV,
	}

	// The header that becomes Detail, by kind.
	detail := map[Kind]string{
		KindFailedACL: "TEST_ACL", KindRequestNotAllowed: "CheeseBurger",
		KindRequestBadFormat: "CheeseBurger", KindRequestNotSupported: "CheeseBurger",
		KindAuthMethodNotAllowed: "PlainText", KindUnexpectedAddress: "IPV4/UDP/192.168.1.2/2121",
		KindInvalidTransport: "UDP",
	}
	for _, k := range everyKind() {
		for _, service := range []string{"PJSIP", "SIP", "AMI", "TEST"} {
			for _, tail := range []string{"", full[k]} {
				stream := asterisk{
					kind: k, service: service, account: "1001", tail: tail,
					version: "2",
				}.String()

				p := replay(stream)
				if len(p.events) != 1 {
					t.Fatalf("%s of %s gives %d events:\n%s%s", k, service, len(p.events), stream,
						renderStats(p.Stats()))
				}

				e := p.events[0]
				if e.Kind != k || e.Taint != Untainted ||
					e.Service != parseService([]byte(service)) ||
					e.Source.String() != "198.51.100.11:5062" ||
					e.Local.String() != "192.0.2.10:5060" ||
					!e.Time.Equal(time.Date(2026, 11, 23, 2, 49, 24, 744e6, time.UTC)) {
					t.Errorf("%s", render(e))
				}

				// RequestBadFormat has its account among the optional elements.
				wantAccount := "1001"
				if k == KindRequestBadFormat && tail == "" {
					wantAccount = ""
				}
				wantDetail := detail[k]
				if k == KindFailedACL && tail == "" {
					wantDetail = ""
				}
				if string(e.Account) != wantAccount || string(e.Detail) != wantDetail ||
					e.UsingPassword != (k == KindSuccessfulAuth) {
					t.Errorf("want account %q and detail %q: %s", wantAccount, wantDetail,
						render(e))
				}

				// Only PJSIP is final before the next packet.
				if early := newPlayer(""); true {
					early.feed(stream, len(stream))
					if early.Held() == (service == "PJSIP") {
						t.Errorf("%s of %s is held: %v", k, service, early.Held())
					}
				}
			}
		}
	}
}

// TestFormats decodes the headers that versions and settings add.
func TestFormats(t *testing.T) {
	event := asterisk{kind: KindInvalidAccountID, account: "1001"}
	with := func(change func(*asterisk)) string {
		e := event
		change(&e)
		return e.String()
	}

	tests := map[string]string{
		"timestampevents": with(func(e *asterisk) { e.extra = "Timestamp: 1795403791.517611\r\n" }),
		"debug": with(func(e *asterisk) {
			e.extra = "SequenceNumber: 1\r\nFile: manager.c\r\nLine: 593\r\n" +
				"Func: manager_default_msg_cb\r\n"
		}),
		// manager.c 12.8.2 and 22.10.1
		"system name": with(func(e *asterisk) { e.extra = "SystemName: pbx: one\r\n" }),
		"all of these": with(func(e *asterisk) {
			e.extra = "Timestamp: 1.2\r\nSequenceNumber: 1\r\nFile: manager.c\r\n" +
				"Line: 593\r\nFunc: f\r\nSystemName: pbx\r\n"
		}),
		"event version 2": with(func(e *asterisk) { e.version = "2" }),
		"time zone of the PBX": with(func(e *asterisk) {
			e.eventTV = "2026-11-23T08:19:24.744+0530"
		}),
		"host name as local": with(func(e *asterisk) { e.local = "IPV6/UDP/(null)/5060" }),
		"unknown header at the end": with(func(e *asterisk) {
			e.tail = "SessionTV: 1970-01-01T00:00:00.000+0000\r\nFoo: bar\r\n"
		}),
	}
	for name, stream := range tests {
		p := replay(stream)
		if len(p.events) != 1 || p.events[0].Taint != Untainted ||
			string(p.events[0].Account) != "1001" ||
			!p.events[0].Time.Equal(time.Date(2026, 11, 23, 2, 49, 24, 744e6, time.UTC)) {
			t.Errorf("%s:\n%s%s", name, p.out.String(), renderStats(p.Stats()))
		}
	}
}

// TestStrict damages one thing in an event: it is dropped, and counted by its cause, and the next
// one comes.
func TestStrict(t *testing.T) {
	good := asterisk{kind: KindChallengeSent, account: "1001"}.String()
	sip := asterisk{kind: KindChallengeSent, service: "SIP", account: "1001"}.String()
	replace := func(s, old, with string) string {
		if !strings.Contains(s, old) {
			t.Fatalf("no %q in %q", old, s)
		}
		return strings.Replace(s, old, with, 1)
	}

	tests := map[string]struct {
		stream string
		want   Taint
	}{
		"severity of another kind": {replace(good, "Informational", "Error"), TaintSeverity},
		"severity in lower case": {
			replace(good, "Informational", "informational"),
			TaintSeverity,
		},
		"no time": {
			replace(good, "2026-11-23T02:49:24.744+0000", "now"),
			TaintTime,
		},
		"30 February": {replace(good, "2026-11-23", "2026-02-30"), TaintTime},
		"time of a session": {replace(asterisk{
			kind: KindInvalidPassword,
			tail: "SessionTV: x\r\n",
		}.String(), "x", "y"), TaintTime},
		"another class": {replace(good, "security,all", "security"), TaintField},
		"event version": {
			replace(good, "EventVersion: 1", "EventVersion: one"),
			TaintField,
		},
		"session of chan_sip": {replace(sip, "0x7fa2b0053ed0", "call-id"), TaintField},
		"using password": {replace(asterisk{kind: KindSuccessfulAuth}.String(),
			"UsingPassword: 1", "UsingPassword: 2"), TaintField},
		"no remote address": {replace(good,
			"RemoteAddress: IPV4/UDP/198.51.100.11/5062\r\n", ""), TaintOrder},
		"remote address of no kind": {
			replace(good, "198.51.100.11", "198.51.100.011"),
			TaintAddress,
		},
		"local address of no kind": {replace(sip, "192.0.2.10", "(null)"), TaintAddress},
		"service before severity": {replace(replace(good, "Severity: Informational\r\n", ""),
			"EventVersion", "Severity: Informational\r\nEventVersion"), TaintOrphan},
		"privilege missing": {
			replace(good, "Privilege: security,all\r\n", ""),
			TaintOrphan,
		},
		"no header behind the tail": {
			replace(good, "Challenge: \r\n", "Challenge: \r\n?\r\n"),
			TaintLine,
		},
		"no header before the time": {replace(good, "EventTV", "?\r\nEventTV"), TaintOrphan},
		"tail missing":              {replace(good, "Challenge: \r\n", ""), TaintTorn},
		"tail of another kind":      {replace(good, "Challenge: ", "AuthMethod: "), TaintOrder},
		"response missing": {asterisk{
			kind: KindChallengeResponseFailed, service: "SIP",
			tail: "Challenge: 1\r\nExpectedResponse: \r\n",
		}.String(), TaintOrder},
		"known behind unknown": {
			asterisk{
				kind: KindInvalidAccountID,
				tail: "Foo: bar\r\nSessionTV: 1970-01-01T00:00:00.000+0000\r\n",
			}.String(),
			TaintOrder,
		},
		"tail twice": {replace(good, "Challenge: \r\n",
			"Challenge: \r\nChallenge: \r\n"), TaintDuplicate},
		"challenge without blank": {
			replace(good, "Challenge: \r\n", "Challenge:\r\n"),
			TaintLine,
		},
		"key with a blank":           {replace(good, "SessionID: ", " SessionID: "), TaintOrder},
		"key in lower case":          {replace(good, "SessionID: ", "sessionid: "), TaintOrder},
		"line feed as a line end":    {replace(good, "\r\nSessionID", "\nSessionID"), TaintOrder},
		"carriage return as the end": {replace(good, "\r\nSessionID", "\rSessionID"), TaintOrder},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := newPlayer("")
			p.feed(test.stream, len(test.stream))
			p.release()

			if s := p.Stats(); len(p.events) > 0 || s.Events != [NumKinds]uint64{} {
				t.Errorf("it gives an event:\n%s", p.out.String())
			}
			p.feed(good, len(good)) // begins, so that a torn packet is given up
			p.release()

			if s := p.Stats(); s.Dropped[test.want] == 0 || len(p.events) > 1 {
				t.Errorf("not dropped for %s:\n%s%s", test.want, p.out.String(), renderStats(s))
			}
		})
	}
}

func TestParseTimestamp(t *testing.T) {
	good := map[string]string{
		"2026-11-23T02:49:24.744+0000": "2026-11-23T02:49:24.744Z",
		"1970-01-01T00:00:00.000+0000": "1970-01-01T00:00:00Z",
		"2026-01-01T00:30:00.001+0100": "2025-12-31T23:30:00.001Z",
		"2026-12-31T20:00:00.999-0530": "2027-01-01T01:30:00.999Z",
		"2024-02-29T12:00:00.000+1400": "2024-02-28T22:00:00Z",
	}
	for text, want := range good {
		got, ok := parseTimestamp([]byte(text))
		if !ok || got.Format(time.RFC3339Nano) != want {
			t.Errorf("parseTimestamp(%q) = %s, %v; want %s", text, got.Format(time.RFC3339Nano), ok,
				want)
		}

		// The standard library must agree.
		parsed, err := time.Parse("2006-01-02T15:04:05.000-0700", text)
		if err != nil || !parsed.Equal(got) {
			t.Errorf("time.Parse(%q) = %v, %v; want %v", text, parsed, err, got)
		}
	}

	for _, text := range []string{
		"", "2026-11-23T02:49:24.744", "2026-11-23T02:49:24.744Z", "2026-11-23 02:49:24.744+0000",
		"2026-13-01T00:00:00.000+0000",
		"2026-00-01T00:00:00.000+0000", "2026-04-31T00:00:00.000+0000",
		"2025-02-29T00:00:00.000+0000", "2100-02-29T00:00:00.000+0000",
		"2026-11-23T24:00:00.000+0000", "2026-11-23T00:60:00.000+0000",
		"2026-11-23T00:00:61.000+0000", "2026-11-23T02:49:24.74a+0000",
		"2026-11-23T02:49:24.744 0000", "2026-11-23T02:49:24.744+0060",
		"2026-11-23T02:49:24.744+9900", "+026-11-23T02:49:24.744+0000",
		"2026-11-23T02:49:24.744+0000 ", "2026-11-23T02:49:24.744+000\r",
	} {
		if got, ok := parseTimestamp([]byte(text)); ok {
			t.Errorf("parseTimestamp(%q) = %v, want none", text, got)
		}
	}
}

func TestNames(t *testing.T) {
	seen := make(map[string]bool)
	for _, k := range everyKind() {
		got, ok := ParseKind(k.String())
		if got != k || !ok || seen[k.String()] {
			t.Errorf("ParseKind(%q) = %v, %v", k, got, ok)
		}
		seen[k.String()] = true
	}

	if len(seen) != 15 {
		t.Errorf("%d kinds, want 15", len(seen))
	}

	// The name must be exact: a similar one is text that an attacker wrote.
	for _, name := range []string{"", "unknown", "failedacl", "FailedACL ", "FullyBooted"} {
		if k, ok := ParseKind(name); ok || k != KindUnknown {
			t.Errorf("ParseKind(%q) = %v", name, k)
		}
	}

	for s := ServicePJSIP; s <= ServiceAMI; s++ {
		if parseService([]byte(s.String())) != s {
			t.Errorf("service %d is %q", s, s)
		}
	}

	for tr := TransportUnknown; tr <= TransportWSS; tr++ {
		if parseTransport([]byte(tr.String())) != tr || tr.Stream() != (tr > TransportUDP) {
			t.Errorf("transport %d is %q, stream %v", tr, tr, tr.Stream())
		}
	}

	causes := make(map[string]bool)
	for c := range NumTaints {
		causes[Taint(c).String()] = true
	}
	if len(causes) != NumTaints || causes["unknown"] || Taint(NumTaints).String() != "unknown" {
		t.Errorf("causes are %v", causes)
	}
}

func TestQuote(t *testing.T) {
	tests := map[string]string{
		"":                        `""`,
		"1001":                    `"1001"`,
		"a\"b\\c":                 `"a\"b\\c"`,
		"\x1b[31m\r\n\t\x00\x7f":  `"\x1b[31m\r\n\t\x00\x7f"`,
		"josé \u202e":             `"jos\xc3\xa9 \xe2\x80\xae"`,
		strings.Repeat("a", 64):   `"` + strings.Repeat("a", 64) + `"`,
		strings.Repeat("a", 65):   `"` + strings.Repeat("a", 64) + `"...(+1 bytes)`,
		strings.Repeat("\n", 500): `"` + strings.Repeat(`\n`, 64) + `"...(+436 bytes)`,
	}
	for in, want := range tests {
		if got := Quote([]byte(in)); got != want {
			t.Errorf("Quote(%q) = %s, want %s", in, got, want)
		}
	}

	// Whatever the byte, the output is printable ASCII.
	for c := range 256 {
		for _, out := range []byte(Quote([]byte{byte(c)})) {
			if out < ' ' || out > '~' {
				t.Errorf("Quote of byte %d prints byte %d", c, out)
			}
		}
	}
}
