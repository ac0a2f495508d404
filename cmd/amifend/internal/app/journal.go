package app

import (
	"context"
	"sync"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
)

// journalStart is how long a start waits for the journal. A disk that hangs must not keep the daemon from banning: what the
// journal says is taken in when it can be read.
const journalStart = 10 * time.Second

// newKeeper returns the journal that the config wants, nil for none.
func newKeeper(c *config.Config, o Options, changed func()) *journal.Journal {
	if c.State.Directory == "" {
		return nil
	}
	return journal.New(journal.Options{
		Directory: c.State.Directory, Observed: c.Dry(), Table: c.Firewall.Table, Retain: c.State.Retain, MaxSize: c.State.MaxSize, BanMax: c.Policy.BanMax,
		MaxWaiting: 4 * c.Firewall.MaxBans, // in two scopes, and as many lifts
		Log:        o.Log, Changed: changed,
	})
}

// keep runs the journal until the function that it returns is called, which waits until all is written, for a few seconds
// at most: a disk that hangs must not keep the daemon from ending.
func (d *daemon) keep() (stop func()) {
	if d.records.journal == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.records.journal.Run(ctx)
	}()
	return sync.OnceFunc(func() {
		cancel()
		select {
		case <-done:
		case <-time.After(2 * drainTime):
			d.Log.Error("the journal does not end: its disk hangs")
		}
	})
}

// recall asks the journal what it says of bans. Without an answer it is nil, and the daemon starts with what the kernel
// has; an error means that it must not start.
func (d *daemon) recall(ctx context.Context) (*journal.Snapshot, error) {
	if d.records.journal == nil {
		return nil, nil //nolint:nilnil // nothing is known, and that is no error
	}
	asking, cancel := context.WithTimeout(ctx, journalStart)
	defer cancel()
	snap, err := d.records.journal.Snapshot(asking)
	switch {
	case err == nil:
		d.enforcer.warnBad(snap)
		return snap, nil
	case journal.Refused(err), ctx.Err() != nil: // the start has failed elsewhere, or is called off: that is no fault of the journal
		return nil, err
	}
	d.Log.Error("the journal cannot be read: starting with the bans that are in the kernel, and without scores and proof", "err", err)
	return nil, nil //nolint:nilnil // as above
}
