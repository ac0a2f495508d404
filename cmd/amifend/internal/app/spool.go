package app

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// How the spool deals with a log that is not read.
const (
	spoolLines = 4096            // how many lines may wait
	spoolEnd   = 2 * time.Second // how long the last ones may take at the end
)

// spool is a [slog.Handler] that never makes its caller wait: one goroutine hands the lines on. A log that nobody reads (a
// stopped pager, a journald that hangs) would otherwise stop the judge and the enforcer, and so whoever can cause lines.
// What it has no room for is lost and counted, and the log says so.
type spool struct {
	*spoolQueue
	to slog.Handler
}

// spoolQueue is what all handlers of one spool share.
type spoolQueue struct {
	lines chan spoolLine
	lost  atomic.Uint64
	end   chan struct{} // closed: no more lines come
	ended chan struct{} // closed: all lines are written
}

type spoolLine struct {
	to     slog.Handler
	record slog.Record
}

func newSpool(to slog.Handler) *spool {
	s := &spool{to: to, spoolQueue: &spoolQueue{
		lines: make(chan spoolLine, spoolLines), end: make(chan struct{}), ended: make(chan struct{}),
	}}
	go s.write(to)
	return s
}

// close waits until the lines that were logged before are written, for a while.
func (q *spoolQueue) close() {
	close(q.end)
	t := time.NewTimer(spoolEnd)
	defer t.Stop()
	select {
	case <-q.ended:
	case <-t.C:
	}
}

func (q *spoolQueue) write(to slog.Handler) {
	defer close(q.ended)
	for {
		select {
		case l := <-q.lines:
			q.hand(l, to)
			continue
		default:
		}
		select {
		case l := <-q.lines:
			q.hand(l, to)
		case <-q.end:
			if len(q.lines) == 0 {
				return
			}
		}
	}
}

func (q *spoolQueue) hand(l spoolLine, to slog.Handler) {
	_ = l.to.Handle(context.Background(), l.record) // a log that cannot be written has nowhere to say so
	if n := q.lost.Swap(0); n > 0 {
		r := slog.NewRecord(time.Now(), slog.LevelError, "lines of this log are lost: they were not read fast enough", 0)
		r.AddAttrs(slog.Uint64("lost", n))
		_ = to.Handle(context.Background(), r)
	}
}

// Enabled implements slog.Handler.
func (s *spool) Enabled(ctx context.Context, level slog.Level) bool { return s.to.Enabled(ctx, level) }

// Handle implements slog.Handler.
func (s *spool) Handle(_ context.Context, r slog.Record) error {
	select {
	case s.lines <- spoolLine{s.to, r.Clone()}:
	default:
		s.lost.Add(1)
	}
	return nil
}

// WithAttrs implements slog.Handler.
func (s *spool) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &spool{s.spoolQueue, s.to.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (s *spool) WithGroup(name string) slog.Handler {
	return &spool{s.spoolQueue, s.to.WithGroup(name)}
}
