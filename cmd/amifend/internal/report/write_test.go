package report

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/policy"
)

// limited reports a file with a limit, and returns the report and its notes.
func limited(t *testing.T, format Format, limit int, file string) (out, notes string) {
	t.Helper()
	var b, n bytes.Buffer
	o := Options{
		Config: &config.Config{Policy: policy.DefaultOptions()}, Files: []string{file},
		Format: format, Location: time.UTC, Limit: limit, Notes: &n,
	}
	if err := Run(t.Context(), o, &b); err != nil {
		t.Fatal(err)
	}

	if format == FormatJSON {
		return items(t, b.Bytes()), n.String()
	}
	return b.String(), n.String()
}

// TestLimit: so many sources are written, and how many more there are.
func TestLimit(t *testing.T) {
	var b strings.Builder
	for i := range 7 {
		b.WriteString(attempt(float64(i), fmt.Sprintf("IPV4/UDP/203.0.113.%d/5060", i), "x", "a"))
	}

	// Each format has its own place for the number of those left out.
	path := capture(t, b.String())
	text, _ := limited(t, FormatText, 3, path)
	if strings.Count(text, "verdict:") != 3 ||
		!strings.Contains(text, "4 more (amifend report -n COUNT)") ||
		!strings.Contains(text, "failed attempts: 7, sources: 7") {
		t.Errorf("%s", text)
	}

	object, _ := limited(t, FormatJSON, 3, path)
	if strings.Count(object, `"source"`) != 3 ||
		!strings.Contains(object, `{"action":"note","kind":"more","count":4,`) {
		t.Errorf("%s", object)
	}
	table, notes := limited(t, FormatCSV, 3, path)
	if strings.Count(table, "\n") != 4 || notes != "4 more (amifend report -n COUNT)\n" {
		t.Errorf("%s; %s", table, notes)
	}

	if all, notes := limited(t, FormatCSV, 0, path); strings.Count(all, "\n") != 8 || notes != "" {
		t.Errorf("%s; %s", all, notes)
	}
}

// TestReports: reports of inputs that were built after public bug reports.
func TestReports(t *testing.T) {
	for name, want := range map[string][]string{
		"time-last-event.log":     {"198.51.100.7  2026-11-23 02:00:00 to 2026-11-23 14:00:00 UTC"},
		"silent-pjsip-notice.log": {"      5  198.51.100.7 ", "banned 2026-11-23 02:10:09"},
		"silent-iax2.log": {
			"      5  198.51.100.9 ", "5 accounts",
			"banned 2026-11-23 02:10:09",
		},
		"silent-loopback-ws.log": {
			"      5  127.0.0.1 ", "never banned: loopback",
			"note: 127.0.0.1 failed here: the PBX does not see real sources",
		},
		"stamp-zone-name.log": {
			"no failed attempts\n",
			`5 lines that look like failed requests were not read: the time "2026-11-23 02:10:00 ` +
				`CET" is not understood`,
		},
	} {
		path := filepath.Join("..", "replay", "testdata", "reports", name)
		text, _ := limited(t, FormatText, 10, path)
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: no %q in\n%s", name, w, text)
			}
		}
	}

	// The note must be in every format: a report without it would look like peace.
	path := filepath.Join("..", "replay", "testdata", "reports", "stamp-zone-name.log")
	object, _ := limited(t, FormatJSON, 10, path)
	if !strings.Contains(object, `"kind":"unread","count":5`) {
		t.Errorf("%s", object)
	}
	_, notes := limited(t, FormatCSV, 10, path)
	if !strings.Contains(notes, "5 lines that look like failed requests were not read") {
		t.Errorf("%s", notes)
	}
}
