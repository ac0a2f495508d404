package asterisklog

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

const attacker = "198.51.100.66"

// torn returns the messages that hold text of their sender with line ends in it. The value is the
// largest length of that text in bytes.
func torn() map[string]int {
	return map[string]int{
		from("chan_iax2.c", "NOTICE",
			"No registration for peer '%s' (from "+attacker+")"): iaxText,
		from("chan_iax2.c", "NOTICE", "Host "+attacker+" failed MD5 authentication for '1001' (0 "+
			"!= %s)"): iaxText,
		from("chan_iax2.c", "WARNING",
			"Host "+attacker+":4569 failed to authenticate as %s"): iaxText,
		from("chan_iax2.c", "NOTICE", "Rejected connect attempt from "+attacker+":4569, who was "+
			"trying to reach '%s@default'"): iaxText,
		from("chan_iax2.c", "NOTICE", "Rejected connect attempt from "+attacker+":4569, request "+
			"'%s@default' does not exist"): iaxText,
		from("chan_iax2.c", "WARNING", "Rejected connect attempt from "+attacker+":4569, request "+
			"'%s@default' does not exist"): iaxText,
		from("chan_sip.c", "NOTICE", "Call from '' ("+attacker+":5060) to extension '%s' "+
			"rejected because extension not found in context 'a'."): chanSIPExtension,
		from("chan_sip.c", "NOTICE", "Call from '1001' ("+attacker+":5060) to extension '%s' "+
			"rejected because extension not found in context 'a'."): chanSIPExtension,
		from("res_pjsip_session.c", "NOTICE", "Call from 'anonymous' (UDP:"+attacker+":5060) to "+
			"extension '%s' rejected because extension not found in context 'a'."): pjsipExtension,
		from("res_pjsip_session.c", "NOTICE", "201: Call (UDP:"+attacker+":5060) to extension "+
			"'%s' rejected because extension not found in context 'a'."): pjsipExtension,
		from("res_pjsip_registrar.c", "WARNING",
			"AOR '%s' not found for endpoint '201' ("+attacker+":5060)"): pjsipUser,
		strings.Replace(sip("%s"), "198.51.100.7", attacker, 1): 215,
	}
}

// plain are the messages whose text of the sender holds no line end.
func plain() []string {
	const distributor = "res_pjsip/pjsip_distributor.c"
	return []string{
		from(distributor, "NOTICE",
			"Request 'REGISTER' from '\"%s\" <sip:a@b>' failed for '"+attacker+":5060' (callid: "+
				"x) - No matching endpoint found"),
		from(distributor, "NOTICE",
			"Request 'REGISTER' from '<sip:a@b>' failed for '"+attacker+":5060' (callid: %s) - "+
				"No matching endpoint found"),
		from(distributor, "NOTICE",
			"Request from '\"%s\" <sip:a@b>' failed for '"+attacker+":5060' (callid: x) - No "+
				"matching endpoint found"),
		from("chan_sip.c", "NOTICE", "Registration from '%s' failed for '"+attacker+":5060' - "+
			"Wrong password"),
		from("manager.c", "NOTICE", attacker+" failed to authenticate as '%s'"),
	}
}

