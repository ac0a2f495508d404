package policy

import (
	"fmt"
	"testing"
	"time"
)

// Only addresses that were banned on proven evidence outweigh a proved one of their /64. Forged
// packets in the names of 33 addresses do not.
func TestForgedOffendersDoNotOutweighProof(t *testing.T) {
	for _, forgedHosts := range []int{0, 40} {
		l := newLab(t)
		const home, stale = "2001:db8:1:1::107", "2001:db8:1:1::200"
		l.feed(overStream(registered(home)))
		for i := range forgedHosts {
			l.every(100*time.Millisecond, guesses(5, fmt.Sprintf("2001:db8:1:1::1:%x", i))...)
		}
		l.feed(overStream(registered(home)))
		for range 8 {
			l.every(
				30*time.Second,
				overStream(event(KindInvalidAccountID, ServicePJSIP, stale, "deleted", "s")),
			)
		}
		if l.isBanned(home) {
			ban, _ := l.e.Ban(hostAddr(home))
			t.Errorf(
				"%d forged hosts: a phone that proved itself is banned: %v %v %v",
				forgedHosts,
				ban.Prefix,
				ban.Scope,
				ban.Rule,
			)
		}
	}
}
