package judge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/amifend/amifend/policy"
)

// loadTime limits how long a start waits for the engine's state.
const loadTime = 10 * time.Second

// loaded holds the engine's state of an earlier run.
type loaded struct {
	engine  *policy.Engine
	servers []string // names by number
	found   policy.Recalled
	err     error // of the options
}

// Load restores the engine's state of the run before: scores, proof and strikes, but no bans. A
// part that cannot be read is left out and does not keep amifend from starting. Load must be called
// before Run, and before the first ban is admitted.
func (j *Judge) Load(ctx context.Context) error {
	if j.store == nil || j.takenOver {
		return nil
	}
	reading, cancel := context.WithTimeout(ctx, loadTime)
	defer cancel()

	// A disk that hangs may answer later than anybody waits, so it is read on a goroutine of its
	// own.
	done := make(chan loaded, 1)
	began := time.Now()
	go func() { done <- j.read(reading) }()

	var l loaded
	select {
	case l = <-done:
	case <-reading.Done():
		if ctx.Err() != nil {
			return ctx.Err() // the start is called off
		}
		j.log.Error("the engine's state cannot be read in time: starting without scores and proof",
			"err", reading.Err())
		return nil
	}

	// The options do not depend on the disk: a start with these would fail without a journal, too.
	if l.err != nil {
		return fmt.Errorf("set up the policy: %w", l.err)
	}

	j.use(l)
	j.logLoaded(l.found, time.Since(began))
	return nil
}

func (j *Judge) logLoaded(found policy.Recalled, took time.Duration) {
	if found.Entries > 0 {
		j.log.Info("scores and proof of the run before are known", "entries", found.Entries,
			"took", took.Round(time.Millisecond).String())
	}
	if bad := found.Damaged + found.Foreign; bad > 0 || found.Dropped > 0 {
		j.log.Error("a part of the engine's state cannot be read: "+
			"some scores and proof are forgotten, the rest is used",
			"damaged_blocks", found.Damaged, "of_another_version", found.Foreign,
			"read_blocks", found.Blocks,
			"dropped_entries", found.Dropped, "do", "look at the disk of "+j.stateDir)
	}
}

// read reads the engine's state. An error of the store leaves it as far as it was read.
func (j *Judge) read(ctx context.Context) (l loaded) {
	opts := j.policy
	opts.Seed = j.engine.Seed()

	// The next blocks are read while the engine takes one in.
	blocks := make(chan []byte, 4)
	failed := make(chan error, 1)

	go func() {
		defer close(blocks)
		failed <- j.store.Blocks(ctx, func(b []byte) bool {
			select {
			case blocks <- b:
				return true
			case <-ctx.Done():
				return false
			}
		})
	}()

	// A block counts only if its list of servers continues the one before: otherwise the numbers in
	// it would mean other servers.
	damaged := 0
	l.engine, l.found, l.err = policy.Recall(opts, j.clock.Now(), func(yield func([]byte) bool) {
		for b := range blocks {
			servers, rest, ok := cutHead(b)
			if !ok || !continues(servers, l.servers) {
				damaged++
				continue
			}
			l.servers = servers
			if !yield(rest) {
				return
			}
		}
	})
	l.found.Damaged += damaged

	// A start that was called off has nothing to report.
	if err := <-failed; err != nil && !errors.Is(ctx.Err(), context.Canceled) {
		j.log.Error("the engine's state cannot be read to its end: scores and proof may be missing",
			"err", err)
	}
	return l
}

// use replaces the judge's engine, and the numbers of its servers. Servers of the config that the
// engine does not know get the next numbers.
func (j *Judge) use(l loaded) {
	names := l.servers
	for _, name := range j.servers {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}

	// The saved state has no protected addresses: they are found anew at each start.
	l.engine.Protect(j.clock.Now(), j.protected)
	j.engine = l.engine
	j.setServers(names)
}

// Engine returns the engine, for another judge. It must be called after Run.
func (j *Judge) Engine() *policy.Engine { return j.engine }

// Hasher returns the hasher of the engine's labels. It must be called after Load and before Run.
func (j *Judge) Hasher() policy.Hasher { return j.engine.Hasher() }

// Servers returns the names of all servers by number. It must be called after Load and before Run, or
// after Run.
func (j *Judge) Servers() []string { return j.servers }
