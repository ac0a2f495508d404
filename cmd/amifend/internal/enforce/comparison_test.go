package enforce

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A comparison that nobody waits for in the end does not keep the next one from being answered.
func TestCompareAnswersAllWhoWait(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		w.kernel.Set(func() { w.comparison.journal = newPlayed() })
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.Compare(gone); err == nil {
			t.Error("answered although nobody waits")
		}

		synctest.Wait() // it may be made all the same
		w.kernel.Set(func() { w.kernel.Elems[keyed("192.0.2.1/32")] = time.Now().Add(time.Hour) })
		if c, err := w.Compare(t.Context()); err != nil || c.Failed != "" ||
			c.Found != (Differences{Adopted: 1}) {
			t.Errorf("%+v, %v", c, err)
		}
		if c, err := w.Compare(t.Context()); err != nil || c.Failed != "" ||
			c.Found != (Differences{}) {
			t.Errorf("again: %+v, %v", c, err)
		}
	})
}
