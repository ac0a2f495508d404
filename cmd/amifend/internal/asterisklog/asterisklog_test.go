package asterisklog

import (
	"fmt"
	"strings"
	"testing"
)

// The parts of a log as Asterisk prints them: res_security_log.c and logger.c 22.10.1, chan_sip.c
// 16.28.0.
const (
	head   = "[2026-11-23 02:49:24.744] SECURITY[99] res_security_log.c: "
	notice = "[2026-11-23 02:49:24.744] NOTICE[99] chan_sip.c: "
	victim = "9.9.9.9"
	forged = `",SessionID="0x1234",LocalAddress="IPV4/UDP/1.1.1.1/1",` +
		`RemoteAddress="IPV4/UDP/9.9.9.9/1`
	lie     = `Registration from '' failed for '9.9.9.9:5060' - Wrong password`
	wrongPw = "' failed for '198.51.100.9:5060' - Wrong password\n"
)

// sip is a line of the security channel by chan_sip, from 198.51.100.7; pjsip is one by PJSIP.
func sip(account string) string {
	return head +
		`SecurityEvent="InvalidPassword",EventTV="2026-11-23T02:49:24.744+0000",Severity="Error",` +
		`Service="SIP",EventVersion="2",AccountID="` +
		account + `",SessionID="0x7f3228009310",LocalAddress="IPV4/UDP/192.0.2.10/5060",` +
		`RemoteAddress="IPV4/UDP/198.51.100.7/5070",` +
		`Challenge="45c8943e",ReceivedChallenge="45c8943e",ReceivedHash="0"` + "\n"
}

func pjsip(account string) string {
	return head +
		`SecurityEvent="InvalidAccountID",EventTV="2026-11-23T02:49:24.744+0000",` +
		`Severity="Error",Service="PJSIP",EventVersion="1",AccountID="` +
		account + `",SessionID="a@b",LocalAddress="IPV4/UDP/192.0.2.10/5060",` +
		`RemoteAddress="IPV4/UDP/198.51.100.8/5070"` + "\n"
}

func registration(to string) string { return notice + "Registration from '" + to + wrongPw }

func call(extension string) string {
	return notice + "Call from '' (198.51.100.6:5060) to extension '" + extension +
		"' rejected because extension not found in context 'default'.\n"
}

