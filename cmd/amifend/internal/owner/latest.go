package owner

import "sync"

// Latest hands the latest value to a goroutine without ever making the sender wait. A value that
// was not received yet is replaced by the next one.
type Latest[V any] struct {
	mu sync.Mutex // one sender at a time, so that the older of two values cannot stay
	ch chan V
}

// NewLatest returns a Latest without a value.
func NewLatest[V any]() *Latest[V] { return &Latest[V]{ch: make(chan V, 1)} }

// Set leaves v for the receiver, in place of a value that still waits.
func (l *Latest[V]) Set(v V) {
	l.mu.Lock()
	defer l.mu.Unlock()

	select {
	case <-l.ch:
	default:
	}
	l.ch <- v // never blocks: other senders wait for mu
}

// C delivers the value.
func (l *Latest[V]) C() <-chan V { return l.ch }