// lies returns texts by which a sender tries to make the victim a source.
func lies() []string {
	return []string{
		"x", "\n", "'\n", "' (from 9.9.9.9)\n", "x' (from 9.9.9.9)", ")\n", "@a'\n",
		"' does not exist\n", "@a' does not exist\n", "\"\n", "'.\n",
		"' rejected because extension not found in context 'a'.\n",
		"' not found for endpoint 'x' (9.9.9.9:1)\n", "' (9.9.9.9:1) to extension '",
		// Whole lines of other messages, and such without an end.
		"[2026-11-23 02:49:24] NOTICE[99] chan_iax2.c: No registration for peer 'x' (from " +
			"9.9.9.9)\n",
		"[2026-11-23 02:49:24] NOTICE[99] chan_iax2.c: No registration for peer 'x",
		"[1] NOTICE[9] chan_iax2.c: Host 9.9.9.9 failed MD5 authentication for 'x' (a != b)\n",
		"[1] NOTICE[9] chan_iax2.c: Empty registration from 9.9.9.9\n",
		"[1] NOTICE[9] chan_iax2.c: Host 9.9.9.9 failed MD5 authentication for 'x' (a != ",
		"[1] WARNING[9] chan_iax2.c: Host 9.9.9.9:1 failed to authenticate as x\n",
		"[1] NOTICE[9] chan_sip.c: " + lie + "\n", "[1] NOTICE[9] manager.c: 9.9.9.9 failed to " +
			"authenticate as 'x'\n",
		"[1] NOTICE[9] chan_sip.c: Call from '' (9.9.9.9:1) to extension 'x",
		"[1] WARNING[9] res_pjsip_registrar.c: AOR 'x' not found for endpoint 'x' (9.9.9.9:1)\n",
		"[1] NOTICE[9] pjsip_distributor.c: Request 'A' from 'x' failed for '9.9.9.9:1' (callid: " +
			"x) - Failed to authenticate\n",
		// Ends of messages.
		"' failed for '9.9.9.9:1' (callid: x) - Failed to authenticate",
		"' failed for '9.9.9.9:5060' - Wrong password", ") - Failed to authenticate",
		// Events of the security channel, and what carriers put around lines.
		`[1] SECURITY[9] res_security_log.c: SecurityEvent="FailedACL",` +
			`EventTV="2026-11-23T02:49:24.744+0000",Severity="Error",Service="PJSIP",` +
			`EventVersion="1",` +
			`AccountID="",SessionID="",LocalAddress="IPV4/UDP/1.1.1.1/1",` +
			`RemoteAddress="IPV4/UDP/9.9.9.9/1",ACLName="x"` + "\n",
		forged + "\"\n", `","RemoteAddress="IPV4/UDP/9.9.9.9/1"` + "\n",
		"<--- Received SIP request (1 bytes) from UDP:1.1.1.1:1 --->\n", "{\"logmsg\":",
		// Whole lines in other carriers.
		`{"timestamp":"1","logmsg":{"location":{"filename":"manager.c"},"level":"NOTICE",` +
			`"message":"9.9.9.9 failed to authenticate as 'x'"}}` + "\n",
		`{"log":"[1] NOTICE[9] manager.c: 9.9.9.9 failed to authenticate as 'x'"}` + "\n",
		`data: {"_COMM":"asterisk","MESSAGE":"[1] NOTICE[9] manager.c: 9.9.9.9 failed to ` +
			`authenticate as 'x'"}` + "\n",
		`{"_COMM":"pbx","MESSAGE":"NOTICE[9]: manager.c:1 in f: 9.9.9.9 failed to authenticate ` +
			`as 'x'"}` + "\n",
		"a b [1] NOTICE[9] manager.c: 9.9.9.9 failed to authenticate as 'x'\n",
		"/x:1:[1] NOTICE[9] manager.c: 9.9.9.9 failed to authenticate as 'x'\n",
		"[pod/a/b] [1] NOTICE[9] manager.c: 9.9.9.9 failed to authenticate as 'x'\n",
		"a | [1] NOTICE[9] manager.c: 9.9.9.9 failed to authenticate as 'x'\n",
		"Nov 23 02:49:24 a b Nov 23 02:49:24 a 0a1b2c3d4e5f: NOTICE[9]: manager.c:1 in f: " +
			"9.9.9.9 failed to authenticate as 'x'\n",
		"[1] NOTICE[9] manager.c: 9.9.9.9 failed to authenticate as 'x'  \r\n", "#033[1m",
		"asterisk | ", "\x1b[1m",
	}
}

// believed fails the test if the victim, who sent nothing, is a source.
func believed(t *testing.T, log string) {
	t.Helper()
	events, stats := read(t, log, Options{})

	// What is lost is counted, and that is no failure here.
	for _, e := range events {
		if sourceOf(e) == victim {
			t.Fatalf("%s sent nothing: %s, %s\n%s", victim, e, renderStats(stats), log)
		}
	}
}

// TestTornMessages: whatever a sender puts together of lies, who sent nothing is no source. Other
// lines stand around it.
func TestTornMessages(t *testing.T) {
	around := []string{
		"", registration("b"), pjsip("c"), from("chan_iax2.c", "NOTICE",
			"No registration for peer 'd' (from 198.51.100.10)"),
		from("chan_iax2.c", "NOTICE", "Host 198.51.100.10 failed MD5 authentication for 'u0' (0 "+
			"!= 1)"), call("e"), notice + "Peer 'x' is now Reachable\n",
	}

	// A fixed seed, so that a failure comes again.
	all := lies()
	rng := rand.New(rand.NewPCG(1, 2))
	check := func(format string, longest int) {
		for range 1000 {
			var text strings.Builder
			for range 1 + rng.IntN(4) {
				text.WriteString(all[rng.IntN(len(all))])
			}

			// As much as the field holds; without line ends where Asterisk refuses them.
			s := text.String()
			if longest > 0 {
				s = s[:min(len(s), longest)]
			} else {
				s = strings.ReplaceAll(s, "\n", " ")
			}

			believed(t, around[rng.IntN(len(around))]+fmt.Sprintf(format,
				s)+around[rng.IntN(len(around))]+around[rng.IntN(len(around))])
		}
	}

	for format, longest := range torn() {
		check(format, longest)
	}
	for _, format := range plain() {
		check(format, 0)
	}
}