// TestForgedLines: whatever an attacker writes, who sent nothing is no source, and what others sent
// is not lost without a word. want are the sources that are believed, `!` marks an injection: one
// of chan_sip is certain when the next event begins, as in AMI.
func TestForgedLines(t *testing.T) {
	for name, test := range map[string]struct{ log, want string }{
		// Lines as they are, and lines that only quote an address.
		"a registration": {registration("<sip:1001@pbx>"), "198.51.100.9"},
		"an address in a registration": {registration("x' failed for '9.9.9.9:5060' - " +
			"Wrong password"), "198.51.100.9"},
		"a line that is text of the sender": {notice + "Failed to authenticate device \"x\" " +
			"<sip:1@9.9.9.9>;tag=1 for INVITE, code = -1\n", ""},
		"a fake auth rejection": {notice + "Sending fake auth rejection for device " +
			"1<sip:1@9.9.9.9>;tag=1\n", ""},
		"another program's line": {"[2026-11-23 02:49:24] NOTICE[9] app_verbose.c: " +
			lie + "\n", ""},
		"another level": {"[2026-11-23 02:49:24] VERBOSE[9] chan_sip.c: " +
			lie + "\n", ""},
		"a security line of another module": {strings.Replace(sip("1001"), "res_security_log.c",
			"app_verbose.c", 1), ""},
		"a security line of chan_sip itself": {strings.Replace(pjsip("1001"), "res_security_log.c",
			"chan_sip.c", 1), ""},
		"text of a stranger long after an event": {
			sip("x") + strings.Repeat(notice+"Peer '1001' is now Reachable\n", 9) + notice +
				"Strange header: " + forged + "\"\n" + pjsip("z"),
			"198.51.100.7 198.51.100.8",
		},
		"a level that is text": {"[2026-11-23 02:49:24] NOTICE[x] chan_sip.c: " +
			lie + "\n", ""},
		// Text within an event: what follows an injection is believed only if nothing else can
		// have written it.
		"chan_sip's event": {sip("1001"), "198.51.100.7"},
		"chan_sip's event and another": {
			sip("1001") + sip("1002"),
			"198.51.100.7 198.51.100.7",
		},
		"fields in an account": {
			sip("x"+forged) + pjsip("y"),
			"!198.51.100.7 198.51.100.8",
		},
		"fields in an account of PJSIP": {pjsip("x" + forged), "!198.51.100.8"},
		"an end in an account":          {sip("x" + forged + "\"\n"), ""},
		"an end in an account, then another": {
			sip("x"+forged+"\"\n") + pjsip("y"),
			"!198.51.100.7 198.51.100.8",
		},
		"an end and a stamp in an account": {sip("x"+forged+"\"\n[1] NOTICE[1] a: ") +
			pjsip("y") + pjsip("z"), "198.51.100.8"},
		"a registration in an account": {sip("x\n"+notice+lie+"\n") + pjsip("y") +
			pjsip("z"), "198.51.100.8"},
		"a registration in an account, no more": {
			sip("x" + forged + "\"\n" + notice + lie + "\n"),
			"",
		},
		"a line end in an account of PJSIP": {
			pjsip("x\ny") + registration("b"),
			"!198.51.100.8 198.51.100.9",
		},
		"two line ends": {
			sip("x\ny\nz") + pjsip("y"),
			"!198.51.100.7 198.51.100.8",
		},
		"an event in an account": {
			sip(`x",Event="FailedACL`) + pjsip("y"),
			"!198.51.100.7 198.51.100.8",
		},
		"quotes in an account": {sip(`x"y","z`), "198.51.100.7"},
		"a second event in an account": {
			sip("x") +
				sip(`x`+forged+`"`+head+eventStart+`FailedACL`) + pjsip("z"),
			"198.51.100.7 198.51.100.8",
		},
		"text of a stranger after an event": {sip("x") + notice + "Strange header: " + forged +
			"\"\n" + pjsip("z") + pjsip("z"), "198.51.100.8"},
		"the rest of an event alone": {
			`b",SessionID="0x7",LocalAddress="IPV4/UDP/1.1.1.1/1",` +
				`RemoteAddress="IPV4/UDP/9.9.9.9/1"` + "\n",
			"",
		},
		// Text within other messages.
		"a registration in an extension": {
			call("x\n" + notice + lie + "\n"),
			"198.51.100.6",
		},
		"one behind a forged end": {call("x' rejected because extension not found " +
			"in context 'default'.\n" + notice + lie + "\n"), "198.51.100.6"},
		"a registration long after a call": {call("x") + strings.Repeat(notice+"Peer '1001' "+
			"is now Reachable\n", 9) + registration("b"), "198.51.100.6 198.51.100.9"},
		"a registration in a SIP packet": {
			"[2026-11-23 02:49:24] VERBOSE[9] " +
				"chan_sip.c:\n<--- SIP read from UDP:198.51.100.6:5060 --->\n" + notice + lie +
				"\n",
			"",
		},
		"an event in a SIP packet": {
			"<--- Received SIP request (999 bytes) from " +
				"UDP:198.51.100.6:5060 --->\n" + strings.ReplaceAll(pjsip("x"), "198.51.100.8",
				victim),
			"",
		},
		// Lines that are not whole.
		"a line without an end":   {strings.TrimSuffix(registration("x"), "\n"), ""},
		"an event without an end": {strings.TrimSuffix(pjsip("x"), "\n"), ""},
		"two messages in one line": {notice + "Registration from '" +
			strings.Repeat("x", 500) + registration("b"), "198.51.100.9"},
		"a message that was cut": {registration(strings.Repeat("x", 9000)) +
			registration("b"), "198.51.100.9"},
		"a line of a megabyte": {strings.Repeat("x", 1<<20) + "\n" +
			registration("b"), "198.51.100.9"},
		"a cut address": {strings.TrimSuffix(pjsip("x"), "70\"\n") + "\n" +
			registration("b"), "198.51.100.9"},
	} {
		t.Run(name, func(t *testing.T) {
			log := test.log

			// The victim is checked apart from the expected list, which a mistake may hold.
			events, stats := read(t, log, Options{})
			var got []string
			for _, e := range events {
				mark := ""
				if strings.HasPrefix(e, "INJECTION") {
					mark = "!"
				}
				got = append(got, mark+sourceOf(e))
			}

			if s := strings.Join(got, " "); s != test.want {
				t.Errorf("sources %q, want %q\n%s%s", s, test.want, log, renderStats(stats))
			}
			if strings.Contains(strings.Join(got, " "), victim) {
				t.Errorf("%s sent nothing", victim)
			}
		})
	}
}

