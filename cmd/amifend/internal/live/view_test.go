package live

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"pgregory.net/rapid"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

var update = flag.Bool("update", false, "write the golden files anew; read them afterwards")

// hostile are names that try to draw on the screen of whoever looks.
var hostile = []string{
	"\x1b[2J\x1b[1;1Hall is well", "\x1b]0;owned\x07", "\u202e\u2066evil", "日本語の名前です", "e\u0301\u0301\u0301\u0301",
	"\x9b31mred", "a\r\nb\tc", "\u200b\u200d\ufeff", strings.Repeat("a-long-name-", 20), "😀👩‍👩‍👧‍👦", "\x00\x7f\xff",
}

// hour returns what a daemon answers some time after noon.
func hour(after time.Duration) control.Live {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC).Add(after)
	n := func(n uint64) *uint64 { return &n }
	l := control.Live{
		At: at, Version: "0.1.0", Since: at.Add(-76 * time.Hour), Running: 1234,
		Counts: control.LiveCounts{Events: 100, Attempts: 50, Bans: 3, Dropped: n(7)},
		Servers: []control.LiveServer{
			{
				Name: "office", Connected: true, Phase: "connected", Since: at.Add(-76 * time.Hour),
				Events: 123456, EventsRate: 12.25, Lag: 0.012, Latency: 0.0041,
			},
			{
				Name: "branch", Phase: "waiting", Since: at.Add(-time.Second),
				Down: at.Add(-5 * time.Minute), Problem: "refused",
				Error: "connect 192.0.2.7:5038: connection refused",
			},
		},
		Alerts: []control.Alert{{
			At: at.Add(-30 * time.Minute), Kind: "compromised_account", Source: "198.51.100.9",
			Account: `"1001"`, Server: "office", Severity: "critical", Reason: "a login after 40 failures",
			Do: "change the password of the account", ID: "0badcafe", Open: true, Last: at, Count: 2,
		}, {
			At: at.Add(-26 * time.Hour), Kind: "misconfigured_endpoint", Account: `"1005"`,
			Server: "branch", Severity: "notice", Reason: "wrong password again and again",
		}},
	}

	for i := range uint64(60) {
		l.Minutes = append(l.Minutes, control.LiveCounts{
			Events: 10 * (i % 20), Attempts: i % 7 * 100, Bans: i / 59, Dropped: n(i * i * i),
		})
	}
	for i := range 30 {
		s := control.LiveSum{
			Name: fmt.Sprintf("203.0.113.%d", 57+i), Servers: 2, Failures: uint64(4000 - 100*i),
			Lately: uint64(i), Last: at, Banned: i%2 == 0,
		}
		if i == 5 {
			s.Name, s.Lately = "2001:db8:1::7", 999
		}
		l.Sources = append(l.Sources, s)
		l.Accounts = append(l.Accounts, control.LiveSum{
			Name: ami.Quote([]byte(hostile[i%len(hostile)])), Server: "office", Servers: 1,
			Failures: uint64(900 - i), Lately: 3, Last: at,
		})
		l.Bans = append(l.Bans, control.Ban{
			Prefix: netip.MustParsePrefix(fmt.Sprintf("2001:db8:%x::/64", i+5)), Scope: "all",
			Rule: "unanswered_challenges", Score: 10, Attempts: 3, Since: at.Add(-time.Minute),
			Until: at.Add(time.Hour), State: control.StateInKernel, Dropped: n(123),
		})
	}
	return l
}

