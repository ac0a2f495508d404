package owner_test

import (
	"sync"
	"testing"

	"github.com/amifend/amifend/cmd/amifend/internal/owner"
)

func TestOfferLeavesTheLatest(t *testing.T) {
	l := owner.NewLatest[int]()
	for i := range 5 {
		l.Set(i)
	}
	if v := <-l.C(); v != 4 {
		t.Errorf("got %d", v)
	}
}

// Of several senders, none waits, and what is left in the end is a value that one of them sent
// last.
func TestLatestOfSeveralSenders(t *testing.T) {
	const senders, rounds = 4, 5000
	l := owner.NewLatest[int]()
	done := make(chan struct{})
	go func() { // a receiver that takes what it can get
		for {
			select {
			case <-l.C():
			case <-done:
				return
			}
		}
	}()

	var all sync.WaitGroup
	for range senders {
		all.Go(func() {
			for i := range rounds {
				l.Set(i)
			}
		})
	}

	all.Wait()
	done <- struct{}{}

	l.Set(-1)
	if v := <-l.C(); v != -1 {
		t.Errorf("got %d", v)
	}
}
