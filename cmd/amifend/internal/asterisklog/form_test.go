package asterisklog

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The same two messages, an event and a failed registration, for all forms.
const (
	eventText  = `SecurityEvent="InvalidAccountID",EventTV="2026-11-23T02:49:24.744+0000",Severity="Error",Service="PJSIP",EventVersion="1",AccountID="100",SessionID="a@b",LocalAddress="IPV4/UDP/192.0.2.10/5060",RemoteAddress="IPV4/UDP/198.51.100.8/5070"`
	noticeText = `Registration from '<sip:1001@pbx>' failed for '198.51.100.9:5060' - Wrong password`
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
			return fmt.Sprintf(`{"log":"[Nov 23 02:49:24] %s[9]: %s:114 f: %s\n","stream":"stdout","time":"2026-11-23T02:49:24.000000001Z"}`, l, f, quoted(m))
		},
		"journald's json": func(l, f, m string) string {
			return fmt.Sprintf(`{"__REALTIME_TIMESTAMP":"1795402164000000","SYSLOG_IDENTIFIER":"asterisk","MESSAGE":"%s[9]: %s:114 in f: %s"}`, l, f, quoted(m))
		},
		"journald's json, coloured": func(l, f, m string) string {
			return fmt.Sprintf(`{"__REALTIME_TIMESTAMP":"1795402164000000","_SYSTEMD_UNIT":"asterisk.service","MESSAGE":%s}`, numbers(fmt.Sprintf("[Nov 23 02:49:24] \x1b[1;33m%s\x1b[0m[9]: %s:114 f: %s", l, f, m)))
		},
		"Asterisk's json": func(l, f, m string) string {
			return fmt.Sprintf(`{"hostname":"pbx","timestamp":"2026-11-23 02:49:24","identifiers":{"lwp":9,"callid":"[C-0000001a]"},"logmsg":{"location":{"filename":"%s","function":"f","line":114},"level":"%s","message":"%s\n"}}`, f, l, quoted(m))
		},
		"Asterisk's json in compose": func(l, f, m string) string {
			return fmt.Sprintf(`asterisk-1  | {"hostname":"pbx","timestamp":"2026-11-23 02:49:24","identifiers":{"lwp":9,"callid":""},"logmsg":{"location":{"filename":"%s","function":"f","line":114},"level":"%s","message":"%s"}}`, f, l, quoted(m))
		},
	} {
		log := form("SECURITY", "res_security_log.c", eventText) + "\n" +
			form("NOTICE", "chan_sip.c", noticeText) + "\n"
		events, stats := read(t, log, Options{})
		want := `11-23T02:49:24.744 InvalidAccountID PJSIP UDP 198.51.100.8:5070 "100"; 11-23T02:49:24.000 InvalidPassword SIP unknown 198.51.100.9:5060 "1001"`
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
		"\xef\xbb\xbf"+registration("x")); got != `InvalidPassword SIP unknown 198.51.100.9:5060 "x"` {
		t.Error(got)
	}
}

// numbers is how journald writes a text that holds control characters.
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
	real := "Nov 23 02:49:24 pbx asterisk[9]: NOTICE[9]: chan_sip.c:29062 in f: " + noticeText +
		"\n"
	got, stats := sourcesOf(t, strings.Repeat(foreign, 2000)+real+foreign)
	if got != `InvalidPassword SIP unknown 198.51.100.9:5060 "1001"` || stats.Foreign != 4002 ||
		stats.NotRead() != 0 {
		t.Errorf("%s, %s", got, renderStats(stats))
	}
}

