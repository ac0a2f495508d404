package app

import (
	"context"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/policy"
)

// How the engine's state is saved.
const (
	saveEvery = 5 * time.Second        // what changed since, within as long again at ordinary load
	saveBeat  = 100 * time.Millisecond // between two blocks: the judge has other work
	saveMost  = 5000                   // entries a block: a few milliseconds of the judge's time, and one commit
	saveEnd   = 4 * time.Second        // how long saving may take at the end
)

// keeper is the journal as the judge saves to it.
type keeper interface {
	Wants() (block, round bool)
	Keep(b journal.Block) bool
}

// saver hands the engine's state to the journal, block by block: what changed, the hottest first, and from time to time all of
// it, so that the journal can forget what it had before. The judge owns it. It never waits: what the journal has no room for stays
// marked as changed in the engine.
type saver struct {
	keeper keeper // nil: nothing is kept
	round  bool   // all is being told
	turn   bool   // it is the round's
	next   int64  // when what changed is to be told
}

// step saves a part, and tells when to go on.
func (s *saver) step(e *policy.Engine, servers []string, now int64) time.Duration {
	if s.keeper == nil {
		return time.Hour
	}
	block, round := s.keeper.Wants()
	first := round && !s.round
	switch {
	case !block:
	case first || s.round && s.turn:
		s.turn = false
		head := nameServers(servers)
		data, n, done := e.Sweep(head, saveMost)
		if n == 0 {
			data = nil
		}
		s.round = !done
		s.keeper.Keep(journal.Block{Data: data, First: first, Last: done})
	case now >= s.next:
		s.turn = true
		s.changes(e, servers, now)
	default:
		s.turn = true
	}
	if s.round || now >= s.next {
		return saveBeat
	}
	return min(time.Duration(s.next-now), time.Second)
}

// changes saves some of what changed. It must be called only if there is room for a block.
func (s *saver) changes(e *policy.Engine, servers []string, now int64) {
	data, n := e.Changes(nameServers(servers), saveMost)
	if n > 0 {
		s.keeper.Keep(journal.Block{Data: data})
	}
	if n < saveMost {
		s.next = now + int64(saveEvery)
	}
}

// urge saves some of what changed now, pardons first. It is false if there was no room for it.
func (s *saver) urge(e *policy.Engine, servers []string, now int64) bool {
	if s.keeper == nil {
		return true
	}
	block, _ := s.keeper.Wants()
	if block {
		s.changes(e, servers, now)
	}
	return block
}

// finish saves all that is not saved yet, and what only a clean stop can save, which must come last. written returns when there is
// room for a block again, or with an error that ends it.
func (s *saver) finish(e *policy.Engine, servers []string, written func() error) error {
	if s.keeper == nil {
		return nil
	}
	for changes := true; ; {
		var data []byte
		var n int
		done := false
		if changes {
			data, n = e.Changes(nameServers(servers), saveMost)
			changes = n > 0
		} else {
			data, n, done = e.Rest(nameServers(servers), saveMost)
		}
		for n > 0 && !s.keeper.Keep(journal.Block{Data: data}) {
			if err := written(); err != nil {
				return err
			}
		}
		if done {
			return written()
		}
	}
}

// saveAll saves what the judge has left when it ended.
func (d *daemon) saveAll() {
	ctx, cancel := context.WithTimeout(context.Background(), saveEnd)
	defer cancel()
	err := d.judge.saver.finish(d.judge.engine, d.judge.servers, func() error { return d.records.journal.Sync(ctx) })
	if err != nil {
		d.Log.Error("the last of the engine's state could not be saved: a restart forgets it", "err", err)
	}
}
