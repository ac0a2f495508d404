package daemon

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/amifend/amifend/cmd/amifend/internal/enforce"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/cmd/amifend/internal/judge"
)

// adopt lays out the table and takes over what earlier runs have left: the engine's state, the bans
// in the kernel, and the bans that only the journal has. Where both have a ban, the journal says
// when it ends. Judge and enforcer must not run yet.
//
// A walk over a large set takes the kernel most of a second. Meanwhile the journal is read, and its
// bans are taken in.
func adopt(
	ctx context.Context, s *shared, j *judge.Judge, e *enforce.Enforcer,
) (enforce.Adopted, error) {
	var found enforce.Found
	var snap *journal.Snapshot

	// What is left of a ban must never be overrated, so the time is taken before both reads.
	began := s.clock.Now()
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() (err error) {
		defer s.startup.await("the table in the kernel")()
		found, err = e.Inspect(ctx)
		return err
	})

	both.Go(func() (err error) {
		defer s.startup.await("the journal")()
		snap, err = readBans(ctx, s)
		if err != nil || snap == nil { // there is no journal, or none that can be read
			return err
		}

		// The engine's state must be there before the first ban is admitted to it.
		if err := j.Load(ctx); err != nil {
			return err
		}

		e.Expect(snap, began, j.Admit)
		return nil
	})

	if err := both.Wait(); err != nil {
		return enforce.Adopted{}, err
	}

	adopted := e.Adopt(found, snap, j.Admit)

	// A new journal is no loss where amifend starts for the first time: then the kernel has no ban.
	if snap != nil && adopted.Kernel > 0 && s.journal.Health().Fresh {
		if err := s.journal.NoteLoss(ctx, "there was none, although the kernel has bans"); err != nil {
			s.options.Log.Error("the loss of the journal cannot be noted", "err", err)
		}
	}
	return adopted, nil
}
