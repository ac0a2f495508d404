package asterisklog

import (
	"fmt"
	"strings"
	"testing"
)

// The same two messages, an event and a failed registration, for all forms.
const (
	eventText = `SecurityEvent="InvalidAccountID",EventTV="2026-11-23T02:49:24.744+0000",` +
		`Severity="Error",Service="PJSIP",EventVersion="1",AccountID="100",SessionID="a@b",` +
		`LocalAddress="IPV4/UDP/192.0.2.10/5060",RemoteAddress="IPV4/UDP/198.51.100.8/5070"`
	noticeText = `Registration from '<sip:1001@pbx>' failed for '198.51.100.9:5060' - ` +
		`Wrong password`
)

// TestForms: what carries a log. `%s` is the stamp of the form, `SECURITY` and the file are
// replaced for the second message.
func TestForms(t *testing.T) {
	quoted := func(s string) string { return strings.ReplaceAll(s, `"`, `\"`) }
	for name, form := range map[string]func(level, file, message string) string{
		"a log file": func(l, f, m string) string {
			return fmt.Sprintf("[2026-11-23 "+
				"02:49:24] %s[9] %s: %s", l, f, m)
		},
		"a path to the file": func(l, f, m string) string {
			return fmt.Sprintf("[2026-11-23 "+
				"02:49:24] %s[9] res/%s: %s", l, f, m)
		},
		"CR LF": func(l, f, m string) string {
			return fmt.Sprintf("[2026-11-23 "+
				"02:49:24] %s[9] %s: %s\r", l, f, m)
		},
		"the console": func(l, f, m string) string {
			return fmt.Sprintf("[Nov 23 02:49:24] %s[9][C-0000001a]: %s:114 f: %s", l, f, m)
		},
		"the console, coloured": func(l, f, m string) string {
			return fmt.Sprintf("[Nov 23 02:49:24] \x1b[1;33m%s\x1b[0m[9]: "+
				"\x1b[1;37m%s\x1b[0m:\x1b[1;37m114\x1b[0m \x1b[1;37mf\x1b[0m: %s", l, f, m)
		},
		"syslog": func(l, f, m string) string {
			return fmt.Sprintf("Nov 23 02:49:24 pbx asterisk[9]: %s[9]: %s:114 in f: %s", l, f, m)
		},
		"syslog with priority": func(l, f, m string) string {
			return fmt.Sprintf("<165>Nov 23 02:49:24 pbx asterisk[9]: %s[9]: %s:114 in f: %s", l, f,
				m)
		},
		"RFC 5424": func(l, f, m string) string {
			return fmt.Sprintf("<165>1 2026-11-23T02:49:24.000Z pbx asterisk 9 - - %s[9]: %s:114 "+
				"in f: %s", l, f, m)
		},
		"rsyslog": func(l, f, m string) string {
			return fmt.Sprintf("2026-11-23T02:49:24+00:00 pbx asterisk[9]: %s[9]: %s:114 in f: %s",
				l, f, m)
		},
		"journald short": func(l, f, m string) string {
			return fmt.Sprintf("Nov 23 02:49:24 pbx asterisk[9]: [Nov 23 02:49:24] %s[9]: %s:114 "+
				"f: %s", l, f, m)
		},
		"short-precise": func(l, f, m string) string {
			return fmt.Sprintf("Nov 23 02:49:24.000000 pbx asterisk[9]: %s[9]: %s:114 in f: %s", l,
				f, m)
		},
		"short-iso": func(l, f, m string) string {
			return fmt.Sprintf("2026-11-23T02:49:24+0000 pbx asterisk[9]: %s[9]: %s:114 in f: %s",
				l, f, m)
		},
		"short-iso-precise": func(l, f, m string) string {
			return fmt.Sprintf("2026-11-23T02:49:24.000000+0000 pbx asterisk[9]: %s[9]: %s:114 "+
				"in f: %s", l, f, m)
		},
		"short-full": func(l, f, m string) string {
			return fmt.Sprintf("Mon 2026-11-23 02:49:24 UTC pbx asterisk[9]: %s[9]: %s:114 in f: "+
				"%s", l, f, m)
		},
		"with-unit": func(l, f, m string) string {
			return fmt.Sprintf("Mon 2026-11-23 02:49:24 UTC pbx asterisk.service[9]: %s[9]: "+
				"%s:114 in f: %s", l, f, m)
		},
		"short-unix": func(l, f, m string) string {
			return fmt.Sprintf("1795402164.000000 pbx asterisk[9]: %s[9]: %s:114 in f: %s", l, f, m)
		},
		"short-monotonic": func(l, f, m string) string {
			return fmt.Sprintf("[ 1234.123456] pbx asterisk[9]: [2026-11-23 02:49:24] %s[9]: "+
				"%s:114 f: %s", l, f, m)
		},
		"safe_asterisk": func(l, f, m string) string {
			return fmt.Sprintf("Nov 23 02:49:24 pbx safe_asterisk[9]: [Nov 23 02:49:24] %s[9]: "+
				"%s:114 f: %s", l, f, m)
		},
		"docker compose": func(l, f, m string) string {
			return fmt.Sprintf("asterisk-1  | [Nov 23 02:49:24] %s[9]: %s:114 f: %s", l, f, m)
		},
		"docker compose -t": func(l, f, m string) string {
			return fmt.Sprintf("asterisk-1  | 2026-11-23T02:49:24.000000001Z [Nov 23 02:49:24] "+
				"%s[9]: %s:114 f: %s", l, f, m)
		},
		"docker logs -t": func(l, f, m string) string {
			return fmt.Sprintf("2026-11-23T02:49:24.000000001Z [Nov 23 02:49:24] %s[9]: %s:114 "+
				"f: %s", l, f, m)
		},
		"Kubernetes": func(l, f, m string) string {
			return fmt.Sprintf("2026-11-23T02:49:24.000000001Z stdout F [Nov 23 02:49:24] %s[9]: "+
				"%s:114 f: %s", l, f, m)
		},
		"docker's json-file": func(l, f, m string) string {
			return fmt.Sprintf(`{"log":"[Nov 23 02:49:24] %s[9]: %s:114 f: %s\n",`+
				`"stream":"stdout","time":"2026-11-23T02:49:24.000000001Z"}`, l, f, quoted(m))
		},
		"journald's json": func(l, f, m string) string {
			return fmt.Sprintf(`{"__REALTIME_TIMESTAMP":"1795402164000000",`+
				`"SYSLOG_IDENTIFIER":"asterisk","MESSAGE":"%s[9]: %s:114 in f: %s"}`, l, f,
				quoted(m))
		},
		"journald's json, coloured": func(l, f, m string) string {
			return fmt.Sprintf(`{"__REALTIME_TIMESTAMP":"1795402164000000",`+
				`"_SYSTEMD_UNIT":"asterisk.service","MESSAGE":%s}`,
				numbers(fmt.Sprintf("[Nov 23 02:49:24] \x1b[1;33m%s\x1b[0m[9]: %s:114 f: %s", l, f,
					m)))
		},
		"Asterisk's json": func(l, f, m string) string {
			return fmt.Sprintf(`{"hostname":"pbx","timestamp":"2026-11-23 02:49:24",`+
				`"identifiers":{"lwp":9,"callid":"[C-0000001a]"},`+
				`"logmsg":{"location":{"filename":"%s","function":"f","line":114},"level":"%s",`+
				`"message":"%s\n"}}`, f, l, quoted(m))
		},
		"Asterisk's json in compose": func(l, f, m string) string {
			return fmt.Sprintf(`asterisk-1  | {"hostname":"pbx","timestamp":"2026-11-23 `+
				`02:49:24","identifiers":{"lwp":9,"callid":""},`+
				`"logmsg":{"location":{"filename":"%s","function":"f","line":114},"level":"%s",`+
				`"message":"%s"}}`, f, l, quoted(m))
		},
	} {
		// The same two messages in each form, one from each kind of lines.
		log := form("SECURITY", "res_security_log.c", eventText) + "\n" +
			form("NOTICE", "chan_sip.c", noticeText) + "\n"
		events, stats := read(t, log, Options{})
		want := `11-23T02:49:24.744 InvalidAccountID PJSIP UDP 198.51.100.8:5070 "100"; ` +
			`11-23T02:49:24.000 InvalidPassword SIP unknown 198.51.100.9:5060 "1001"`
		if got := strings.Join(events, "; "); got != want {
			t.Errorf("%s: %s, %s\n%s", name, got, renderStats(stats), log)
		}
		if Recognize([]byte(log)) != Alike {
			t.Errorf("%s is not recognized", name)
		}
	}
}

