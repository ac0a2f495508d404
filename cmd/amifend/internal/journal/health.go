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
	// Lost counts the bans and lifts that found no room to wait, since the start. Those that still
	// run are written later.
	Lost uint64
	Size int64 // bytes of the database
	// Unreserved is why no room is reserved on its disk for what operators change; "": there is.
	Unreserved string
	Loss       *Loss // nil: none that nobody has acknowledged
	// Fresh means that there was no database when this one was opened.
	Fresh bool
}

// healthBox passes the health from the journal's goroutine to callers.
type healthBox struct {
	mu sync.Mutex
	h  Health
}

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

// Refused reports whether an error lasts until a person solves it: the journal is of a newer
// amifend, of another program, or in use. The daemon should not start then.
func Refused(err error) bool { return refused(err) }
