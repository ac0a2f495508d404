// Package logtest provides a log that a test reads, and one that hangs.
package logtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// Book is a log that a test reads, line by line.
type Book struct {
	mu    sync.Mutex
	lines []Line
	text  strings.Builder
}

// Line is one line of the log, by its keys.
type Line map[string]any

// Text returns the value of a key as text; "" if there is none.
func (l Line) Text(key string) string {
	if v, ok := l[key]; ok {
		return fmt.Sprint(v)
	}
	return ""
}

// New returns an empty book, and the logger that writes to it, debug lines included.
func New() (*Book, *slog.Logger) {
	b := &Book{}
	return b, slog.New(slog.NewJSONHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Write takes one line of the JSON handler.
func (b *Book) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()

	var l Line
	if err := json.Unmarshal(bytes.TrimSpace(text), &l); err != nil {
		return 0, err
	}
	b.lines = append(b.lines, l)
	b.text.Write(text)
	return len(text), nil
}

// Said returns the lines with a message and, if it is not "", of a source.
func (b *Book) Said(msg, source string) []Line {
	b.mu.Lock()
	defer b.mu.Unlock()

	var out []Line
	for _, l := range b.lines {
		if l["msg"] == msg && (source == "" || l["source"] == source) {
			out = append(out, l)
		}
	}

	return out
}

// String returns all lines as they were written.
func (b *Book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// Wait waits up to ten seconds for a line, and returns the first one. It is for tests that cannot
// use synctest.
func (b *Book) Wait(t testing.TB, msg, source string) Line {
	t.Helper()
	end := time.Now().Add(10 * time.Second)
	for ; time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ls := b.Said(msg, source); len(ls) > 0 {
			return ls[0]
		}
	}
	t.Fatalf("the log does not say %q of %q:\n%s", msg, source, b)
	return nil
}

// Count fails the test unless the log has n lines of a message, and returns them.
func (b *Book) Count(t testing.TB, n int, msg, source string) []Line {
	t.Helper()
	ls := b.Said(msg, source)
	if len(ls) != n {
		t.Fatalf("the log says %q of %q %d times, want %d:\n%s", msg, source, len(ls), n, b)
	}
	return ls
}

// Stuck is a log that nobody reads until Ready is closed.
type Stuck struct {
	slog.Handler
	Ready chan struct{}
}

// Handle hangs until Ready is closed.
func (s Stuck) Handle(ctx context.Context, r slog.Record) error {
	<-s.Ready
	return s.Handler.Handle(ctx, r)
}
