package policy

import (
	"fmt"
	"testing"
	"time"
)

// Forged packets in the names of 10,000 phones raise a bounded number of alerts, not one line each.
func TestAlertsAreBoundedTogether(t *testing.T) {
	l := newLab(t)
	name := func(i int) string { return fmt.Sprintf("%d.%d.%d.7", 60+i/62500, i/250%250, i%250) }
	for i := range 10_000 {
		l.every(50*time.Microsecond, success(name(i), fmt.Sprint(i)))
	}
	for k := range 8 { // the first seven of each in silence, the eighth of all within a second
		for i := range 10_000 {
			if k == 4 {
				break
			}
			l.every(
				70*time.Microsecond,
				event(
					KindInvalidAccountID,
					ServicePJSIP,
					name(i),
					fmt.Sprint("x", k),
					fmt.Sprint(k),
				),
			)
		}
	}
	most, from := 0, 0
	for i := range l.got {
		for l.got[i].At-l.got[from].At > int64(time.Second) {
			from++
		}
		most = max(most, i-from+1)
	}
	if most > 101 { // one of them is about the server, hourly
		t.Errorf("%d alerts, up to %d a second", len(l.got), most)
	}
}
