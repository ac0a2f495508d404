package policy

import (
	"fmt"
	"testing"
	"time"
)

// A source that owns an account, and whose proof has ended, pays for what was let pass once. Forged
// packets do not ban it sooner than a stranger.
func TestArrearsAreDueOnce(t *testing.T) {
	try := func(l *lab) int {
		return l.attemptsUntil(10, time.Second, func(i int) Observation {
			return event(
				KindInvalidAccountID,
				ServicePJSIP,
				phone,
				fmt.Sprint("x", i),
				fmt.Sprint(i),
			)
		})
	}
	stranger := try(newLab(t))
	l := newLab(t)
	l.feed(registered(phone))
	l.wait(25 * time.Hour)
	if owner := try(l); owner < stranger {
		t.Errorf(
			"forged attempts until the ban: a phone that was proved yesterday %d, a stranger %d",
			owner,
			stranger,
		)
	}
}
