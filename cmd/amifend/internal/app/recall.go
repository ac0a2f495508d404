package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/amifend/amifend/policy"
)

// remembrance is what a run before this one has left of the engine.
type remembrance struct {
	engine  *policy.Engine
	servers []string // names by number
	found   policy.Recalled
	err     error // of the options
}

// remember has the engine go on where that of the run before stood: scores, proof, strikes and what else it knew, but bans. What cannot
// be read is left out: nothing of it keeps amifend from starting.
func (d *daemon) remember(ctx context.Context) error {
	if d.records.journal == nil {
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, journalStart)
	defer cancel()
	done := make(chan remembrance, 1) // a disk that hangs answers later than anybody waits
	began := time.Now()
	go func() { done <- d.recallEngine(asking) }()
	var r remembrance
	select {
	case r = <-done:
	case <-asking.Done():
		if ctx.Err() != nil {
			return ctx.Err() // as in recall
		}
		d.Log.Error("the engine's state cannot be read in time: starting without scores and proof", "err", asking.Err())
		return nil
	}
	if r.err != nil {
		return fmt.Errorf("set up the policy: %w", r.err)
	}
	d.use(r)
	if r.found.Entries > 0 {
		d.Log.Info("scores and proof of the run before are known", "entries", r.found.Entries, "took", time.Since(began).Round(time.Millisecond).String())
	}
	if bad := r.found.Damaged + r.found.Foreign; bad > 0 || r.found.Dropped > 0 {
		d.Log.Error("a part of the engine's state cannot be read: some scores and proof are forgotten, the rest is used",
			"damaged_blocks", r.found.Damaged, "of_another_version", r.found.Foreign, "read_blocks", r.found.Blocks,
			"dropped_entries", r.found.Dropped, "do", "look at the disk of "+d.Config.State.Directory)
	}
	return nil
}

// recallEngine reads the engine's state. An error of the journal leaves it as far as it was read.
func (d *daemon) recallEngine(ctx context.Context) (r remembrance) {
	opts := d.Config.Policy
	opts.Seed = d.judge.engine.Seed()
	blocks := make(chan []byte, 4) // it is read while it is taken in
	failed := make(chan error, 1)
	go func() {
		defer close(blocks)
		failed <- d.records.journal.Blocks(ctx, func(b []byte) bool {
			select {
			case blocks <- b:
				return true
			case <-ctx.Done():
				return false
			}
		})
	}()
	damaged := 0
	r.engine, r.found, r.err = policy.Recall(opts, d.clock.now(), func(yield func([]byte) bool) {
		for b := range blocks {
			servers, rest, ok := namedServers(b)
			if !ok || !follow(servers, r.servers) {
				damaged++
				continue
			}
			r.servers = servers
			if !yield(rest) {
				return
			}
		}
	})
	r.found.Damaged += damaged
	if err := <-failed; err != nil && !errors.Is(ctx.Err(), context.Canceled) {
		d.Log.Error("the engine's state cannot be read to its end: scores and proof may be missing", "err", err)
	}
	return r
}

// use has the judge go on with an engine and the numbers of its servers.
func (d *daemon) use(r remembrance) {
	names := r.servers
	for _, name := range d.judge.servers {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	r.engine.Protect(d.clock.now(), d.judge.masked.protected)
	d.judge.engine, d.hasher = r.engine, policy.NewHasher(r.engine.Seed())
	d.judge.name(names)
}
