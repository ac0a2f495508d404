package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/amifend/amifend/firewall/firewalltest"
)

func TestMain(m *testing.M) {
	if c := os.Getenv(envDaemon); c != "" {
		os.Exit(runDaemon(c))
	}
	firewalltest.Main(leakCheck{m})
}

// leakCheck fails the run if a goroutine is left after the tests.
type leakCheck struct{ m *testing.M }

func (l leakCheck) Run() int {
	if code := l.m.Run(); code != 0 {
		return code
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, "goleak:", err)
		return 1
	}
	return 0
}

// logbook is a log that a test reads.
type logbook struct {
	mu    sync.Mutex
	lines []logLine
	text  strings.Builder
}

// logLine is one line as a program reads it.
type logLine map[string]any

func (l logLine) text(key string) string {
	if v, ok := l[key]; ok {
		return fmt.Sprint(v)
	}
	return ""
}

func newJournal() (*logbook, *slog.Logger) {
	j := &logbook{}
	return j, slog.New(slog.NewJSONHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Write takes one line of the JSON handler.
func (j *logbook) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var l logLine
	if err := json.Unmarshal(bytes.TrimSpace(b), &l); err != nil {
		return 0, err
	}
	j.lines = append(j.lines, l)
	j.text.Write(b)
	return len(b), nil
}

// said returns the lines with a message and, if not "", of a source.
func (j *logbook) said(msg, source string) []logLine {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []logLine
	for _, l := range j.lines {
		if l["msg"] == msg && (source == "" || l["source"] == source) {
			out = append(out, l)
		}
	}
	return out
}

func (j *logbook) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// wait waits for a line; a test that cannot use synctest has nothing better.
func (j *logbook) wait(t *testing.T, msg, source string) logLine {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ls := j.said(msg, source); len(ls) > 0 {
			return ls[0]
		}
	}
	t.Fatalf("the log does not say %q of %q:\n%s", msg, source, j)
	return nil
}

// count fails the test unless the log has n lines of a message.
func (j *logbook) count(t *testing.T, n int, msg, source string) []logLine {
	t.Helper()
	ls := j.said(msg, source)
	if len(ls) != n {
		t.Fatalf("the log says %q of %q %d times, want %d:\n%s", msg, source, len(ls), n, j)
	}
	return ls
}
