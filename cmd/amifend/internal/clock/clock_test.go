package clock

import (
	"testing"
	"testing/synctest"
	"time"
)

// A step of the system's clock moves neither the daemon's time nor what people read.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New()
		c.wall -= int64(20 * 365 * 24 * time.Hour) // as if the system's clock had been set since

		until := c.Now() + int64(time.Hour)
		if got := c.Wall(until); !got.Equal(time.Now().Add(time.Hour)) {
			t.Errorf("people read %s", got)
		}
		if got := time.Until(c.Deadline(until)); got != time.Hour {
			t.Errorf("the kernel gets %s", got)
		}

		time.Sleep(time.Minute)
		if got := c.Left(until); got != 59*time.Minute {
			t.Errorf("%s left", got)
		}
	})
}
