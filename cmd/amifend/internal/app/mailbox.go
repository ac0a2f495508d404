package app

import "sync"

// mailbox hands values from one goroutine to another without ever making the sender wait. Values of one key coalesce.
// It holds at most one value a key, so it is as bounded as the keys are.
type mailbox[K comparable, V any] struct {
	wake  chan struct{}      // has a token while there may be something to take
	merge func(old, new V) V // of two values of one key; nil: the last one counts

	mu   sync.Mutex
	vals map[K]V
}

func newMailbox[K comparable, V any](merge func(old, new V) V) *mailbox[K, V] {
	return &mailbox[K, V]{wake: make(chan struct{}, 1), merge: merge, vals: make(map[K]V)}
}

// put leaves v for the receiver.
func (m *mailbox[K, V]) put(k K, v V) {
	m.mu.Lock()
	if old, ok := m.vals[k]; ok && m.merge != nil {
		v = m.merge(old, v)
	}
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