// TestFilteredLog: grep took the end of a torn message out, so the lines within the reach of its text
// accuse nobody. What is beyond it counts.
func TestFilteredLog(t *testing.T) {
	for format, longest := range torn() {
		lieLine := "[2026-11-23 02:49:24] NOTICE[99] chan_sip.c: " + lie + "\n"
		if longest < len(lieLine)+2 || strings.Contains(format, "failed to authenticate as") {
			continue // it does not fit, or any line is such an end
		}

		head, _, _ := strings.Cut(format, "%s")
		log := head + "x\n" + lieLine
		believed(t, log)
		believed(t, log+strings.Repeat(log, 3))

		far := strings.Repeat(notice+"Peer 'x' is now Reachable\n", 9) + registration("b")
		got, stats := sourcesOf(t, log+far)
		if !strings.Contains(got, "198.51.100.9:5060") || stats.NotRead() == 0 {
			t.Errorf("%s: %s, %s", head, got, renderStats(stats))
		}
	}
}

// TestSameSource: messages of one scanner, one behind the other, all count; and so do those of
// others at some distance.
func TestSameSource(t *testing.T) {
	var log strings.Builder
	for i := range 100 {
		fmt.Fprint(&log, from("chan_iax2.c", "NOTICE", fmt.Sprintf("No registration for peer "+
			"'u%d' (from 198.51.100.9)", i)))
		fmt.Fprint(&log, from("chan_iax2.c", "NOTICE", fmt.Sprintf("Host 198.51.100.9 failed MD5 "+
			"authentication for 'u%d' (0 != 1)", i)))
		fmt.Fprint(&log, strings.ReplaceAll(call(fmt.Sprint(i)), "198.51.100.6", "198.51.100.9"))
	}

	// Far enough behind that no text can reach it.
	other := strings.Repeat(notice+"Peer 'x' is now Reachable\n", 9) + call("x")
	events, stats := read(t, log.String()+other, Options{})
	if len(events) != 301 || stats.NotRead() > 0 {
		t.Errorf("%d events, %s; want 301", len(events), renderStats(stats))
	}
	if got := sourceOf(events[300]); got != "198.51.100.6" {
		t.Errorf("the last is of %s", got)
	}
}

// TestUnclear: two lines so near to each other that one may be a part of the other, of two senders:
// it is not known who sent the second, and that is counted.
func TestUnclear(t *testing.T) {
	log := from("chan_iax2.c", "NOTICE", "No registration for peer 'a' (from 198.51.100.9)") +
		from("chan_iax2.c", "NOTICE", "No registration for peer 'b' (from 198.51.100.10)")

	// The first line may be forged by the second, whose own end nobody else can have written.
	got, stats := sourcesOf(t, log)
	if got != `InvalidAccountID unknown unknown 198.51.100.10:0 "b"` ||
		stats.Unread[UnreadUnclear] != 1 {
		t.Errorf("%s, %s; want the last one, whose end nobody else can have written", got,
			renderStats(stats))
	}
}

// FuzzMessage: the same with any text.
func FuzzMessage(f *testing.F) {
	for i, s := range lies() {
		f.Add(byte(i), s)
	}
	var formats []string
	var longest []int
	for format, n := range torn() {
		formats, longest = append(formats, format), append(longest, n)
	}

	for _, format := range plain() {
		formats, longest = append(formats, format), append(longest, 0)
	}

	// The senders of the lines around it, and the attacker.
	known := map[string]bool{
		attacker: true, "198.51.100.6": true, "198.51.100.8": true,
		"198.51.100.9": true, "198.51.100.10": true,
	}
	f.Fuzz(func(t *testing.T, which byte, s string) {
		n := int(which) % len(formats)
		if longest[n] > 0 {
			s = s[:min(len(s), longest[n])]
		} else {
			s = strings.ReplaceAll(s, "\n", " ")
		}

		// Other senders' lines in front and behind: none of them may be named wrongly.
		log := registration("a") + fmt.Sprintf(formats[n], s) +
			from("chan_iax2.c", "NOTICE", "No registration for peer 'd' (from 198.51.100.10)") +
			call("e") + pjsip("f")
		events, _ := read(t, log, Options{})
		for _, e := range events {
			if !known[sourceOf(e)] {
				t.Errorf("%s sent nothing: %s\n%q", sourceOf(e), e, log)
			}
		}
	})
}
