package cli

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// The open alerts come first, then the worst, then the last one; each condition says how long it
// lasted; and the list says what it left out, and what is ignored.
func TestAlertsText(t *testing.T) {
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	l := control.AlertList{
		Total: 304,
		Alerts: []control.Alert{
			{At: at.Add(time.Hour), Kind: "spoof_suspected", Severity: "notice", Reason: "forged"},
			{At: at, Kind: "compromised_account", Severity: "critical", Reason: "known", Do: "change"},
			{
				At: at.Add(-time.Hour), Kind: "misconfigured_endpoint", Source: "192.0.2.1",
				Severity: "notice", Reason: "fails", ID: "5f3a9c01", Open: true, Last: at, Count: 8,
			},
			{
				At: at.Add(-2 * time.Hour), Kind: "server_down", Severity: "critical", ID: "00c0ffee",
				Reason: "no events", Last: at, Ended: at.Add(time.Minute), Count: 3,
			},
			{At: at, Kind: "misconfigured_endpoint", ID: "0badf00d", Ignored: "the fax", Open: true},
		},
		Ignored: []control.IgnoredAlert{{
			ID: "0badf00d", Kind: "misconfigured_endpoint", Source: "192.0.2.9", Account: `"201"`,
			Server: "office", At: at, By: "uid 0", Note: "the fax",
		}},
	}

	// The open one comes first, then the worst, then the latest. The ignored one is only counted.
	want := []string{
		"misconfigured_endpoint  192.0.2.1",
		"open for 1h0m0s, last seen 2026-11-23 12:00:00 UTC, 8 times, id 5f3a9c01",
		"compromised_account", "do: change", "server_down",
		"resolved 2026-11-23 12:01:00 UTC, lasted 2h0m0s, 3 times",
		"spoof_suspected", "4 of 303 alerts since 2026-11-22 12:00 UTC, 1 open",
		"1 ignored: amifend alerts --ignored",
	}
	got := alertsText(l, at.Add(-24*time.Hour), time.UTC)
	rest := got
	for _, part := range want {
		_, after, ok := strings.Cut(rest, part)
		if !ok {
			t.Fatalf("%q is missing, or not in its place:\n%s", part, got)
		}
		rest = after
	}
	if strings.Contains(got, "0badf00d") {
		t.Errorf("an ignored alert is told:\n%s", got)
	}

	wantIgnored := `0badf00d  misconfigured_endpoint 192.0.2.9 account "201" of office
    since 2026-11-23 12:00:00 UTC by uid 0: the fax
1 alert ignored
`
	if got := ignoredText(l.Ignored, time.UTC); got != wantIgnored {
		t.Errorf("got:\n%s\nwant:\n%s", got, wantIgnored)
	}
}

// A flood of forged alerts does not hide in the text either: what the daemon sent is shown.
func TestAlertsTextOfAFlood(t *testing.T) {
	l := control.AlertList{Total: 144_001}
	for i := range 99 {
		l.Alerts = append(l.Alerts, control.Alert{
			Kind: "spoof_suspected", Severity: "notice", Source: fmt.Sprint("192.0.2.", i),
		})
	}
	l.Alerts = append(l.Alerts, control.Alert{Kind: "compromised_account", Severity: "critical"})
	got := alertsText(l, time.Now(), time.UTC)
	if !strings.Contains(strings.SplitN(got, "\n", 2)[0], "compromised_account") ||
		!strings.Contains(got, "100 of 144001 alerts") {
		t.Errorf("got:\n%.300s", got)
	}
}
