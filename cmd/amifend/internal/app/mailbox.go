package app

import "sync"

// mailbox hands values from one goroutine to another without ever making the sender wait. Values of one key coalesce:
// the last one counts. It holds at most one value a key, so it is as bounded as the keys are.
type mailbox[K comparable, V any] struct {
	wake chan struct{} // has a token while there may be something to take

	mu   sync.Mutex
	vals map[K]V
}

func newMailbox[K comparable, V any]() *mailbox[K, V] {
	return &mailbox[K, V]{wake: make(chan struct{}, 1), vals: make(map[K]V)}
}

// put leaves v for the receiver, in place of what is there for k.
func (m *mailbox[K, V]) put(k K, v V) {
	m.mu.Lock()
	m.vals[k] = v
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// take empties the mailbox. It is nil when there was nothing.
func (m *mailbox[K, V]) take() map[K]V {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.vals) == 0 {
		return nil
	}
	vals := m.vals
	m.vals = make(map[K]V)
	return vals
}
