package recording

import (
	"net/netip"

	"github.com/amifend/amifend/cmd/amifend/internal/asterisklog"
	"github.com/amifend/amifend/policy"
)

// A PBX writes each message to all files of logger.conf that take its level, for example to
// `messages` and to `full`. Read together, each line of both must count once. A line that comes
// twice in one file counts twice: those are two requests.

// remembered is how long an event is remembered, in nanoseconds. Files are read in the order of
// time, so the copies of an event follow each other.
const remembered = int64(60e9)

// copyKey identifies equal lines. The time is the file's own, since all files of a PBX have the
// same stamps.
type copyKey struct {
	at      int64
	source  netip.AddrPort
	kind    policy.Kind
	family  asterisklog.Family
	account uint64
	session uint64
	file    int // -1: the largest number in any file
}

// copies finds events that other files hold too.
type copies struct {
	now, old map[copyKey]uint32 // how often the event was in the file
	since    int64              // when now began
	left     uint64
}

// repeats reports whether another file had the event already.
func (c *copies) repeats(ev *Event) bool {
	if c.now == nil || ev.At-c.since > remembered {
		c.old = c.now
		c.now = make(map[copyKey]uint32)
		c.since = ev.At
	}

	k := copyKey{
		at: ev.stamp, source: ev.Source, kind: ev.Kind, family: ev.Family,
		account: ev.keys.account, session: ev.keys.session, file: ev.file,
	}
	n := c.count(k) + 1
	c.now[k] = n

	k.file = -1
	most := c.count(k)
	if n <= most {
		c.now[k] = most
		c.left++
		return true
	}

	c.now[k] = n
	return false
}

func (c *copies) count(k copyKey) uint32 {
	if n, ok := c.now[k]; ok {
		return n
	}
	return c.old[k]
}
