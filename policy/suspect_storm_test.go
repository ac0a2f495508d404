package policy

import (
	"fmt"
	"testing"
	"time"
)

// Five forged names for each of 1,000 accounts do not make every login from a new address an alert:
// the kind is bounded.
func TestForgedStrangersRaiseNoStormOfSuspectLogins(t *testing.T) {
	l := newLab(t)
	for a := range 1000 {
		for i := range 6 {
			l.every(
				100*time.Microsecond,
				wrong(fmt.Sprintf("%d.%d.%d.9", 20+i, a/250, a%250), fmt.Sprint(1000+a)),
			)
		}
	}
	l.drop()
	for a := range 1000 {
		l.every(
			20*time.Millisecond,
			success(fmt.Sprintf("100.70.%d.%d", a/250, a%250+1), fmt.Sprint(1000+a)),
		)
	}
	if n := l.count(ActionAlert, RuleSuspectLogin); n > 150 {
		t.Errorf(
			"%d alerts suspect_login about good users within 20 s, from 6,000 forged packets",
			n,
		)
	}
}
