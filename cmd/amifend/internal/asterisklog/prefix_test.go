package asterisklog

import (
	"strings"
	"testing"
	"time"
)

// TestPrefixes: the forms of logger.c in all versions, and of syslog.
func TestPrefixes(t *testing.T) {
	const message = "Registration from '<sip:1001@pbx>' failed for '198.51.100.9:5060' - Wrong " +
		"password\n"
	for prefix, want := range map[string]string{
		"[Nov 23 02:49:24] NOTICE[9] chan_sip.c: ":                                            "11-23T02:49:24.000",
		"[Nov  3 02:49:24] NOTICE[9] chan_sip.c: ":                                            "11-03T02:49:24.000",
		"[2026-11-23 02:49:24] NOTICE[9] chan_sip.c: ":                                        "11-23T02:49:24.000",
		"[2026-11-23 02:49:24.744] NOTICE[9] chan_sip.c: ":                                    "11-23T02:49:24.744",
		"[2026-11-23T02:49:24.744+0100] NOTICE[9] chan_sip.c: ":                               "11-23T01:49:24.744",
		"[2026-11-23 02:49:24] NOTICE[9][C-0000001a] chan_sip.c: ":                            "11-23T02:49:24.000",
		"[Nov 23 02:49:24] NOTICE[9]: chan_sip.c:29062 handle_request_register: ":             "11-23T02:49:24.000",
		"[Nov 23 02:49:24] NOTICE[9][C-0000001a]: chan_sip.c:29062 handle_request_register: ": "11-23T02:49:24.000",
		"Nov 23 02:49:24 pbx asterisk[99]: NOTICE[9]: chan_sip.c:29062 in " +
			"handle_request_register: ": "11-23T02:49:24.000",
		"2026-11-23T02:49:24.744+00:00 pbx asterisk[99]: NOTICE[9]: chan_sip.c:2 in " +
			"handle_request_reg: ": "11-23T02:49:24.744",
		"[Nov 23 02:49:24] DEBUG[9] chan_sip.c: ":                                                "",
		"[Nov 23 02:49:24] NOTICE[9] chan_iax2.c: ":                                              "",
		"[Nov 23 02:49:24] NOTICE[9]chan_sip.c: ":                                                "",
		"[Nov 23 02:49:24 NOTICE[9] chan_sip.c: ":                                                "",
		"[yesterday] NOTICE[9] chan_sip.c: ":                                                     "",
		"Nov 23 02:49:24 pbx sshd[99]: NOTICE[9]: chan_sip.c:29062 in handle_request_register: ": "",
		"": "",
	} {
		events, stats := read(t, prefix+message, Options{})
		switch {
		case want == "" && len(events) > 0:
			t.Errorf("%s: %q, want nothing", prefix, events)
		case want != "" && (len(events) != 1 || !strings.HasPrefix(events[0], want)):
			t.Errorf("%s: %q, want one at %s; %s", prefix, events, want, renderStats(stats))
		}
	}
}

// TestYears: stamps without a year.
func TestYears(t *testing.T) {
	for name, test := range map[string]struct {
		modified string
		stamps   []string
		want     []string
	}{
		"this year": {
			"2026-11-24",
			[]string{"Jan  2 00:00:00", "Nov 23 00:00:00"},
			[]string{"2026-01-02", "2026-11-23"},
		},
		"last year": {"2026-11-24", []string{"Dec 24 00:00:00"}, []string{"2025-12-24"}},
		"over a new year": {"2026-01-03", []string{
			"Dec 31 23:59:59", "Jan  1 00:00:01",
			"Jan  2 00:00:00",
		}, []string{"2025-12-31", "2026-01-01", "2026-01-02"}},
		"a late line": {"2026-01-03", []string{
			"Dec 31 23:59:58", "Jan  1 00:00:00",
			"Dec 31 23:59:59", "Jan  1 00:00:01",
		}, []string{
			"2025-12-31", "2026-01-01",
			"2025-12-31", "2026-01-01",
		}},
		"a quiet half": {
			"2026-11-24",
			[]string{"Jan  2 00:00:00", "Oct  2 00:00:00"},
			[]string{"2026-01-02", "2026-10-02"},
		},
		"a leap day": {"2028-03-01", []string{"Feb 29 12:00:00"}, []string{"2028-02-29"}},
	} {
		modified, err := time.Parse(time.DateOnly, test.modified)
		if err != nil {
			t.Fatal(err)
		}
		s := newStampReader(Options{Location: time.UTC, Modified: modified})
		for i, stamp := range test.stamps {
			if got, ok := s.parse([]byte(stamp)); !ok || got.Format(time.DateOnly) != test.want[i] {
				t.Errorf("%s: %s is %v, %v; want %s", name, stamp, got, ok, test.want[i])
			}
		}
	}
}

// TestEndOfSummerTime: the hour that comes twice, and lines of two threads in it.
func TestEndOfSummerTime(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	s := newStampReader(Options{Location: berlin})
	for _, line := range []struct{ stamp, want string }{
		{"2026-10-25 01:59:59", "23:59:59"},
		{"2026-10-25 02:10:00", "00:10:00"},
		{"2026-10-25 02:50:01", "00:50:01"},
		{"2026-10-25 02:50:00", "00:50:00"},
		{"2026-10-25 02:05:00", "01:05:00"},
		{"2026-10-25 02:55:00", "01:55:00"},
		{"2026-10-25T02:55:01+0100", "01:55:01"},
		{"2026-10-25 03:00:00", "02:00:00"},
		{"2026-10-26 02:30:00", "01:30:00"},
	} {
		if got, ok := s.parse([]byte(line.stamp)); !ok ||
			got.UTC().Format(time.TimeOnly) != line.want {
			t.Errorf("%s is %v, %v; want %s UTC", line.stamp, got.UTC(), ok, line.want)
		}
	}
}

func TestTimezone(t *testing.T) {
	berlin := time.FixedZone("CET", 3600)
	events, _ := read(t, registration("x"), Options{Location: berlin})
	if len(events) != 1 || !strings.HasPrefix(events[0], "11-23T01:49:24.744") {
		t.Errorf("%q, want it an hour before", events)
	}
}

func TestRecognize(t *testing.T) {
	for head, want := range map[string]Likeness{
		"[Nov 23 02:49:24] Asterisk 16.28.0 built by nobody\n":                Alike,
		"\n   -- an old line\n[Nov 23 02:49:24] VERBOSE[9] pbx.c: x\n":        Alike,
		"Nov 23 02:49:24 pbx asterisk[99]: NOTICE[9]: chan_sip.c:1 in f: x\n": Alike,
		"root:x:0:0:root:/root:/bin/bash\n":                                   Unlike,
		"[section]\nkey = value\n":                                            Unlike,
		"Nov 23 02:49:24 pbx sshd[99]: Failed password\n":                     Perhaps,
		"": Unlike,
	} {
		if got := Recognize([]byte(head)); got != want {
			t.Errorf("%q: %v, want %v", head, got, want)
		}
	}
}
