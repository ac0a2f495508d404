package app

import "time"

// clock gives the daemon's own time: the wall clock at the start, and from then on only the monotonic clock. A step of
// the system's clock neither shortens nor lengthens a ban.
type clock struct {
	start time.Time
	wall  int64
}

func newClock() clock {
	now := time.Now()
	return clock{start: now, wall: now.UnixNano()}
}

// now is the time in nanoseconds since the Unix epoch.
func (c clock) now() int64 { return c.wall + int64(time.Since(c.start)) }

// left is how long it is until t, a time of this clock.
func (c clock) left(t int64) time.Duration { return time.Duration(t - c.now()) }

// deadline is t as a time that the system's clock does not move: it carries a monotonic reading.
func (c clock) deadline(t int64) time.Time { return time.Now().Add(c.left(t)) }

// wallTime is t as people read it: by the system's clock as it is set now. It may have been set since the start; a small
// machine boots without a clock.
func (c clock) wallTime(t int64) time.Time { return time.Now().Round(0).Add(c.left(t)) }
