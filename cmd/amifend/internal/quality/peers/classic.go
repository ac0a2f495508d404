package peers

import (
	"net/netip"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/recording"
)

// Classic is the script that cron runs every two minutes: it counts the failures of each address in
// Asterisk's log and drops those with four or more in the INPUT chain, for ever. The log is rotated
// weekly.
type Classic struct {
	*Peer
	rule *classic
}

type classic struct {
	count map[netip.Addr]int
	due   []netip.Addr // with four failures, not banned yet
	next  int64        // when cron runs again
}

// NewClassic returns the script.
func NewClassic(allow []netip.Prefix, told Told) *Classic {
	r := &classic{count: make(map[netip.Addr]int)}
	return &Classic{Peer: newPeer(r, allow, told), rule: r}
}

// Hear judges an event, after the runs of cron that are due.
func (c *Classic) Hear(ev *recording.Event, source netip.Addr) bool {
	const every = int64(2 * time.Minute)

	if ev.At >= c.rule.next {
		at := ev.At - ev.At%every
		c.rule.next = at + every
		for _, a := range c.rule.due {
			c.ban(at, a, forGood)
		}
		c.rule.due = c.rule.due[:0]
	}

	return c.Peer.Hear(ev, source)
}

// failed counts. The ban waits for cron.
func (c *classic) failed(a netip.Addr, _ int64) time.Duration {
	const enough = 4
	c.count[a]++
	if c.count[a] == enough {
		c.due = append(c.due, a)
	}
	return 0
}
