// Package clock provides the daemon's own time.
package clock

import (
	"context"
	"time"
)

// Clock gives the daemon's own time: the wall clock at the start, and from then on only the
// monotonic clock. A step of the system's clock neither shortens nor lengthens a ban.
type Clock struct {
	start time.Time
	wall  int64
}

// New starts a clock.
func New() Clock {
	now := time.Now()
	return Clock{start: now, wall: now.UnixNano()}
}

// Now returns the time in nanoseconds since the Unix epoch.
func (c Clock) Now() int64 { return c.wall + int64(time.Since(c.start)) }

// Left returns the time from now until t, a time of this clock. It is negative after t.
func (c Clock) Left(t int64) time.Duration { return time.Duration(t - c.Now()) }

// Deadline returns t as a time with a monotonic reading, so that a step of the system's clock does
// not move it.
func (c Clock) Deadline(t int64) time.Time { return time.Now().Add(c.Left(t)) }

// Wall returns t for people, by the system's clock as it is set now. That clock may have been set
// since the start, because a small machine boots without the right time.
func (c Clock) Wall(t int64) time.Time { return time.Now().Round(0).Add(c.Left(t)) }

// Sleep waits for d or the end of ctx.
func Sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()

	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
