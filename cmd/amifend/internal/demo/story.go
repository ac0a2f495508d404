package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// width is the columns of a line, and indent the column where its text begins.
const (
	width  = 80
	indent = 19
)

// story prints what happens, in a few lines for each event. All methods may be called from any
// goroutine.
type story struct {
	mu    sync.Mutex
	out   io.Writer
	began time.Time
}

// newStory returns a story that begins now.
func newStory(out io.Writer) *story { return &story{out: out, began: time.Now()} }

// start sets the time from which seconds count.
func (s *story) start(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.began = at
}

// tell prints one event with its time. It wraps and indents the text.
func (s *story) tell(verb, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()

	head := fmt.Sprintf("%6.1fs  %-8s  ", time.Since(s.began).Seconds(), verb)
	var b strings.Builder
	for _, line := range wrap(text, width-indent) {
		b.WriteString(head + line + "\n")
		head = strings.Repeat(" ", indent)
	}

	_, _ = io.WriteString(s.out, b.String()) // an error means that nobody reads the story
}

// print prints lines as they are.
func (s *story) print(lines ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = io.WriteString(s.out, strings.Join(lines, "\n")+"\n") // as above
}

// wrap breaks text between words into lines of at most columns, if its words allow.
func wrap(text string, columns int) []string {
	var out []string
	for paragraph := range strings.SplitSeq(text, "\n") {
		line := ""

		// A word that is longer than a line gets a line of its own, and is not cut.
		for word := range strings.SplitSeq(paragraph, " ") {
			if line != "" && len(line)+1+len(word) > columns {
				out = append(out, line)
				line = ""
			}

			if line != "" {
				line += " "
			}
			line += word
		}

		out = append(out, line)
	}

	return out
}

// logger returns a log that writes to a file, and tells alerts and warnings in the story too. It
// calls heard with each alert.
func (s *story) logger(file io.Writer, heard func(alert)) *slog.Logger {
	all := slog.NewTextHandler(file, &slog.HandlerOptions{Level: slog.LevelDebug})
	return slog.New(teller{Handler: all, story: s, heard: heard})
}

// teller is the handler of that log.
type teller struct {
	slog.Handler
	story *story
	heard func(alert)
	attrs []slog.Attr
}

// alert is an alert of the daemon, which bans nobody.
type alert struct{ kind, source, reason, advice string }

// newAlert reads the attributes of an alert's log line. The keys of log lines are an API.
func newAlert(r slog.Record) alert {
	var a alert
	r.Attrs(func(attr slog.Attr) bool {
		switch attr.Key {
		case "kind":
			a.kind = attr.Value.String()
		case "source":
			a.source = attr.Value.String()
		case "reason":
			a.reason = attr.Value.String()
		case "do":
			a.advice = attr.Value.String()
		}

		return true
	})

	return a
}

// Handle writes a record.
func (t teller) Handle(ctx context.Context, r slog.Record) error {
	switch {
	case r.Message == "alert":
		a := newAlert(r)
		t.story.tell("ALERT",
			fmt.Sprintf("%s  %s\n%s\nto do: %s", a.source, a.kind, a.reason, a.advice))
		t.heard(a)
	case r.Level >= slog.LevelWarn:
		t.warn(ctx, r)
	}

	return t.Handler.Handle(ctx, r)
}

// warn tells a record in the story as one line of text.
func (t teller) warn(ctx context.Context, r slog.Record) {
	// The story prints its own time and the level.
	options := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
			return slog.Attr{}
		}
		return a
	}}

	var line bytes.Buffer
	err := slog.NewTextHandler(&line, options).WithAttrs(t.attrs).Handle(ctx, r)
	if err == nil {
		t.story.tell(r.Level.String(), strings.TrimSpace(line.String()))
	}
}

// WithAttrs keeps the attributes for the story too.
func (t teller) WithAttrs(attrs []slog.Attr) slog.Handler {
	t.attrs = append(slices.Clip(t.attrs), attrs...)
	t.Handler = t.Handler.WithAttrs(attrs)
	return t
}