// TestByteOrderMark: an editor on Windows writes one.
func TestByteOrderMark(t *testing.T) {
	if got, _ := sourcesOf(t,
		"\xef\xbb\xbf"+registration("x")); got != `InvalidPassword SIP unknown `+
		`198.51.100.9:5060 "x"` {
		t.Error(got)
	}
}

// numbers returns a text as journald writes one with control characters.
func numbers(s string) string {
	parts := make([]string, len(s))
	for i := range len(s) {
		parts[i] = fmt.Sprint(s[i])
	}
	return "[" + strings.Join(parts, ",") + "]"
}

// TestOtherPrograms: in a mixed log, only Asterisk's lines count, however deep they are.
func TestOtherPrograms(t *testing.T) {
	foreign := "Nov 23 02:49:24 pbx sshd[9]: Invalid user [Nov 23 02:49:24] NOTICE[9] " +
		"chan_sip.c: " + lie + "\n" +
		"Nov 23 02:49:24 pbx sshd[9]: NOTICE[9]: chan_sip.c:1 in f: " + lie + "\n"

	// Among thousands of foreign lines, so that none is found by its place.
	real := "Nov 23 02:49:24 pbx asterisk[9]: NOTICE[9]: chan_sip.c:29062 in f: " + noticeText +
		"\n"
	got, stats := sourcesOf(t, strings.Repeat(foreign, 2000)+real+foreign)
	if got != `InvalidPassword SIP unknown 198.51.100.9:5060 "1001"` || stats.Foreign != 4002 ||
		stats.Unread[UnreadForeign] != 2001 || stats.NotRead() != 2001 {
		t.Errorf("%s, %s", got, renderStats(stats))
	}
}

