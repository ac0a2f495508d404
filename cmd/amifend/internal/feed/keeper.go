package feed

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"sync/atomic"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
)

// StaleAfter is the age from which a list is old: a condition is open.
const StaleAfter = 7 * 24 * time.Hour

const (
	dropAfter = 30 * 24 * time.Hour // then the list is not in force

	retryFirst = 5 * time.Minute // after a fetch that failed; each further pause is twice as long
	retryLast  = time.Hour       // or the feed's own pause, if that is longer
	loadTime   = 30 * time.Second
	lookEvery  = 10 * time.Minute // at ages, and at a disk that refused
)

// Named is a list that is in force.
type Named struct {
	Name     string
	Prefixes []netip.Prefix // nil: the feed has none
}

// Book is where conditions are opened and ended: [alerts.Book].
type Book interface {
	Raise(key string, a alerts.Alert, span alerts.Span)
	Resolve(key string, span alerts.Span)
	Keys(kind string) []string
}

// Options configure a [Keeper].
type Options struct {
	Feeds []config.Feed
	Dir   string // for the lists; "": they are not kept
	Log   *slog.Logger
	Book  Book
	// Lists is called with the lists in force whenever they change: one for each feed. It must not
	// wait.
	Lists func([]Named)
}

// Keeper is the goroutine that owns the lists of all feeds. Other goroutines may call its methods.
type Keeper struct {
	o       Options
	calls   owner.Calls
	changed *owner.Latest[[]config.Feed]
	done    chan done
	status  atomic.Pointer[[]Status]

	// Of the goroutine.
	feeds   []*state
	given   []Named // as Lists was called last; nil: it was not
	started int     // states that were ever made
}

// state is what is known of one feed.
type state struct {
	conf  config.Feed
	gen   int       // tells this state from one of an earlier config
	since time.Time // when the feed was first known

	list    *List // of the latest fetch that was taken; nil: there is none
	waiting *List // takes the yes of an operator; nil: there is none
	why     string
	problem string // of the last fetch; "": none

	loadBy   time.Time // until then its list is read from the disk; zero: it was
	fetching bool
	failures int
	next     time.Time // when it is fetched

	saving bool
	saved  *List     // that the disk has
	saveAt time.Time // not before
	disk   string    // what is wrong with the list on the disk; "": nothing
}

// done is the end of what a goroutine did for a feed.
type done struct {
	gen  int
	what work
	conf config.Feed // of a fetch
	of   *List       // that was asked with, or saved
	list *List
	err  error
}

type work uint8

const (
	loaded work = iota
	fetched
	stored
)

// New returns a keeper. It does nothing before [Keeper.Run].
func New(o Options) *Keeper {
	k := &Keeper{
		o: o, calls: owner.NewCalls("the part that keeps the feeds"),
		changed: owner.NewLatest[[]config.Feed](), done: make(chan done),
	}
	k.status.Store(&[]Status{})
	return k
}

// SetFeeds replaces the feeds. It does not wait.
func (k *Keeper) SetFeeds(feeds []config.Feed) { k.changed.Set(feeds) }

// ErrUnknown is returned for a name that no feed has, ErrNothing if no list of the feed waits.
var (
	ErrUnknown = errors.New("no feed has this name")
	ErrNothing = errors.New("no list of this feed waits")
)

// Accept puts the list that waits in force, and returns how many prefixes it has.
func (k *Keeper) Accept(ctx context.Context, name string) (int, error) {
	type answer struct {
		n   int
		err error
	}
	a, err := owner.Do(ctx, k.calls, func() answer {
		i := slices.IndexFunc(k.feeds, func(s *state) bool { return s.conf.Name == name })
		switch {
		case i < 0:
			return answer{0, ErrUnknown}
		case k.feeds[i].waiting == nil:
			return answer{0, ErrNothing}
		}

		s := k.feeds[i]
		if problem := k.tooMany(s, s.waiting); problem != "" {
			return answer{0, &RefusedError{problem}}
		}
		k.take(s, s.waiting)
		return answer{len(s.list.Prefixes), nil}
	})
	if err != nil {
		return 0, err
	}
	return a.n, a.err
}

// Run serves until ctx ends. It does not wait for what hangs.
func (k *Keeper) Run(ctx context.Context) {
	k.configure(ctx, k.o.Feeds)
	for ctx.Err() == nil {
		k.work(ctx)

		wake := time.NewTimer(max(k.pause(), 0))
		select {
		case <-ctx.Done():
		case f := <-k.calls.C():
			f()
		case feeds := <-k.changed.C():
			k.configure(ctx, feeds)
		case d := <-k.done:
			k.finish(d)
		case <-wake.C:
		}
		wake.Stop()
	}
}

