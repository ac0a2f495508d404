package ami

import (
	"testing"
	"time"
)

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
