package judge

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/stream"
	"github.com/amifend/amifend/policy"
)

// An event over UDP whose sender is proven later counts once, and the ban that it made grows.
func TestConfirmedEventCountsOnce(t *testing.T) {
	inCourt(t, func(t *testing.T, c *court) {
		var seen []stream.Sighting
		for range 7 {
			s := attempt(c.clock, "203.0.113.9:5060", policy.Label{})
			s.Stream, s.Confirmable = false, true
			c.in <- s
			seen = append(seen, s)
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		c.wantKernel(t, "203.0.113.9 sip")

		for _, s := range seen {
			s.Confirm = true
			c.in <- s
		}
		synctest.Wait()
		time.Sleep(time.Second)
		c.wantKernel(t, "203.0.113.9 all")
		c.call(t, func() {
			if st := c.engine.Stats(); st.Observed != 7 || st.Counted != 7 || st.Confirmed != 7 {
				t.Errorf("%+v", st)
			}
		})
	})
}
