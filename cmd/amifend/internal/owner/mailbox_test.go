package owner_test

import (
	"sync"
	"testing"

	"github.com/amifend/amifend/cmd/amifend/internal/owner"
)

// Nothing is lost between a sender and a receiver that do not wait for each other, and of each key
// the last value comes last.
func TestMailbox(t *testing.T) {
	const keys, rounds = 10, 20_000
	m := owner.NewMailbox[int, int](nil)
	var sender sync.WaitGroup
	sender.Go(func() {
		for i := range rounds {
			m.Put(i%keys, i)
		}
	})

	done := make(chan struct{})
	go func() {
		sender.Wait()
		close(done)
	}()

	// The values of a key may be skipped, but must not come in another order.
	last := make(map[int]int)
	take := func() {
		for k, v := range m.Take() {
			if v < last[k] {
				t.Errorf("%d came after %d", v, last[k])
			}
			last[k] = v
		}
	}

	for running := true; running; {
		select {
		case <-m.C():
			take()
		case <-done:
			running = false
		}
	}

	// What the sender put last has left a token.
	select {
	case <-m.C():
		take()
	default:
	}

	for k := range keys {
		if last[k] != rounds-keys+k {
			t.Errorf("key %d ends with %d", k, last[k])
		}
	}

	if m.Take() != nil {
		t.Error("something is left without a token")
	}
}