// TestLinesMayEndAnywhere: a line of any form that a file has, cut at any place, stops nothing.
func TestLinesMayEndAnywhere(t *testing.T) {
	message := strings.TrimSuffix(registration("<sip:1001@pbx>"), "\n")
	for _, form := range []string{
		message,
		"<13>Nov 23 02:49:24 pbx asterisk[99]: " + message,
		"<13>1 2026-11-23T02:49:24.744Z pbx asterisk 99 - - " + message,
		"Nov 23 02:49:24.123456 pbx asterisk[99]: " + message,
		"2026-11-23T02:49:24.744+00:00 pbx asterisk[99]: " + message,
		"Mon 2026-11-23 02:49:24 UTC pbx asterisk[99]: " + message,
		"1795402164.123456 pbx asterisk[99]: " + message,
		"2026-11-23T02:49:24.744123456Z " + message,
		"pbx-1  | " + message,
		`{"log":"` + message + `\n","stream":"stdout","time":"2026-11-23T02:49:24.744Z"}`,
		"\x1b[1;33m" + message + "\x1b[0m",
		"<--- Received SIP request (330 bytes) from UDP:198.51.100.7:5060 --->",
	} {
		// Alone, and between two other lines. A panic fails the test.
		for n := range len(form) + 1 {
			cut := form[:n]
			_, _ = read(t, cut, Options{})
			_, _ = read(t, sip("a")+cut+"\n"+sip("b"), Options{})
		}
	}
}
