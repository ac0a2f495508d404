package journal

import (
	"sync"
	"time"
)

// Health says how the journal is.
type Health struct {
	Path    string
	Problem string    // why nothing can be written; "": it can
	Do      string    // what to do about it
	Since   time.Time // of the problem
	Waiting int       // bans and lifts that wait to be written
	// bans and lifts that found no room to wait, since the start; those that still run are written
	// later
	Lost uint64
	Size int64 // bytes of the database
}

// healthBox hands the health from the journal's goroutine to whoever asks.
type healthBox struct {
	mu sync.Mutex
	h  Health
}

func (b *healthBox) set(f func(*Health)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(&b.h)
}

// Health returns how the journal is.
func (j *Journal) Health() Health {
	j.health.mu.Lock()
	defer j.health.mu.Unlock()
	return j.health.h
}

// Refused tells that an error will stay until a person solves it: the journal is of a newer
// amifend, of something else, or used by another one. The daemon had better not start then.
func Refused(err error) bool { return refused(err) }
