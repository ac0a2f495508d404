package enforce

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/compact"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce/enforcetest"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/policy"
)

// played is a journal whose answers a test writes.
type played struct {
	mu   sync.Mutex
	snap *journal.Snapshot
	asks int
}

func (p *played) Snapshot(context.Context) (*journal.Snapshot, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asks++
	if p.snap == nil {
		return nil, errors.New("its disk is gone")
	}
	s := *p.snap
	s.At = time.Now()
	return &s, nil
}

func (p *played) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asks
}

func newPlayed() *played {
	return &played{
		snap: &journal.Snapshot{
			Open: map[compact.Key]journal.Open{}, Lifted: map[compact.Key]*journal.Tombstone{},
		},
	}
}

func keyed(prefix string) bans.Key { return enforcetest.Key(prefix, all) }

// agree has kernel and journal compared, and waits for it.
func (w *workshop) agree() {
	w.compare.Set(struct{}{})
	w.pass(compareLeast + time.Second)
}

func TestReconcile(t *testing.T) {
	open := func(left time.Duration) journal.Open {
		return journal.Open{Cause: &journal.Cause{Rule: "score"}, Left: left, Whole: left}
	}
	const one = "192.0.2.1/32"
	for name, test := range map[string]struct {
		arrange func(w *workshop, p *played)
		want    []string
		left    time.Duration // of the first, if there is one
		news    int
	}{
		"nothing": {arrange: func(*workshop, *played) {}},
		"only the kernel": {func(w *workshop, _ *played) {
			w.kernel.Elems[keyed(one)] = time.Now().Add(time.Hour)
		}, []string{"192.0.2.1 all"}, time.Hour, 1},
		"only the journal": {func(_ *workshop, p *played) {
			p.snap.Open[keyed(one).Journal().Compact()] = open(time.Hour)
		}, []string{"192.0.2.1 all"}, time.Hour, 1},
		"both, until when the journal says": {func(w *workshop, p *played) {
			w.kernel.Elems[keyed(one)] = time.Now().Add(9 * time.Hour)
			p.snap.Open[keyed(one).Journal().Compact()] = open(time.Hour)
		}, []string{"192.0.2.1 all"}, time.Hour, 1},
		"lifted": {func(w *workshop, p *played) {
			w.kernel.Elems[keyed(one)] = time.Now().Add(time.Hour)
			p.snap.Lifted[keyed(one).Journal().Compact()] = &journal.Tombstone{By: "operator"}
		}, nil, 0, 0},
		"adopted before the journal could be read, and lifted": {func(w *workshop, p *played) {
			w.kernel.Elems[keyed(one)] = time.Now().Add(time.Hour)
			b := enforcetest.Ban(w.clock, one, all, time.Hour)
			b.Rule = policy.RuleAdopted.String()
			p.snap.Lifted[keyed(one).Journal().Compact()] = &journal.Tombstone{By: "operator"}
			w.kernel.Set(func() { w.ledger.adopt(&b, w.clock.Now()) })
			w.mail.Doubts.Wake() // hands it over
			w.pass(time.Minute)
		}, nil, 0, 1},
		"decided after it was lifted": {func(w *workshop, p *played) {
			p.snap.Lifted[keyed(one).Journal().Compact()] = &journal.Tombstone{By: "operator"}
			w.order(one, all, time.Hour)
			w.pass(time.Minute)
		}, []string{"192.0.2.1 all"}, 59 * time.Minute, 0},
		"the journal's end counts for what is known": {func(w *workshop, p *played) {
			w.order(one, all, time.Hour)
			w.pass(time.Minute)
			p.snap.Open[keyed(one).Journal().Compact()] = open(10 * time.Minute)
		}, []string{"192.0.2.1 all"}, 10 * time.Minute, 0},
		"a new ban is left alone": {func(w *workshop, p *played) {
			p.snap.Open[keyed(one).Journal().Compact()] = open(10 * time.Minute)
			w.pass(time.Second)
			w.order(one, all, time.Hour)
		}, []string{"192.0.2.1 all"}, time.Hour, 0},
		"the journal cannot be read": {func(w *workshop, p *played) {
			w.kernel.Elems[keyed(one)] = time.Now().Add(time.Hour)
			p.snap = nil
		}, []string{"192.0.2.1 all"}, time.Hour, 0},
		"it would never end": {func(w *workshop, _ *played) {
			w.kernel.Elems[keyed(one)] = time.Now().Add(time.Hour)
			w.kernel.Elems[enforcetest.Key("192.0.2.9/24", all)] = time.Now().Add(time.Hour)
		}, []string{"192.0.2.1 all"}, time.Hour, 1},
	} {
		t.Run(name, func(t *testing.T) {
			inWorkshop(t, func(t *testing.T, w *workshop) {
				p := newPlayed()
				w.pass(time.Second)
				w.kernel.Set(func() { w.comparison.journal = p })
				w.comparison.asked = w.clock.Now() // so that nothing is asked before agree
				test.arrange(w, p)
				w.agree()
				w.want(t, test.want...)
				if p.asks == 0 {
					t.Fatal("the journal was not asked")
				}

				if test.want != nil {
					if d := time.Until(w.kernel.Elems[keyed(one)]) - test.left; d > slack ||
						d < -30*time.Second {
						t.Errorf("%s are left, want %s", d+test.left, test.left)
					}
				}
				if n := len(w.mail.External.Take()); n != test.news {
					t.Errorf("the engine is told of %d, want %d", n, test.news)
				}
			})
		})
	}
}