// The screen at the sizes for which it was drawn.
func TestView(t *testing.T) {
	dry := hour(0)
	dry.Dry = true
	for i := range dry.Bans {
		dry.Bans[i].State = control.StateDry
	}

	for _, tt := range []struct {
		name          string
		width, height int
		live          control.Live
		keys          []string
	}{
		{"80x24", 80, 24, hour(0), []string{"2", "down", "down"}},
		{"200x60", 200, 60, hour(0), nil},
		{"100x40", 100, 40, hour(0), []string{"3", "end"}},
		{"40x10", 40, 10, hour(0), nil},
		{"20x5", 20, 5, hour(0), nil},
		{"observing", 80, 24, dry, nil},
		{"empty", 80, 24, control.Live{At: hour(0).At, Since: hour(0).At}, nil},
		{"confirm", 80, 24, hour(0), []string{"a"}},
		{"help", 80, 24, hour(0), []string{"?"}},
		{"alert", 80, 24, hour(0), []string{"4", "enter"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := started(t, &desk{}, tt.width, tt.height)
			later := tt.live
			later.At = later.At.Add(5 * time.Second)
			later.Counts.Events += 123
			later.Counts.Attempts += 61
			m = send(send(m, lookedMsg{live: tt.live}), lookedMsg{live: later, limit: 60})
			m, _ = press(m, tt.keys...)
			lines := m.lines()
			checkLines(t, lines, tt.width, tt.height)

			// Spaces at the end of a line cannot be seen.
			var text strings.Builder
			for _, line := range lines {
				text.WriteString(strings.TrimRight(line, " ") + "\n")
			}
			path := "testdata/" + tt.name + ".txt"
			if *update {
				if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil || string(want) != text.String() {
				t.Errorf("%v; go test -update writes it anew. Got:\n%s", err, text.String())
			}
		})
	}
}

// failer is a test or a check of a property.
type failer interface {
	Helper()
	Errorf(format string, args ...any)
}

// checkLines checks that lines fit into a screen, and hold nothing but letters.
func checkLines(t failer, lines []string, width, height int) {
	t.Helper()
	if len(lines) > height {
		t.Errorf("%d lines on a screen of %d", len(lines), height)
	}
	for _, line := range lines {
		if w := ansi.StringWidth(line); w > width {
			t.Errorf("a line of %d columns on a screen of %d: %q", w, width, line)
		}
		for _, r := range line {
			if !unicode.IsPrint(r) || unicode.IsMark(r) {
				t.Errorf("%q is in the line %q", r, line)
			}
		}
	}
}

// Whatever a daemon answers, no control byte but the screen's own colours leaves the view, and no
// line is wider than the screen: at every size, in every pane and dialog.
func TestPropertyNothingDrawsButTheScreen(t *testing.T) {
	text := rapid.OneOf(rapid.SampledFrom(hostile), rapid.String(), rapid.Map(
		rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	keys := rapid.SliceOfN(rapid.SampledFrom([]string{
		"tab", "down", "end", "enter", "e", "u", "a", "y", "n", "esc", "/", "s", "f", "?", "x", "pgdown",
	}), 0, 12)

	rapid.Check(t, func(t *rapid.T) {
		l := hour(0)
		l.Version, l.Dry = text.Draw(t, "version"), rapid.Bool().Draw(t, "dry")
		l.Busy = rapid.SliceOfN(text, 0, 2).Draw(t, "busy")
		for i := range 3 {
			l.Servers[i%2].Name, l.Servers[1].Error = text.Draw(t, "server"), text.Draw(t, "error")
			l.Sources[i].Name, l.Accounts[i].Name = text.Draw(t, "source"), text.Draw(t, "account")
			l.Accounts[i].Server, l.Bans[i].Rule = text.Draw(t, "server"), text.Draw(t, "rule")
			l.Bans[i].State, l.Bans[i].Scope = text.Draw(t, "state"), text.Draw(t, "scope")
			l.Alerts[i%2].Reason, l.Alerts[i%2].Do = text.Draw(t, "reason"), text.Draw(t, "do")
			l.Alerts[i%2].Source, l.Alerts[0].Kind = text.Draw(t, "about"), text.Draw(t, "kind")
			l.Alerts[0].Severity, l.Alerts[0].ID = text.Draw(t, "severity"), text.Draw(t, "id")
		}
		answer := text.Draw(t, "answer")
		width, height := rapid.IntRange(0, 220).Draw(t, "width"), rapid.IntRange(0, 70).Draw(t, "height")

		d := desk{fails: fmt.Errorf("%s", answer)}
		ascii := rapid.Bool().Draw(t, "ascii")
		m := newModel(t.Context(), Options{
			Zone: time.UTC, Daemon: d.daemon(), ASCII: ascii, Colour: rapid.Bool().Draw(t, "colour"),
		})
		m = send(m, tea.WindowSizeMsg{Width: width, Height: height})
		if rapid.Bool().Draw(t, "known") {
			m = send(m, lookedMsg{live: l})
		}
		if rapid.Bool().Draw(t, "lost") {
			m = send(m, lookedMsg{err: fmt.Errorf("%s", answer)})
		}
		m, _ = press(m, keys.Draw(t, "keys")...)

		// The colours are the screen's own: nothing else may remain when they are taken out.
		lines := strings.Split(m.View().Content, "\n")
		for i := range lines {
			for _, style := range []string{
				"\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[7m", "\x1b[36m", "\x1b[1;31m", "\x1b[1;32m",
				"\x1b[1;33m",
			} {
				lines[i] = strings.ReplaceAll(lines[i], style, "")
			}
		}
		checkLines(t, lines, width, max(height, 1))
	})
}

// A text is cut or filled by the columns that it takes, not by its letters.
func TestFit(t *testing.T) {
	s := newStyle(false, false)
	for _, tt := range []struct {
		text  string
		width int
		want  string
	}{
		{"abc", 5, "abc  "},
		{"abcdef", 5, "abcd…"},
		{"日本語", 5, "日本…"},
		{"日本", 5, "日本 "},
		{"日本語", 4, "日… "},
		{"a\x1b[31m", 12, `"a\x1b[31m"` + " "},
		{"", 0, ""},
		{"abc", 1, "…"},
	} {
		if got := fit(tt.text, tt.width, &s); got != tt.want {
			t.Errorf("%q in %d columns: %q, want %q", tt.text, tt.width, got, tt.want)
		}
	}
	if got := fitRight("12", 5, &s); got != "   12" {
		t.Errorf("%q", got)
	}
}

func TestSpark(t *testing.T) {
	s, a := newStyle(false, false), newStyle(false, true)
	for _, tt := range []struct {
		style  *style
		values []uint64
		want   string
	}{
		{&s, nil, "     "},
		{&s, []uint64{0, 0}, "   ▁▁"},
		{&s, []uint64{1, 1000}, "   ▂█"},
		{&s, []uint64{9, 9, 9, 9, 9, 0, 4, 8}, "█▁▄▇"},
		{&a, []uint64{0, 1, 1 << 63}, "  .:@"},
	} {
		got := tt.style.spark(tt.values, 5)
		if ansi.StringWidth(got) != 5 || !strings.HasSuffix(got, strings.TrimLeft(tt.want, " ")) {
			t.Errorf("%d: %q, want %q", tt.values, got, tt.want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0", 99_999: "99999", 100_000: "100k", 12_345_678: "12M", 1 << 62: "4611686018G",
	} {
		if got := number(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	for r, want := range map[float64]string{-1: "?/s", 0: "0.0/s", 99.9: "99.9/s", 99.96: "100/s"} {
		if got := rateText(r); got != want {
			t.Errorf("%v: %s, want %s", r, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 99 * time.Second: "99s", 100 * time.Second: "1m", 99 * time.Minute: "99m",
		47 * time.Hour: "47h", 800 * time.Hour: "33d",
	} {
		if got := span(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
