package recording

import "time"

// maxGap is how far the next event may be for a time to count.
const maxGap = int64(7 * 24 * time.Hour)

// clock tells when the events of one file were, since neither a PBX's clock nor a line of a log can be trusted in each
// single case. A time counts if the next event of the file is at or after it, by at most 7 days; else the event takes the
// time of the one before it. A step back that counts shifts what follows, so that time never runs backwards.
type clock struct {
	last  int64 // the latest time that counted, shifted
	shift int64
}

// counts reports whether the time at counts, next being that of the following event.
func counts(at, next int64) bool { return next >= at && next-at <= maxGap }

// time returns the time of an event.
func (c *clock) time(at, next int64, hasNext bool) int64 {
	if !hasNext || !counts(at, next) {
		return c.last
	}
	if at += c.shift; at < c.last {
		c.shift += c.last - at
		at = c.last
	}
	c.last = at
	return at
}
