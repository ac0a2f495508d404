package policy

import (
	"fmt"
	"testing"
	"time"
)

// S15 (1f62a65): manyOffenders says "all with proven evidence", but n.offenders counts bans on forged evidence as well. Forged packets for
// 33 addresses of a home's /64, and the first TLS device there that errs for itself (a stale phone, a user's typos) gets the whole /64
// banned, scope all, with the phones that proved themselves.
func TestRedForgedOffendersTakeAwayTheShelter(t *testing.T) {
	for _, forgedHosts := range []int{0, 40} {
		l := newLab(t)
		const home, stale = "2001:db8:1:1::107", "2001:db8:1:1::200"
		l.feed(overStream(registered(home)))
		for i := range forgedHosts {
			l.every(100*time.Millisecond, guesses(5, fmt.Sprintf("2001:db8:1:1::1:%x", i))...)
		}
		l.feed(overStream(registered(home)))
		for range 8 {
			l.every(30*time.Second, overStream(event(KindInvalidAccountID, ServicePJSIP, stale, "deleted", "s")))
		}
		if l.isBanned(home) {
			ban, _ := l.e.Ban(hostAddr(home))
			t.Errorf("%d forged hosts: a phone that proved itself is banned: %v %v %v", forgedHosts, ban.Prefix, ban.Scope, ban.Rule)
		}
	}
}
