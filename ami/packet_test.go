package ami

import (
	"strings"
	"testing"
	"time"
)

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
