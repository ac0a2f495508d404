package asterisklog

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amifend/amifend/ami"
)

var update = flag.Bool("update", false, "write the golden files anew; read them afterwards")

// read returns the events of a log, written as lines, and its counters.
func read(t testing.TB, log string, o Options) ([]string, Stats) {
	t.Helper()
	if o.Location == nil {
		o.Location = time.UTC
	}
	if o.Modified.IsZero() {
		o.Modified = time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	}
	r := NewReader(strings.NewReader(log), o)
	var out []string
	for {
		err := r.Read(func(ev Event) { out = append(out, render(ev.Event)) })
		if errors.Is(err, io.EOF) {
			return out, r.Stats()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func render(ev ami.Event) string {
	s := fmt.Sprintf("%s %s %s %s %s %s", ev.Time.UTC().Format("01-02T15:04:05.000"), ev.Kind,
		ev.Service, ev.Transport, ev.Source, ami.Quote(ev.Account))
	if ev.Taint != ami.Untainted {
		s = "INJECTION (" + ev.Taint.String() + ") " + s
	}
	if ev.UsingPassword {
		s += " using-password"
	}
	if ev.RoundTrip {
		s += " round-trip"
	}
	return s
}

func renderStats(s Stats) string {
	return fmt.Sprintf("lines %d security %d attempts %v traced %d unread %v orphans %d late %d\n",
		s.Lines, s.Security, s.Attempts, s.Traced, s.Unread, s.Decoder.Orphans,
		s.Decoder.LateOrphans)
}

// TestRealLogs reads logs of a real Asterisk 16.28 (chan_sip) and 22.10 (PJSIP) in the lab:
// 198.51.100.11 guesses passwords, .12 unknown accounts, .20 is svcrack and svwar, 10.20.0.101 a
// phone, and 203.0.113.11 to .13 inject text. 9.9.9.9 sent nothing.
func TestRealLogs(t *testing.T) {
	names, err := filepath.Glob("testdata/*.log")
	if err != nil || len(names) != 4 {
		t.Fatalf("find the logs: %v, %v", names, err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			log, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			events, stats := read(t, string(log), Options{})
			got := strings.Join(events, "\n") + "\n" + renderStats(stats)
			for _, e := range events {
				if fields, _, _ := strings.Cut(e, `"`); strings.Contains(fields, "9.9.9.9") {
					t.Errorf("an address that an attacker wrote is a source: %s", e)
				}
			}
			golden := filepath.Join("testdata", "golden", strings.TrimSuffix(filepath.Base(name),
				".log")+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("events differ (-want +got):\n%s", diff)
			}
		})
	}
}
