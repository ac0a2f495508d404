package policy

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// The ban of a decoy takes no more from its prefix than the decoy added. So guesses from fresh
// addresses get the /64 banned, whatever decoys there are.
func TestDecoysDoNotClearAPrefix(t *testing.T) {
	l := newLab(t)
	host := func(i int) string { return fmt.Sprintf("2001:db8:bad::%x", i+1) }
	n := 0
	for i := 0; i < 3000; i += 3 {
		for j := range 2 {
			if _, banned := l.e.Ban(netip.MustParseAddr(host(i + j))); !banned {
				n++
			}
			l.every(
				20*time.Millisecond,
				event(KindInvalidAccountID, ServicePJSIP, host(i+j), fmt.Sprint("u", i+j), "c"),
			)
		}
		decoy := event(KindInvalidAccountID, ServicePJSIP, host(i+2), "x", "c")
		decoy.Injected = true
		l.every(20*time.Millisecond, decoy)
	}
	plain := newLab(t)
	m := plain.attemptsUntil(3000, 20*time.Millisecond, func(i int) Observation {
		return event(KindInvalidAccountID, ServicePJSIP, host(i), fmt.Sprint("u", i), "c")
	})
	if n > 4*m {
		t.Errorf("one /64: %d unknown accounts tried in a minute; plainly %d", n, m)
	}
}