// sourceOf is the address in a rendered event.
func sourceOf(event string) string {
	before, _, _ := strings.Cut(event, ` "`)
	address := before[strings.LastIndexByte(before, ' ')+1:]
	return address[:strings.LastIndexByte(address, ':')]
}

// TestReasons: every reason of chan_sip.c 16.28.0, handle_request_register, as the event that
// chan_sip raises for it.
func TestReasons(t *testing.T) {
	for why, want := range map[string]string{
		"Wrong password":                                   "InvalidPassword",
		"No matching peer found":                           "InvalidAccountID",
		"Username/auth name mismatch":                      "ChallengeResponseFailed",
		"Device does not match ACL":                        "FailedACL",
		"ACL error (permit/deny)":                          "FailedACL",
		"Peer is not supposed to register":                 "FailedACL",
		"Not a local domain":                               "FailedACL",
		"Device not configured to use this transport type": "InvalidTransport",
		"RTP initialization failed":                        "",
		"Unknown failure":                                  "",
		"Something new":                                    "",
	} {
		// A reason that is not known must not be guessed.
		events, _ := read(t, strings.Replace(registration("<sip:1001@pbx>"), "Wrong password", why,
			1), Options{})
		if want == "" && len(events) == 0 {
			continue
		}
		if len(events) != 1 ||
			!strings.Contains(events[0], " "+want+" SIP unknown 198.51.100.9:5060 \"1001\"") {
			t.Errorf("%s: %q, want one %s", why, events, want)
		}
	}
}

// TestSources: the forms in which chan_sip prints an address, and what is none.
func TestSources(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1:5060":         "192.0.2.1:5060",
		"192.0.2.1":              "192.0.2.1:0", // 1.4 and 1.6
		"[2001:db8::1]:5060":     "[2001:db8::1]:5060",
		"[::ffff:192.0.2.1]:5":   "192.0.2.1:5",
		"[fe80::1%eth0]:5060":    "",
		"2001:db8::1":            "[2001:db8::1]:0", // where the port is left out
		"pbx.example:5060":       "",
		"192.0.2.1:70000":        "",
		"":                       "",
		strings.Repeat("1", 999): "",
	} {
		got, ok := parseSource([]byte(text))
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("%s: %v, %v; want %q", text, got, ok, want)
		}
	}
}

// TestAsterisk11: until then times were seconds and microseconds.
func TestAsterisk11(t *testing.T) {
	line := strings.Replace(sip("1001"), "2026-11-23T02:49:24.744+0000", fmt.Sprint("1795402164-",
		744123), 1)
	events, _ := read(t, line, Options{})
	if len(events) != 1 || !strings.HasPrefix(events[0], "11-23T02:49:24.744 InvalidPassword SIP "+
		"UDP 198.51.100.7:5070") {
		t.Errorf("%q", events)
	}
}

// A line that is longer than the buffer is judged by its beginning, not by what was read last.
func TestLineLongerThanTheBuffer(t *testing.T) {
	for name, test := range map[string]struct {
		begin, rest string
		cut         uint64
	}{
		"a failure":           {strings.TrimSuffix(registration("b"), "\n"), "x", 1},
		"text, then failures": {"x", registration("b")[:40], 0},
	} {
		line := test.begin + strings.Repeat(test.rest, 200_000/len(test.rest)) + "\n"
		if _, stats := sourcesOf(t, line); stats.Unread[UnreadCut] != test.cut {
			t.Errorf("%s: %d lines were cut, want %d", name, stats.Unread[UnreadCut], test.cut)
		}
	}
}
