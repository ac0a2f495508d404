package owner

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func isBusy(err error) bool {
	var busy *BusyError
	return errors.As(err, &busy) && busy.Owner == "it"
}

// However many ask for what takes long, the owner has nine tenths of its time for itself.
func TestAskersTakeATenth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewCalls("it")
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
		defer stop()

		// The owner measures the time that calls take from it.
		var spent time.Duration
		var owner, askers sync.WaitGroup
		owner.Go(func() {
			for {
				select {
				case f := <-a.C():
					began := time.Now()
					f()
					spent += time.Since(began)
				case <-ctx.Done():
					return
				}
			}
		})

		// Each asks again at once, with calls of another length.
		answered := make([]int, 20)
		for i := range answered {
			askers.Go(func() {
				for {
					n, err := Do(ctx, a, func() int {
						time.Sleep(time.Duration(i) * time.Millisecond)
						return i
					})
					if err != nil {
						if !isBusy(err) {
							t.Errorf("error %v", err)
						}
						return
					}
					if n != i {
						t.Errorf("%d got the answer %d", i, n)
					}

					answered[i]++
				}
			})
		}

		// Half of the share at least, since the owner must answer too.
		askers.Wait()
		owner.Wait()
		if spent > 1100*time.Millisecond || spent < 500*time.Millisecond {
			t.Errorf("it spent %v of 10 s with answers", spent)
		}

		for i, n := range answered {
			if n == 0 {
				t.Errorf("%d got no answer", i)
			}
		}
	})
}

// One who does not wait for the answer holds up neither the owner nor the next.
func TestAskerWhoGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewCalls("it")
		gone, cancel := context.WithCancel(t.Context())
		cancel()

		// Nobody takes the calls yet, so their askers go without an answer.
		for range 3 {
			if _, err := Do(gone, a, func() int { return 1 }); !isBusy(err) {
				t.Errorf("error %v", err)
			}
		}

		done := make(chan struct{})
		go func() {
			for {
				select {
				case f := <-a.C():
					f()
				case <-done:
					return
				}
			}
		}()
		defer close(done)

		// The calls that were given up must not hold up this one.
		got, err := Do(t.Context(), a, func() int { return 2 })
		if err != nil {
			t.Fatal(err)
		}

		if got != 2 {
			t.Errorf("the answer is %d", got)
		}
	})
}
