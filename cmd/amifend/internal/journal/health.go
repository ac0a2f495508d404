package journal

import (
	"sync"
	"time"
)

// Health is the state of the journal.
type Health struct {
	Path    string
	Problem string    // why it cannot be written; "": it can
	Do      string    // what to do about it
	Since   time.Time // of the problem
	Waiting int       // bans and lifts that wait to be written
	// Lost counts the bans and lifts since the start for which the queue had no room. Bans that
	// still run are written later.
	Lost uint64
	Size int64 // bytes of the database
	// Unreserved is why no room is reserved on its disk for changes of operators; "": room is.
	Unreserved string
	Loss       *Loss // the loss that nobody has acknowledged; nil: none
	// Fresh means that there was no database when this one was opened.
	Fresh bool
}

// healthBox passes the health from the journal's goroutine to callers.
type healthBox struct {
	mu sync.Mutex
	h  Health
}

// set calls f with the health, to change it.
func (b *healthBox) set(f func(*Health)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(&b.h)
}

// Health returns the state of the journal.
func (j *Journal) Health() Health {
	j.health.mu.Lock()
	defer j.health.mu.Unlock()
	return j.health.h
}

// Refused reports whether only a person can solve an error: the journal is that of a newer amifend,
// of another program or of another table, or another amifend uses it. The daemon must not start
// then.
func Refused(err error) bool { return refused(err) }
