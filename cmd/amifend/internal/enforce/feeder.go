package enforce

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/denylist"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/firewall"
)

// FeedList is the list of a feed. It does not change.
type FeedList struct {
	Name     string
	Prefixes []netip.Prefix
}

// FeederOptions configure a [Feeder].
type FeederOptions struct {
	Table FeedTable
	Log   *slog.Logger
	Names []string           // of the feeds that the table was opened with
	Never func() protect.Set // returns what must never be banned at that moment
	// Exempt returns who else is spared: those who proved themselves, and those who administer this
	// machine. After an error no new list comes into force.
	Exempt func(ctx context.Context) ([]denylist.Exempt, error)
	// Held keeps the lists out of the kernel until [Feeder.Release], see [DenierOptions].
	Held bool
}

// Feeder is the goroutine that keeps the lists of the feeds in the kernel, less those who are spared.
// Large lists take it seconds, and no ban waits for that. It does nothing before the first call of
// [Feeder.SetLists].
type Feeder struct {
	table  FeedTable
	log    *slog.Logger
	never  func() protect.Set
	exempt func(ctx context.Context) ([]denylist.Exempt, error)

	given    *owner.Latest[[]FeedList]
	changed  *owner.Latest[struct{}] // what must never be banned
	laidOut  *owner.Latest[struct{}]
	release  *owner.Latest[struct{}]
	status   atomic.Pointer[FeedsStatus] // for others to read
	counting sync.Mutex                  // while the kernel is asked what the feeds dropped

	// Of the goroutine.
	lists []FeedList // nil: none were given yet
	names []string   // that the table has
	held  bool
	sure  map[string]bool // the kernel has what it was given last for this feed
}

// FeedsStatus is the state of the feeds in the kernel.
type FeedsStatus struct {
	Cuts map[string]*denylist.Cut // in force, by the name of the feed
	Err  error                    // what keeps the kernel from more
	Held bool                     // until the trial ends
}

// NewFeeder returns a feeder. It does nothing before [Feeder.Run].
func NewFeeder(o FeederOptions) *Feeder {
	f := &Feeder{
		table: o.Table, log: o.Log, never: o.Never, exempt: o.Exempt, held: o.Held,
		names: slices.Clone(o.Names), sure: map[string]bool{},
		given:   owner.NewLatest[[]FeedList](),
		changed: owner.NewLatest[struct{}](),
		laidOut: owner.NewLatest[struct{}](),
		release: owner.NewLatest[struct{}](),
	}
	f.status.Store(&FeedsStatus{Held: o.Held})
	return f
}

// SetLists replaces the lists of all feeds. It does not wait.
func (f *Feeder) SetLists(lists []FeedList) { f.given.Set(lists) }

// Protect reports that what must never be banned has changed. It does not wait.
func (f *Feeder) Protect() { f.changed.Set(struct{}{}) }

// LaidOut reports that the table was laid out: its sets may be new and empty, or hold what others put
// there. It does not wait.
func (f *Feeder) LaidOut() { f.laidOut.Set(struct{}{}) }

// Release lets held lists into the kernel. It does not wait.
func (f *Feeder) Release() { f.release.Set(struct{}{}) }

// Status returns the state of the lists. It never waits. The caller must not change it.
func (f *Feeder) Status() FeedsStatus { return *f.status.Load() }

// Find returns the name of a feed that drops an address; "": none does.
func (f *Feeder) Find(a netip.Addr) string {
	cuts := f.Status().Cuts
	for _, name := range slices.Sorted(maps.Keys(cuts)) {
		if cuts[name].Set.Contains(a) {
			return name
		}
	}
	return ""
}

// Dropped returns what each feed dropped since its set was made; nil if the kernel does not answer,
// or has not answered the question before.
func (f *Feeder) Dropped(ctx context.Context) map[string]firewall.Denied {
	c, ok := askKernel(ctx, &f.counting, f.table.FeedCounts)
	if !ok {
		return nil
	}
	return c
}

