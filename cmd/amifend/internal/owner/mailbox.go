package owner

import "sync"

// Mailbox hands values from one goroutine to another without ever making the sender wait. It holds
// at most one value for each key, so the number of keys bounds it.
type Mailbox[K comparable, V any] struct {
	wake  chan struct{}      // has a token while there may be something to take
	merge func(old, new V) V // of two values of one key; nil: the last one counts

	mu   sync.Mutex
	vals map[K]V
}

// NewMailbox returns an empty mailbox. merge combines two values of the same key. With a nil merge,
// the second value replaces the first.
func NewMailbox[K comparable, V any](merge func(old, new V) V) *Mailbox[K, V] {
	return &Mailbox[K, V]{wake: make(chan struct{}, 1), merge: merge, vals: make(map[K]V)}
}

// Put leaves v for the receiver.
func (m *Mailbox[K, V]) Put(k K, v V) {
	m.mu.Lock()
	if old, ok := m.vals[k]; ok && m.merge != nil {
		v = m.merge(old, v)
	}
	m.vals[k] = v
	m.mu.Unlock()

	m.Wake()
}

// Take empties the mailbox. It returns nil if the mailbox was empty.
func (m *Mailbox[K, V]) Take() map[K]V {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.vals) == 0 {
		return nil
	}

	vals := m.vals
	m.vals = make(map[K]V)
	return vals
}

// C delivers a token when there may be something to take.
func (m *Mailbox[K, V]) C() <-chan struct{} { return m.wake }

// Wake makes C deliver a token although no value was put. The receiver calls it when it has work
// left.
func (m *Mailbox[K, V]) Wake() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}
