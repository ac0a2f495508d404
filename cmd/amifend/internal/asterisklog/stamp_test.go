package asterisklog

import (
	"strings"
	"testing"
	"time"
)

// TestStamps: the forms of dateformat that are understood.
func TestStamps(t *testing.T) {
	for stamp, want := range map[string]string{
		"1795402164":                       "2026-11-23T02:49:24Z",
		"1795402164.744":                   "2026-11-23T02:49:24.744Z",
		"1795402164744":                    "2026-11-23T02:49:24.744Z",
		"23/11/2026 02:49:24":              "2026-11-23T02:49:24Z",
		"11/23/2026 02:49:24":              "2026-11-23T02:49:24Z",
		"11/23/26 02:49:24":                "2026-11-23T02:49:24Z",
		"23.11.2026 02:49:24":              "2026-11-23T02:49:24Z",
		"23.11.2026 02:49:24.744":          "2026-11-23T02:49:24.744Z",
		"23-11-2026 02:49:24":              "2026-11-23T02:49:24Z",
		"23 Nov 2026 02:49:24":             "2026-11-23T02:49:24Z",
		"23/Nov/2026:02:49:24 +0100":       "2026-11-23T01:49:24Z",
		"Mon Nov 23 02:49:24 2026":         "2026-11-23T02:49:24Z",
		"Mon Nov 23 02:49:24 UTC 2026":     "2026-11-23T02:49:24Z",
		"Mon, 23 Nov 2026 02:49:24 +0000":  "2026-11-23T02:49:24Z",
		"2026-11-23 02:49:24,744":          "2026-11-23T02:49:24.744Z",
		"2026-11-23 02:49:24 UTC":          "2026-11-23T02:49:24Z",
		"2026-11-23 02:49:24 GMT":          "2026-11-23T02:49:24Z",
		"2026-11-23 02:49:24 +01:00":       "2026-11-23T01:49:24Z",
		"2026-11-23 02:49:24+0100":         "2026-11-23T01:49:24Z",
		"2026-11-23 02:49:24 PM":           "2026-11-23T14:49:24Z",
		"20261123 02:49:24":                "2026-11-23T02:49:24Z",
		"20261123-024924":                  "2026-11-23T02:49:24Z",
		"2026-11-23_02:49:24":              "2026-11-23T02:49:24Z",
		"2026-11-23 02:49:24 pm":           "2026-11-23T14:49:24Z",
		"2026-11-23 12:49:24 AM":           "2026-11-23T00:49:24Z",
		"Nov 23  2:49:24 PM":               "2026-11-23T14:49:24Z",
		"Nov  3 02:49:24":                  "2026-11-03T02:49:24Z",
		"02:49:24PM 23/11/2026":            "2026-11-23T14:49:24Z",
		"11/23/26 02:49:24 PM":             "2026-11-23T14:49:24Z",
		"23/11/2026, 02:49:24":             "2026-11-23T02:49:24Z",
		"23/11/2026 02:49":                 "2026-11-23T02:49:00Z",
		"November 23 02:49:24":             "2026-11-23T02:49:24Z",
		"November 23, 2026 02:49:24":       "2026-11-23T02:49:24Z",
		"Monday 23 November 2026 02:49:24": "2026-11-23T02:49:24Z",
		"20261123024924":                   "2026-11-23T02:49:24Z",
		"02:49:24 23.11.2026":              "2026-11-23T02:49:24Z",
		"02:49:24 2026-11-23":              "2026-11-23T02:49:24Z",
		"2026-11-23 02:49":                 "2026-11-23T02:49:00Z",
		"2026-11-23-02:49:24":              "2026-11-23T02:49:24Z",
		"2026-327 02:49:24":                "2026-11-23T02:49:24Z",
		"23-11 02:49:24":                   "2026-11-23T02:49:24Z",
		"23.11.2026 02.49.24":              "2026-11-23T02:49:24Z",
		"2026-11-23 02:49:24 CET":          "",
		"02:49:24":                         "",
		"yesterday":                        "",
		"31/31/2026 02:49:24":              "",
		"":                                 "",
	} {
		// A reader of its own for each: it remembers the form that fitted last.
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

		// In order: later stamps profit from what earlier ones showed.
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

		// One reader for all stamps of a file, as they follow each other.
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

// TestAdviceOnTimes: the advice fits the stamp that is not understood.
func TestAdviceOnTimes(t *testing.T) {
	for stamp, want := range map[string]string{
		``:                        "journalctl -o short-iso",
		`12345.123456`:            "short-monotonic",
		`2026-11-23 02:10:00 CET`: "--timezone",
		`02:10:00`:                "dateformat",
		`yesterday`:               "dateformat",
	} {
		if got := UnreadTime.Do(`"` + stamp + `"`); !strings.Contains(got, want) {
			t.Errorf("%q: %s, want %s", stamp, got, want)
		}
	}

	if got := UnreadTime.Why(`""`); got != "no time stands in front of them" {
		t.Error(got)
	}
}
