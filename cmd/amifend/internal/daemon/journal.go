package daemon

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/enforce"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
)

// journalStart limits how long a start waits for the journal. A disk that hangs must not keep the
// daemon from banning: what the journal has is taken in when it can be read.
const journalStart = 10 * time.Second

// newJournal returns the journal that the config wants, nil for none. For the functions see
// [journal.Options].
func newJournal(o Options, changed, begun func()) *journal.Journal {
	c := o.Config
	if c.State.Directory == "" {
		return nil
	}

	return journal.New(journal.Options{
		Directory: c.State.Directory, Observed: c.Dry(), Table: c.Firewall.Table,
		Retain:  c.State.Retain,
		MaxSize: c.State.MaxSize, BanMax: c.Policy.BanMax,
		MaxWaiting: 6 * c.Firewall.MaxBans, // in three scopes, and as many lifts
		Log:        o.Log, Changed: changed, Begun: begun,
	})
}

// runJournal runs the journal until the function that it returns is called. The function waits
// until all is written, for some seconds at most: a disk that hangs must not keep the daemon from
// ending.
func runJournal(log *slog.Logger, j *journal.Journal) (stop func()) {
	if j == nil {
		return func() {}
	}

	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		j.Run(ctx)
	}()

	return sync.OnceFunc(func() {
		cancel()
		select {
		case <-done:
		case <-time.After(2 * enforce.DrainTime):
			log.Error("the journal does not end: its disk hangs")
		}
	})
}

// readBans asks the journal which bans it knows. Without an answer the snapshot is nil, and the
// daemon starts with what the kernel has. An error means that it must not start.
func readBans(ctx context.Context, s *shared) (*journal.Snapshot, error) {
	j := s.journal
	if j == nil {
		return nil, nil //nolint:nilnil // nothing is known, and that is no error
	}

	reading, cancel := context.WithTimeout(ctx, journalStart)
	defer cancel()

	snap, err := j.Snapshot(reading)
	switch {
	case err == nil:
		return snap, nil
	case journal.Refused(err), ctx.Err() != nil:
		// Only a person can repair it, or the start is called off.
		return nil, err
	}

	s.startup.without("what the journal has: it could not be read")
	s.options.Log.Error("the journal cannot be read: starting with the bans that are in the "+
		"kernel, and without scores and proof", "err", err)
	return nil, nil //nolint:nilnil // as above
}