// configure replaces the feeds. One that stays as it is keeps its list, and what runs for it.
func (k *Keeper) configure(ctx context.Context, feeds []config.Feed) {
	now := time.Now()
	old := k.feeds
	k.feeds = nil
	for _, c := range feeds {
		i := slices.IndexFunc(old, func(s *state) bool {
			return s.conf.Name == c.Name && origin(s.conf) == origin(c)
		})
		if i >= 0 {
			// A new key, or another pause, is tried at once.
			s := old[i]
			if !reflect.DeepEqual(s.conf, c) {
				s.conf, s.next, s.failures = c, now, 0
			}
			k.feeds = append(k.feeds, s)
			continue
		}

		k.started++
		s := &state{conf: c, gen: k.started, since: now, next: now}
		k.feeds = append(k.feeds, s)
		if k.o.Dir != "" {
			s.loadBy = now.Add(loadTime)
			k.start(ctx, done{gen: s.gen, what: loaded}, func(d *done) {
				d.list, d.err = load(k.o.Dir, c, time.Now())
			})
		}
	}

	if k.o.Dir != "" {
		go sweep(k.o.Dir, feeds)
	}
}

// start does something in a goroutine of its own.
func (k *Keeper) start(ctx context.Context, d done, do func(d *done)) {
	go func() {
		do(&d)
		select {
		case k.done <- d:
		case <-ctx.Done():
		}
	}()
}

// work starts what is due, and tells the others what has changed.
func (k *Keeper) work(ctx context.Context) {
	now := time.Now()
	for _, s := range k.feeds {
		if s.loading(now) {
			continue
		}

		if !s.fetching && !s.next.After(now) {
			s.fetching = true
			c, last := s.conf, s.known()
			k.start(ctx, done{gen: s.gen, what: fetched, conf: c, of: last}, func(d *done) {
				d.list, d.err = fetch(ctx, c, last)
			})
		}

		if k.o.Dir != "" && !s.saving && s.list != s.saved && !s.saveAt.After(now) {
			s.saving = true
			c, l := s.conf, s.list
			k.start(ctx, done{gen: s.gen, what: stored, of: l}, func(d *done) {
				d.err = save(k.o.Dir, c, l)
			})
		}
	}

	k.hand(now)
	k.lookAtAges(now)
	k.publish(now)
}

// loading reports whether the list on the disk is still awaited. A disk that hangs is not awaited for
// ever.
func (s *state) loading(now time.Time) bool { return s.loadBy.After(now) }

// known returns the list that a fetch is compared with.
func (s *state) known() *List {
	if s.waiting != nil && s.conf.Source != config.SourceAPIBAN {
		return s.waiting
	}
	return s.list
}

// pause returns how long nothing is due.
func (k *Keeper) pause() time.Duration {
	now := time.Now()
	next := now.Add(lookEvery)
	for _, s := range k.feeds {
		switch {
		case s.loading(now):
			next = earlier(next, s.loadBy)
		case !s.fetching:
			next = earlier(next, s.next)
		}
	}
	return next.Sub(now)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// age returns how old the list in force is.
func (s *state) age(now time.Time) time.Duration { return now.Sub(s.list.Fetched) }

// dropped reports whether a list is too old to be in force.
func (s *state) dropped(now time.Time) bool { return s.list != nil && s.age(now) > dropAfter }

// hand hands on the lists in force if they changed. At the start it waits for the disk: until then
// the kernel has those of the run before.
func (k *Keeper) hand(now time.Time) {
	var lists []Named
	for _, s := range k.feeds {
		if s.loading(now) {
			return
		}
		l := Named{Name: s.conf.Name}
		if s.list != nil && !s.dropped(now) {
			l.Prefixes = s.list.Prefixes
		}
		lists = append(lists, l)
	}

	same := slices.EqualFunc(lists, k.given, func(a, b Named) bool {
		return a.Name == b.Name && len(a.Prefixes) == len(b.Prefixes) &&
			(len(a.Prefixes) == 0 || &a.Prefixes[0] == &b.Prefixes[0])
	})
	if same && k.given != nil {
		return
	}

	k.given = append([]Named{}, lists...)
	k.o.Lists(k.given)
}