// A journal that cannot answer is asked again soon.
func TestAskedAgain(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		p := &played{}
		w.kernel.Set(func() { w.comparison.journal = p })
		w.agree()
		asked := p.count()
		w.pass(compareLeast + time.Second)
		if asked == 0 || p.count() != asked+1 {
			t.Errorf("asked %d times, then %d", asked, p.count())
		}

		p.mu.Lock()
		p.snap = newPlayed().snap
		p.snap.Open[keyed("192.0.2.1/32").Journal().Compact()] = journal.Open{
			Cause: &journal.Cause{Rule: "score"}, Left: time.Hour, Whole: time.Hour,
		}
		p.mu.Unlock()
		w.pass(compareLeast + time.Second)
		w.want(t, "192.0.2.1 all")
	})
}

// What is lifted while the journal is asked does not come back by its answer.
func TestLiftedWhileTheJournalIsAsked(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		p := newPlayed()
		w.order("192.0.2.1/32", all, time.Hour)
		p.snap.Open[keyed("192.0.2.1/32").Journal().Compact()] = journal.Open{
			Cause: &journal.Cause{}, Left: time.Hour, Whole: time.Hour,
		}

		// The journal is asked now.
		w.ledger.liftedSince = map[compact.Key]struct{}{}
		w.comparison.open, w.comparison.asked = true, w.clock.Now()
		w.lift("192.0.2.1/32")
		p.snap.At = time.Now()
		w.comparison.answers <- compared{
			snap: p.snap, keys: slices.Collect(maps.Keys(p.snap.Open)), began: w.clock.Now(),
			read: time.Now(),
		}
		synctest.Wait()
		w.want(t)
		if w.comparison.open || w.ledger.liftedSince != nil {
			t.Error("the question is still open")
		}
	})
}

// A lift that was ordered and not yet obeyed when the answer came counts, too.
func TestLiftedAsTheJournalAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorkshop() // its enforcer does not run: what comes first is certain
		b := enforcetest.Ban(w.clock, "192.0.2.1/32", all, time.Hour)
		w.ledger.ban(&b)
		w.work(t.Context())
		w.want(t, "192.0.2.1 all")
		p := newPlayed()
		p.snap.Open[b.Key().Journal().Compact()] = journal.Open{
			Cause: &journal.Cause{}, Left: time.Hour, Whole: time.Hour,
		}
		p.snap.At = time.Now()
		w.ledger.liftedSince = map[compact.Key]struct{}{}
		w.comparison.open = true
		w.mail.Orders.Put(b.Prefix, bans.Order{Lift: true, Why: "operator"})
		elements, err := w.kernel.Elements(t.Context())
		w.reconcile(t.Context(), compared{
			snap: p.snap, elements: elements, keys: slices.Collect(maps.Keys(p.snap.Open)),
			began: w.clock.Now(), read: time.Now(), err: err,
		})
		for w.work(t.Context()); w.busy(); w.work(t.Context()) {
		}
		w.want(t)
		if n := len(w.mail.External.Take()); n != 0 || w.ledger.liftedSince != nil {
			t.Errorf("the engine is told of %d; %v", n, w.ledger.liftedSince)
		}
	})
}

// Bans of one prefix in two scopes: the wider one is enough, if it lasts.
func TestNeedless(t *testing.T) {
	p := netip.MustParsePrefix("203.0.113.5/32")
	wide, narrow := compact.Of(p, all), compact.Of(p, sip)
	other := compact.Of(p, stream)
	for _, tt := range []struct {
		name         string
		wide, narrow time.Duration
		want         bool
	}{{"wider and longer", 2, 1, true}, {"equal", 1, 1, true}, {"shorter", 1, 2, false}} {
		snap := &journal.Snapshot{Open: map[compact.Key]journal.Open{
			wide: {Left: tt.wide}, narrow: {Left: tt.narrow}, other: {Left: tt.narrow},
		}}
		if got := needless(other, snap.Open[other], snap); got != tt.want {
			t.Errorf("%s, scope stream: %v", tt.name, got)
		}
		if got := needless(narrow, snap.Open[narrow], snap); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
		if needless(wide, snap.Open[wide], snap) {
			t.Errorf("%s: the wide one is needless", tt.name)
		}

		// Neither of the two narrow ones covers the other.
		delete(snap.Open, wide)
		if needless(narrow, snap.Open[narrow], snap) || needless(other, snap.Open[other], snap) {
			t.Errorf("%s: without the wide one a narrow one is needless", tt.name)
		}
	}
}
