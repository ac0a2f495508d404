package overview

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

var update = flag.Bool("update", false, "write the golden files")

var monday = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

func options() Options { return Options{Host: "pbx", Location: time.UTC, At: monday} }

// hostile are names that attackers choose, as the daemon hands them out.
func hostile() []string {
	var out []string
	for _, name := range []string{
		"<script>alert(1)</script>", "@everyone", "<!channel>", "\u202e1001\u202c",
		strings.Repeat("A", 3000), "https://evil.example/?a=1", "www.evil.example",
		`" onload="alert(1)`, "{{.Host}}", "javascript:alert(1)",
	} {
		out = append(out, ami.Quote([]byte(name)))
	}
	return out
}

// week returns the report of a week with attacks.
func week() control.Report {
	r := control.Report{
		From: monday.AddDate(0, 0, -7), To: monday,
		Bans: control.BanCounts{
			Made: 45, ByRule: map[string]int{"proven_score": 30, "score": 12, "canary_account": 3},
		},
		AlertCounts: map[string]int{"account_attacked": 2, "misconfigured_endpoint": 1},
		Alerts: []control.Alert{{
			Kind: "account_attacked", Account: hostile()[0], Server: "office", Open: true,
			Reason: "the account " + hostile()[0] + " is guessed from 31 sources",
		}},
	}
	for i, name := range hostile() {
		r.Accounts = append(r.Accounts, control.Sum{
			Name: name, Server: "office", Failures: uint64(9000 - i*700), Last: monday,
		})
		r.Sources = append(r.Sources, control.Sum{
			Name: fmt.Sprintf("203.0.113.%d", i), Failures: uint64(8000 - i*700), Last: monday,
			Banned: i < 3,
			Origin: &control.Origin{
				Country: "DE", ASN: 64500, Network: "Example GmbH",
				Host: "www.evil.example", Confirmed: i%2 == 0,
			},
		})
	}

	r.Audit = &control.Audit{
		Verdict: "1 critical, 12 medium", Serious: 13, Worst: []string{
			"critical: an account was used by an attacker (office)", "high: " + hostile()[0],
		},
		Missed: []string{"the PBX's configuration", hostile()[5]},
	}
	t := &control.Trend{
		Now: control.Numbers{
			Failures: 1_234_567, Logins: 40_000, Sources: 321, Accounts: 95, Bans: 45, Alerts: 3,
		},
		Before: control.Numbers{
			Failures: 1_000_000, Logins: 40_000, Sources: 400, Accounts: 0, Bans: 40, Alerts: 3,
		},
		BeforeFrom: monday.AddDate(0, 0, -14),
		Countries:  []control.Share{{Name: "DE", Failures: 8000}, {Name: "NL", Failures: 2000}},
		Networks: []control.Share{
			{Name: "AS64500 Example GmbH", Failures: 8000}, {Name: "unknown", Failures: 900},
		},
		Phones: []control.Alert{{
			Kind: "misconfigured_endpoint", Account: `"204"`, Server: "office", Source: "198.51.100.7",
			At: monday.AddDate(0, 0, -2), Open: true, Count: 812,
			Do: "correct the password in the phone",
		}},
	}
	for i := range 8 {
		t.Steps = append(t.Steps, control.Step{
			At: monday.AddDate(0, 0, i-7).Truncate(24 * time.Hour), Failures: uint64(i * i * 9000),
			Bans: i,
		})
	}
	r.Trend = t
	return r
}

// golden compares an output with a file.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s differs (%v): go test ./cmd/amifend/internal/overview -update", path, err)
	}
}

func TestGolden(t *testing.T) {
	golden(t, "week.html", HTML(week(), options()))
	golden(t, "week.txt", []byte(Text(week(), options())))
}

// No name that an attacker chose becomes markup, and no client finds a link or a mention.
func TestHostileNames(t *testing.T) {
	text := string(HTML(week(), options()))
	for _, bad := range []string{
		"<script", "<!channel", "onload=\"", "\u202e", "@everyone", "://evil", "www.evil", "<img", "<a ",
		"src=", "href=", "url(", "@import", "javascript:alert(1)\"",
	} {
		if strings.Contains(text, bad) {
			t.Errorf("the page holds %s", bad)
		}
	}
	if !strings.Contains(text, "&lt;script&gt;") || !strings.Contains(text, "{{.Host}}") {
		t.Error("names are missing, or were taken for a template")
	}
}

// checkPage finds elements that are not closed, and charts that are not well-formed.
func checkPage(t *testing.T, text string, charts int) {
	t.Helper()
	found := regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(text, -1)
	if len(found) != charts {
		t.Errorf("%d charts, want %d", len(found), charts)
	}
	for _, svg := range found {
		d := xml.NewDecoder(strings.NewReader(svg))
		for {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("a chart is not XML: %v\n%s", err, svg)
			}
		}
		if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") ||
			!strings.Contains(svg, "<desc") || !strings.Contains(svg, `role="img"`) {
			t.Errorf("the chart:\n%s", svg)
		}
	}
	for _, tag := range []string{"section", "table", "tr", "td", "div", "figure", "details", "p", "ul"} {
		open := len(regexp.MustCompile(`<`+tag+`[ >]`).FindAllString(text, -1))
		if closed := strings.Count(text, "</"+tag+">"); open != closed {
			t.Errorf("%d <%s>, %d closed", open, tag, closed)
		}
	}
}

func TestPageIsWellFormed(t *testing.T) {
	checkPage(t, string(HTML(week(), options())), 4)
}

// A week without an attack has no charts, and says so. One without a journal's past, too.
func TestQuietWeek(t *testing.T) {
	r := control.Report{From: monday.AddDate(0, 0, -7), To: monday, Trend: &control.Trend{
		Steps: []control.Step{{At: monday}},
	}}
	page := string(HTML(r, options()))
	checkPage(t, page, 0)
	if !strings.Contains(page, "Nobody attacked") || !strings.Contains(Text(r, options()), "nobody attacked") {
		t.Error("it does not say that nobody attacked")
	}
	checkPage(t, string(HTML(control.Report{}, options())), 0)
}

// What was only observed is never told as if it had happened.
func TestObserved(t *testing.T) {
	o := options()
	o.Dry = true
	for _, text := range []string{string(HTML(week(), o)), Text(week(), o)} {
		if strings.Contains(text, ">banned<") || strings.Contains(text, ", banned\n") ||
			!strings.Contains(text, "would be banned") ||
			!strings.Contains(text, "bans that would have been made") {
			t.Errorf("observing:\n%s", text)
		}
	}
}

// Numbers of a million events and more, and charts with many columns, stay readable.
func TestLargeNumbers(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0", 999: "999", 1000: "1k", 1_250_000: "1.2M", 4_000_000_000: "4G",
	} {
		if got := short(n); got != want {
			t.Errorf("short(%d) = %s, want %s", n, got, want)
		}
	}
	if got := number(1_234_567); got != "1\u202f234\u202f567" {
		t.Errorf("number: %q", got)
	}

	r := week()
	r.Trend.Steps = nil
	for i := range 365 {
		r.Trend.Steps = append(r.Trend.Steps, control.Step{
			At: monday.AddDate(0, 0, i-365), Failures: 1<<63 + uint64(i), Bans: i,
		})
	}
	page := string(HTML(r, options()))
	checkPage(t, page, 4)
	if strings.Count(page, "<details open>") != 0 {
		t.Error("a table of a year is open")
	}
}