// TestStamps: the forms of dateformat that are understood.
func TestStamps(t *testing.T) {
	for stamp, want := range map[string]string{
		"1795402164":                      "2026-11-23T02:49:24Z",
		"1795402164.744":                  "2026-11-23T02:49:24.744Z",
		"1795402164744":                   "2026-11-23T02:49:24.744Z",
		"23/11/2026 02:49:24":             "2026-11-23T02:49:24Z",
		"11/23/2026 02:49:24":             "2026-11-23T02:49:24Z",
		"11/23/26 02:49:24":               "2026-11-23T02:49:24Z",
		"23.11.2026 02:49:24":             "2026-11-23T02:49:24Z",
		"23.11.2026 02:49:24.744":         "2026-11-23T02:49:24.744Z",
		"23-11-2026 02:49:24":             "2026-11-23T02:49:24Z",
		"23 Nov 2026 02:49:24":            "2026-11-23T02:49:24Z",
		"23/Nov/2026:02:49:24 +0100":      "2026-11-23T01:49:24Z",
		"Mon Nov 23 02:49:24 2026":        "2026-11-23T02:49:24Z",
		"Mon Nov 23 02:49:24 UTC 2026":    "2026-11-23T02:49:24Z",
		"Mon, 23 Nov 2026 02:49:24 +0000": "2026-11-23T02:49:24Z",
		"2026-11-23 02:49:24,744":         "2026-11-23T02:49:24.744Z",
		"2026-11-23 02:49:24 UTC":         "2026-11-23T02:49:24Z",
		"2026-11-23 02:49:24 GMT":         "2026-11-23T02:49:24Z",
		"2026-11-23 02:49:24 +01:00":      "2026-11-23T01:49:24Z",
		"2026-11-23 02:49:24+0100":        "2026-11-23T01:49:24Z",
		"2026-11-23 02:49:24 PM":          "2026-11-23T14:49:24Z",
		"20261123 02:49:24":               "2026-11-23T02:49:24Z",
		"20261123-024924":                 "2026-11-23T02:49:24Z",
		"2026-11-23_02:49:24":             "2026-11-23T02:49:24Z",
		"2026-11-23 02:49:24 CET":         "",
		"02:49:24":                        "",
		"yesterday":                       "",
		"31/31/2026 02:49:24":             "",
		"":                                "",
	} {
		s := newStampReader(Options{Location: time.UTC, Modified: time.Date(2026, 11, 24, 0, 0, 0,
			0, time.UTC)})
		got, ok := s.parse([]byte(stamp))
		if ok != (want != "") || ok && got.UTC().Format(time.RFC3339Nano) != want {
			t.Errorf("%q is %v, %v; want %s", stamp, got, ok, want)
		}
	}
}

// TestDayOrMonth: which of two numbers is the day, the file's other stamps tell, or the time of its
// last change.
func TestDayOrMonth(t *testing.T) {
	for name, test := range map[string]struct {
		modified, stamps, want string
	}{
		"the day first": {
			"2026-06-05", "14/05/2026 01:00:00,05/06/2026 01:00:00",
			"2026-05-14 2026-06-05",
		},
		"the month first": {
			"2026-06-05", "05/14/2026 01:00:00,06/05/2026 01:00:00",
			"2026-05-14 2026-06-05",
		},
		"no line is in the future": {"2026-06-05", "03/07/2026 01:00:00", "2026-03-07"},
		"the nearer one":           {"2026-08-09", "08/03/2026 01:00:00", "2026-08-03"},
	} {
		modified, err := time.Parse(time.DateOnly, test.modified)
		if err != nil {
			t.Fatal(err)
		}
		s := newStampReader(Options{Location: time.UTC, Modified: modified})
		var got []string
		for stamp := range strings.SplitSeq(test.stamps, ",") {
			at, _ := s.parse([]byte(stamp))
			got = append(got, at.Format(time.DateOnly))
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: %s are %s, want %s", name, test.stamps, got, test.want)
		}
	}
}

// TestLearnedOffset: EventTV tells the offset of the stamps around it, of those in front of it too.
func TestLearnedOffset(t *testing.T) {
	line := registration("x")
	event := strings.Replace(pjsip("y"), "2026-11-23T02:49:24.744+0000",
		"2026-11-23T02:49:24.744-0600", 1)
	for name, log := range map[string]string{"in front": line + event, "behind": event + line} {
		events, _ := read(t, log, Options{})
		if len(events) != 2 || !strings.Contains(strings.Join(events, " "),
			"11-23T08:49:24.744 InvalidPassword") {
			t.Errorf("%s: %q, want both at 08:49 UTC", name, events)
		}
	}
}
