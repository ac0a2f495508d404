package recording

import "time"

const (
	// jump is how far ahead of the event before it a time must be for more than one following event
	// to confirm it.
	jump = int64(time.Hour)

	// confirming is how many following events confirm a jump, as far as the file has them.
	confirming = 8
)

// clock gives the events of one file their times, since neither a PBX's clock nor a line of a log
// can be trusted in each single case.
//
// A time that does not go back counts, however long nothing happened before it. It is doubtful only
// when following events contradict it: the next one, or, after a jump, one of the next few goes
// back to where time was before. An event with a doubtful time takes the time of the one before it.
// A step back that another event follows shifts the following events, so that time never runs
// backwards, until the PBX's clock is right again.
type clock struct {
	last  int64 // the latest time that counted, shifted
	shift int64
}

// time returns the time of an event that the file dates at. following are the dates of the events
// behind it, as many as are known: one at least unless it is the last of the file.
func (c *clock) time(at int64, following []int64) int64 {
	shifted := at + c.shift
	if c.contradicted(at, following, shifted-c.last > jump) {
		return c.last
	}
	if c.shift > 0 && at >= c.last { // the PBX's clock was set forward again
		c.shift, shifted = 0, at
	}

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

// contradicted reports whether following events go back behind at, but not behind the time before
// it: the next one, or after a jump any of them. One that goes back behind both tells of a step of
// the clock, and nothing about at.
func (c *clock) contradicted(at int64, following []int64, jumps bool) bool {
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
