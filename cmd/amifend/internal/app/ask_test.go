package app

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// However many ask for what takes long, the owner has nine tenths of its time for itself.
func TestAskersTakeATenth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsks()
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
		defer stop()
		var spent time.Duration
		var owner, askers sync.WaitGroup
		owner.Go(func() {
			for {
				select {
				case f := <-a.in:
					began := time.Now()
					f()
					spent += time.Since(began)
				case <-ctx.Done():
					return
				}
			}
		})
		answered := make([]int, 20)
		for i := range answered {
			askers.Go(func() {
				for {
					n, err := ask(ctx, a, "it", func() int {
						time.Sleep(time.Duration(i) * time.Millisecond)
						return i
					})
					if err != nil {
						if control.CodeOf(err) != control.CodeBusy {
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
		a := newAsks()
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		for range 3 {
			if _, err := ask(gone, a, "it", func() int { return 1 }); control.CodeOf(err) != control.CodeBusy {
				t.Errorf("error %v", err)
			}
		}
		done := make(chan struct{})
		go func() {
			for {
				select {
				case f := <-a.in:
					f()
				case <-done:
					return
				}
			}
		}()
		defer close(done)
		got, err := ask(t.Context(), a, "it", func() int { return 2 })
		if err != nil {
			t.Fatal(err)
		}
		if got != 2 {
			t.Errorf("the answer is %d", got)
		}
	})
}
