package recording

import "time"

const (
	// jump is the longest step from one event to the next, in nanoseconds, that a single following
	// event can confirm. A longer one needs several.
	jump = int64(time.Hour)

	// confirming is the number of following events that confirm a jump, if the file has that many.
	confirming = 8
)

// clock assigns times to the events of one file. The file's own times may be wrong: a PBX's clock
// steps, and lines of a log may be out of order.
//
// A time that does not go back is accepted, even after a long silence, unless following events
// contradict it: the next one goes back to the time before it, or after a jump one of the next few
// does. An event whose time is contradicted takes the time of the one before it. When the clock of
// the PBX goes back and further events follow, they are shifted, so that time never runs backwards.
// The shift ends when the PBX's clock is right again.
type clock struct {
	last  int64 // the latest accepted time, shifted
	shift int64 // what is added to the times of the file
}

// time returns the time of an event whose time in the file is at. following holds the times of the
// events behind it, as many as are known: at least one, unless the event is the last of the file.
func (c *clock) time(at int64, following []int64) int64 {
	shifted := at + c.shift

	// A single wrong time does not shift the others.
	if c.contradicted(at, following, shifted-c.last > jump) {
		return c.last
	}

	if c.shift > 0 && at >= c.last { // the PBX's clock was set forward again
		c.shift = 0
		shifted = at
	}

	// Time must not run backwards: the engine's memory fades by it.
	if shifted < c.last {
		if len(following) == 0 {
			return c.last // nothing confirms the step back
		}
		c.shift += c.last - shifted
		shifted = c.last
	}

	c.last = shifted
	return shifted
}

// contradicted reports whether a following event is earlier than at, but not earlier than the event
// before at: the next one, or after a jump any of them. If it is earlier than both, the PBX's clock
// was set back, which does not contradict at.
func (c *clock) contradicted(at int64, following []int64, jumps bool) bool {
	// Without a jump one event is enough: two threads may write in either order.
	if !jumps && len(following) > 1 {
		following = following[:1]
	}
	for _, f := range following {
		if f < at && f+c.shift >= c.last {
			return true
		}
	}

	return false
}
