// Package asynclog provides a log that never makes its caller wait. Without it, a log that nobody
// reads (a stopped pager, a journald that hangs) would stop the judge and the enforcer. Attackers
// can cause lines, so they could bring that about.
package asynclog

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// Limits of a log that is not read.
const (
	mostLines = 4096            // how many lines may wait
	endTime   = 2 * time.Second // how long Close waits for the last ones
)

// Handler is a [slog.Handler] that never makes its caller wait: one goroutine hands the lines on to
// another handler. When there is no room, lines are lost and counted, and a line in the log reports
// their number.
type Handler struct {
	*queue
	to slog.Handler
}

// queue holds what all handlers derived from one share.
type queue struct {
	lines chan line
	lost  atomic.Uint64
	end   chan struct{} // closed: no more lines come
	ended chan struct{} // closed: all lines are written
}

type line struct {
	to     slog.Handler
	record slog.Record
}

// New returns a handler that hands its lines on to another one, until it is closed.
func New(to slog.Handler) *Handler {
	h := &Handler{to: to, queue: &queue{
		lines: make(chan line, mostLines),
		end:   make(chan struct{}),
		ended: make(chan struct{}),
	}}

	go h.write(to)
	return h
}

// Close waits until the lines that were logged before are written, for two seconds at most. It must
// be called once, and nothing may be logged after it.
func (q *queue) Close() {
	close(q.end)

	t := time.NewTimer(endTime)
	defer t.Stop()

	select {
	case <-q.ended:
	case <-t.C:
	}
}

func (q *queue) write(to slog.Handler) {
	defer close(q.ended)

	for {
		// Lines come before the end, so that all lines from before Close are written.
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

func (q *queue) hand(l line, to slog.Handler) {
	// There is no place to report that the log cannot be written.
	_ = l.to.Handle(context.Background(), l.record)

	// The line about lost lines follows the first one that got through.
	if n := q.lost.Swap(0); n > 0 {
		r := slog.NewRecord(time.Now(), slog.LevelError,
			"lines of this log are lost: they were not read fast enough", 0)
		r.AddAttrs(slog.Uint64("lost", n))
		_ = to.Handle(context.Background(), r)
	}
}

// Enabled implements slog.Handler.
func (h *Handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.to.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h *Handler) Handle(_ context.Context, r slog.Record) error {
	select {
	case h.lines <- line{h.to, r.Clone()}:
	default:
		h.lost.Add(1)
	}
	return nil
}

// WithAttrs implements slog.Handler.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Handler{h.queue, h.to.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	return &Handler{h.queue, h.to.WithGroup(name)}
}
