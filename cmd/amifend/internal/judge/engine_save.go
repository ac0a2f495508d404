package judge

import (
	"context"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
	"github.com/amifend/amifend/policy"
)

// How the engine's state is saved.
const (
	saveEvery = 5 * time.Second        // what changed since, within as long again at ordinary load
	saveBeat  = 100 * time.Millisecond // between two blocks: the judge has other work
	// Entries in a block: a few milliseconds of the judge's time, and one commit.
	saveMost = 5000
	saveEnd  = 4 * time.Second // how long saving may take at the end
)

// Store keeps the engine's state. [journal.Journal] is one.
type Store interface {
	blockStore
	// Blocks reads what was kept, see [journal.Journal.Blocks].
	Blocks(ctx context.Context, visit func(data []byte) bool) error
	// Sync waits until what was kept is on the disk.
	Sync(ctx context.Context) error
}

// blockStore takes blocks of the engine's state.
type blockStore interface {
	// Wants reports whether there is room for a block, and whether all of the state is wanted anew.
	Wants() (block, round bool)
	// Keep takes a block. It returns false if there is no room for it.
	Keep(b journal.Block) bool
}

// saver hands the engine's state to the store, block by block: what changed, the hottest first, and
// from time to time all of it, a round, so that the store can forget what it had before. It never
// waits: what the store has no room for stays marked as changed in the engine.
type saver struct {
	store blockStore // nil: nothing is kept
	round bool       // a round goes on
	turn  bool       // the next block is the round's
	next  int64      // when what changed is to be saved
}

// step saves a part, and returns when to save the next one.
func (s *saver) step(e *policy.Engine, servers []string, now int64) time.Duration {
	if s.store == nil {
		return time.Hour
	}

	// While a round goes on, it takes turns with what changes.
	block, round := s.store.Wants()
	first := round && !s.round
	switch {
	case !block: // what changed stays marked in the engine, and is tried again soon
	case first || s.round && s.turn:
		s.turn = false
		s.sweep(e, servers, first)
	case now >= s.next:
		s.turn = true
		s.changes(e, servers, now)
	default:
		s.turn = true
	}

	// There is more to save: soon, but events come first.
	if s.round || now >= s.next {
		return saveBeat
	}

	// The store may begin a round at any time, so it is asked every second at least.
	return min(time.Duration(s.next-now), time.Second)
}

// sweep saves the next part of a round.
func (s *saver) sweep(e *policy.Engine, servers []string, first bool) {
	data, n, done := e.Sweep(blockHead(servers), saveMost)
	if n == 0 {
		data = nil
	}
	s.round = !done
	s.store.Keep(journal.Block{Data: data, First: first, Last: done})
}

// changes saves some of what changed. It must be called only if there is room for a block.
func (s *saver) changes(e *policy.Engine, servers []string, now int64) {
	data, n := e.Changes(blockHead(servers), saveMost)
	if n > 0 {
		s.store.Keep(journal.Block{Data: data})
	}
	if n < saveMost {
		s.next = now + int64(saveEvery)
	}
}

// urge saves some of what changed now, pardons first. It returns false if there was no room.
func (s *saver) urge(e *policy.Engine, servers []string, now int64) bool {
	if s.store == nil {
		return true
	}

	block, _ := s.store.Wants()
	if block {
		s.changes(e, servers, now)
	}
	return block
}

// pardon returns a block with the pardon of everybody that the engine made last; nil if there is no
// store.
func (s *saver) pardon(e *policy.Engine, servers []string) []byte {
	if s.store == nil {
		return nil
	}
	data, _ := e.Changes(blockHead(servers), 1) // a pardon comes first
	return data
}

// finish saves all that is not saved yet, and then what only a clean stop can save, which must come
// last. written returns when there is room for a block again, or with an error that ends it.
func (s *saver) finish(e *policy.Engine, servers []string, written func() error) error {
	if s.store == nil {
		return nil
	}

	for changes := true; ; {
		var data []byte
		var n int
		done := false

		// What changed comes first: if the time runs out, the rest is the smaller loss.
		if changes {
			data, n = e.Changes(blockHead(servers), saveMost)
			changes = n > 0
		} else {
			data, n, done = e.Rest(blockHead(servers), saveMost)
		}

		// A full store has room again when it has written what it holds.
		for n > 0 && !s.store.Keep(journal.Block{Data: data}) {
			if err := written(); err != nil {
				return err
			}
		}
		if done {
			return written()
		}
	}
}

// SaveAll saves the engine's state, for some seconds at most. It must be called after Run.
func (j *Judge) SaveAll() {
	ctx, cancel := context.WithTimeout(context.Background(), saveEnd)
	defer cancel()

	err := j.saver.finish(j.engine, j.servers, func() error { return j.store.Sync(ctx) })
	if err != nil {
		j.log.Error("the last of the engine's state could not be saved: a restart forgets it",
			"err", err)
	}
}

// Save hands to the journal what the engine has to save, pardons first. It returns false if the
// journal has no room for it now.
func (j *Judge) Save(ctx context.Context) (bool, error) {
	return owner.Do(ctx, j.calls, func() bool {
		return j.saver.urge(j.engine, j.servers, j.clock.Now())
	})
}