// Run serves until ctx ends.
func (f *Feeder) Run(ctx context.Context) {
	var pause time.Duration
	for ctx.Err() == nil {
		// A nil channel is never ready: without a failure there is nothing to try again.
		var retry <-chan time.Time
		if pause > 0 {
			retry = time.After(pause)
		}

		select {
		case <-ctx.Done():
			return
		case f.lists = <-f.given.C():
			if f.lists == nil {
				f.lists = []FeedList{}
			}
		case <-f.changed.C():
		case <-f.laidOut.C():
			clear(f.sure)
		case <-f.release.C():
			f.held = false
			clear(f.sure)
		case <-retry:
		}

		err := f.try(ctx)
		if err == nil || ctx.Err() != nil {
			pause = 0
			continue
		}

		// What keeps it from the lists may last, so it is tried less and less often.
		pause = min(max(2*pause, retryFirst), retryLast)
		level := slog.LevelError
		if errors.Is(err, firewall.ErrGone) {
			level = slog.LevelDebug // the enforcer logs and repairs that
		}
		f.log.Log(context.Background(), level, "firewall: cannot put the feeds into the kernel",
			"err", err, "retry", pause.String())
	}
}

// try makes the kernel's sets what they must be.
func (f *Feeder) try(ctx context.Context) error {
	if f.lists == nil || f.held || len(f.lists)+len(f.names) == 0 {
		return nil
	}

	old := f.Status()
	cuts := maps.Clone(old.Cuts)
	if cuts == nil {
		cuts = map[string]*denylist.Cut{}
	}
	err := f.bring(ctx, cuts)
	f.status.Store(&FeedsStatus{Cuts: cuts, Err: err})
	return err
}

// bring brings the kernel to the lists, and notes in cuts what it has.
func (f *Feeder) bring(ctx context.Context, cuts map[string]*denylist.Cut) error {
	// What is exempt is asked for now, not when the lists changed.
	exempt, err := f.exempt(ctx)
	if err != nil {
		return err
	}
	never := f.never()

	names := make([]string, 0, len(f.lists))
	for _, l := range f.lists {
		names = append(names, l.Name)
	}
	if !slices.Equal(names, f.names) {
		if err := f.table.SetFeeds(ctx, names); err != nil {
			return err
		}
		f.names = names
		maps.DeleteFunc(cuts, func(name string, _ *denylist.Cut) bool {
			return !slices.Contains(names, name)
		})
		maps.DeleteFunc(f.sure, func(name string, _ bool) bool {
			return !slices.Contains(names, name)
		})
	}

	// A feed that the kernel refuses does not keep the others out.
	var problems []error
	for _, l := range f.lists {
		next := denylist.CutPublic(l.Prefixes, never, exempt)
		last := cuts[l.Name]
		same := last != nil && next.Set.Equal(last.Set)
		if !same || !f.sure[l.Name] {
			// What the kernel has is read only when it is not known: a large set takes it a minute.
			var have []netip.Prefix
			if f.sure[l.Name] && last != nil {
				have = append([]netip.Prefix{}, last.Set.Prefixes()...)
			}
			if err := f.table.SetFeed(ctx, l.Name, have, next.Set.Prefixes()); err != nil {
				f.sure[l.Name] = false
				problems = append(problems, err)
				continue
			}
		}

		f.sure[l.Name] = true
		cuts[l.Name] = next
		f.tell(l, last, next)
	}
	return errors.Join(problems...)
}

// mostToldSpared bounds the spared prefixes in one line of the log.
const mostToldSpared = 10

// tell logs what changed.
func (f *Feeder) tell(l FeedList, last, next *denylist.Cut) {
	if last == nil || !next.Set.Equal(last.Set) {
		msg := "a feed is in force"
		if isDry(f.table) {
			msg = "a feed would be in force"
		}
		f.log.Info(msg, "feed", l.Name, "prefixes", len(l.Prefixes),
			"ranges", len(next.Set.Ranges()), "spared", len(next.Out))
	}
	if len(next.Out) == 0 || last != nil && slices.Equal(last.Out, next.Out) {
		return
	}

	var spared []string
	for _, e := range next.Out[:min(len(next.Out), mostToldSpared)] {
		spared = append(spared, e.Prefix.String()+": "+e.Reason)
	}
	f.log.Warn("a feed lists who must not be dropped: they are spared", "feed", l.Name,
		"spared", spared, "more", len(next.Out)-len(spared))
}
