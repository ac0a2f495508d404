package replay

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/policy"
)

// TestReports replays inputs that were built after public bug reports. want are the bans, and what
// the text must hold.
func TestReports(t *testing.T) {
	const one = "ban 198.51.100.7/32 after 4"
	for name, test := range map[string]struct {
		bans string
		text []string
	}{
		"proxy-many-users-ws.log": {"", []string{
			`come through an address that 8 accounts share ("207", "206", "205", "204", "203", "202", ` +
				`"201", "200"): nobody is banned`,
		}},
		"time-quiet-weeks.log": {"", []string{"7 events, 2026-09-01 09:00:00.000 to " +
			"2026-10-19 09:00:00.000 UTC"}},
		"time-last-event.log": {"", []string{"2026-11-23 02:00:00.000 to 2026-11-23 " +
			"14:00:00.000 UTC"}},
		"silent-pjsip-notice.log": {one, []string{"5 failed requests that NOTICE and " +
			"WARNING lines reported"}},
		"silent-iax2.log": {
			"ban 198.51.100.9/32 after 4",
			[]string{`InvalidPassword (forgeable by a spoofer) "u0" "u1" "u2" "u3"`},
		},
		"silent-loopback-ws.log": {"", []string{"5 failures of 127.0.0.1, which is never " +
			"banned (loopback): the PBX does not see real sources"}},
		"stamp-epoch.log": {
			"ban 198.51.100.9/32 after 4",
			[]string{"2026-11-23 02:10:09.000  ban"},
		},
		"stamp-zone-name.log": {
			"",
			[]string{`5 lines that look like failed requests were not read: the time "2026-11-23 ` +
				`02:10:00 CET" is not understood`, "--timezone"},
		},
		"format-asterisk-json.log":     {one, nil},
		"format-crlf.log":              {one, nil},
		"format-docker-compose.log":    {one, nil},
		"format-journal-colour.log":    {one, nil},
		"format-journal-own-stamp.log": {one, nil},
		"format-journal-precise.log":   {one, nil},
		"sip-trace-in-log.log": {"ban 198.51.100.93/32 after 4", []string{
			"160 lines of printed SIP messages skipped", "15 of them left out: the security " +
				"channel reports the same requests",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", "reports", name)
			if got := bansOf(t, run(t, Options{Files: []string{file}}, nil)); got != test.bans {
				t.Errorf("bans %q, want %q", got, test.bans)
			}

			// The text is for people: what they must be told is in it, wherever.
			text := run(t, Options{Files: []string{file}, Format: FormatText}, nil)
			for _, want := range test.text {
				if !strings.Contains(text, want) {
					t.Errorf("no %q in\n%s", want, text)
				}
			}
		})
	}
}

// TestSharedSourceIsExplained: the evidence lists every attempt that made the score.
func TestSharedSourceIsExplained(t *testing.T) {
	text := run(t, Options{
		Files:  []string{filepath.Join("testdata", "reports", "proxy-many-users-ws.log")},
		Format: FormatText, Explain: netip.MustParseAddr("203.0.113.200"),
	}, nil)
	for _, want := range []string{
		"8 accounts logged in from here lately", `unknown account "z2", "z3", `,
		"nothing bans it unless", "not counted: many users share this source",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// bansOf are the bans of a replay in JSON, each with its number of attempts.
func bansOf(t *testing.T, out string) string {
	t.Helper()
	var bans []string
	for line := range strings.Lines(out) {
		var d struct {
			Action, Prefix string
			Attempts       json.Number
		}
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatal(err)
		}

		if d.Action == "ban" {
			bans = append(bans, "ban "+d.Prefix+" after "+d.Attempts.String())
		}
	}

	return strings.Join(bans, ", ")
}

// TestZoneName: a stamp with the name of a zone is read where that is the location's.
func TestZoneName(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}

	var out bytes.Buffer
	o := Options{
		Config: &config.Config{Policy: policy.DefaultOptions()},
		Files:  []string{"testdata/reports/stamp-zone-name.log"}, Location: berlin,
		Format: FormatJSON,
	}

	if err := Run(t.Context(), o, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(items(t, out.String()),
		`{"time":"2026-11-23T01:10:09Z","action":"ban","prefix":"198.51.100.9/32"`) {
		t.Errorf("%s, want a ban an hour before UTC", &out)
	}
}

// TestChangedCaptures: a capture that was changed on its way accuses nobody, and the reason is
// told.
func TestChangedCaptures(t *testing.T) {
	for name, want := range map[string]string{
		"capture-trailing-blanks-cut.ami": "blanks at line ends were cut off",
		"silent-capture-lf.ami":           "no line of it ends in CR LF",
	} {
		var out bytes.Buffer
		o := Options{
			Config: &config.Config{Policy: policy.DefaultOptions()},
			Files:  []string{filepath.Join("testdata", "reports", name)},
			Format: FormatJSON, Location: time.UTC,
		}

		err := Run(t.Context(), o, &out)
		if err == nil || !strings.Contains(err.Error(), want) || out.Len() > 0 {
			t.Errorf("%s: %v, %s; want an error with %q, and nothing decided", name, err, &out,
				want)
		}
	}
}

// TestNotesInJSON: a replay whose lines were not read does not end like that of a quiet PBX.
func TestNotesInJSON(t *testing.T) {
	for name, want := range map[string]string{
		"stamp-zone-name.log": `{"action":"note","kind":"unread","count":5,"reason":"the time ` +
			`\"2026-11-23 02:10:00 CET\" is not understood`,
		"silent-loopback-ws.log": `{"action":"note","kind":"never_banned","source":"127.0.0.1",` +
			`"count":5,"reason":"it is never banned: loopback"`,
	} {
		got := run(t, Options{Files: []string{filepath.Join("testdata", "reports", name)}}, nil)
		if line, _, _ := strings.Cut(got, ",\"do\""); !strings.HasPrefix(line,
			strings.TrimSuffix(want, `,"do"`)) &&
			!strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// TestForeignFiles: a folder with files of other kinds is replayed, and they are named. One alone
// is an error.
func TestForeignFiles(t *testing.T) {
	dir := t.TempDir()
	log, err := os.ReadFile("testdata/reports/silent-pjsip-notice.log")
	if err != nil {
		t.Fatal(err)
	}

	for name, content := range map[string][]byte{
		"messages": log, "queue_log": []byte("1795399800|NONE|NONE|NONE|QUEUESTART|\n"),
		"empty":  nil,
		"syslog": []byte("Nov 23 02:49:24 pbx sshd[99]: Failed password\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	// Named by their folder, and by a pattern that no shell expanded.
	for _, files := range [][]string{{dir}, {filepath.Join(dir, "*")}} {
		got := run(t, Options{Files: files, Format: FormatText}, nil)
		for _, want := range []string{
			"ban    198.51.100.7/32", "queue_log is skipped: is neither an AMI capture",
			"syslog: no line of Asterisk is in it", "3 files, 5 events",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %q in\n%s", files, want, got)
			}
		}
	}

	// Alone, it must not look like a quiet PBX.
	o := Options{
		Config: &config.Config{Policy: policy.DefaultOptions()},
		Files:  []string{filepath.Join(dir, "queue_log")},
	}
	if err := Run(t.Context(), o, &bytes.Buffer{}); err == nil ||
		!strings.Contains(err.Error(), "is neither") {
		t.Errorf("%v, want an error", err)
	}
}
