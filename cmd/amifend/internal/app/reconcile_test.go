package app

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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
	return &played{snap: &journal.Snapshot{Open: map[journal.Key]journal.Open{}, Lifted: map[journal.Key]journal.Tombstone{}}}
}

func keyed(prefix string) key { return key{netip.MustParsePrefix(prefix), all} }

// agree has kernel and journal compared, and waits for it.
func (w *workshop) agree() {
	w.inquiry.want()
	w.pass(reconcileLeast + time.Second)
}

func TestReconcile(t *testing.T) {
	open := func(left time.Duration) journal.Open { return journal.Open{Rule: "score", Left: left, Whole: left} }
	const one = "192.0.2.1/32"
	for name, test := range map[string]struct {
		arrange func(w *workshop, p *played)
		want    []string
		left    time.Duration // of the first, if there is one
		news    int
	}{
		"nothing": {arrange: func(*workshop, *played) {}},
		"only the kernel": {func(w *workshop, _ *played) {
			w.kernel.elems[keyed(one)] = time.Now().Add(time.Hour)
		}, []string{"192.0.2.1 all"}, time.Hour, 1},
		"only the journal": {func(_ *workshop, p *played) {
			p.snap.Open[keyed(one).journal()] = open(time.Hour)
		}, []string{"192.0.2.1 all"}, time.Hour, 1},
		"both, until when the journal says": {func(w *workshop, p *played) {
			w.kernel.elems[keyed(one)] = time.Now().Add(9 * time.Hour)
			p.snap.Open[keyed(one).journal()] = open(time.Hour)
		}, []string{"192.0.2.1 all"}, time.Hour, 1},
		"lifted": {func(w *workshop, p *played) {
			w.kernel.elems[keyed(one)] = time.Now().Add(time.Hour)
			p.snap.Lifted[keyed(one).journal()] = journal.Tombstone{By: "operator"}
		}, nil, 0, 0},
		"adopted before the journal could be read, and lifted": {func(w *workshop, p *played) {
			w.kernel.elems[keyed(one)] = time.Now().Add(time.Hour)
			b := testBan(w.clock, one, all, time.Hour)
			b.Rule = policy.RuleAdopted
			p.snap.Lifted[keyed(one).journal()] = journal.Tombstone{By: "operator"}
			w.kernel.set(func() { w.ledger.adopt(b, w.clock.now()) })
			w.doubts.wake <- struct{}{} // hands it over
			w.pass(time.Minute)
		}, nil, 0, 1},
		"decided after it was lifted": {func(w *workshop, p *played) {
			p.snap.Lifted[keyed(one).journal()] = journal.Tombstone{By: "operator"}
			w.order(one, all, time.Hour)
			w.pass(time.Minute)
		}, []string{"192.0.2.1 all"}, 59 * time.Minute, 0},
		"the journal's end counts for what is known": {func(w *workshop, p *played) {
			w.order(one, all, time.Hour)
			w.pass(time.Minute)
			p.snap.Open[keyed(one).journal()] = open(10 * time.Minute)
		}, []string{"192.0.2.1 all"}, 10 * time.Minute, 0},
		"a new ban is left alone": {func(w *workshop, p *played) {
			p.snap.Open[keyed(one).journal()] = open(10 * time.Minute)
			w.pass(time.Second)
			w.order(one, all, time.Hour)
		}, []string{"192.0.2.1 all"}, time.Hour, 0},
		"the journal cannot be read": {func(w *workshop, p *played) {
			w.kernel.elems[keyed(one)] = time.Now().Add(time.Hour)
			p.snap = nil
		}, []string{"192.0.2.1 all"}, time.Hour, 0},
		"it would never end": {func(w *workshop, _ *played) {
			w.kernel.elems[keyed(one)] = time.Now().Add(time.Hour)
			w.kernel.elems[key{netip.MustParsePrefix("192.0.2.9/24"), all}] = time.Now().Add(time.Hour)
		}, []string{"192.0.2.1 all"}, time.Hour, 1},
	} {
		t.Run(name, func(t *testing.T) {
			inWorkshop(t, func(t *testing.T, w *workshop) {
				p := newPlayed()
				w.pass(time.Second)
				w.kernel.set(func() { w.inquiry.memory = p })
				w.inquiry.asked = w.clock.now() // so that nothing is asked before agree
				test.arrange(w, p)
				w.agree()
				w.want(t, test.want...)
				if p.asks == 0 {
					t.Fatal("the journal was not asked")
				}
				if test.want != nil {
					if d := time.Until(w.kernel.elems[keyed(one)]) - test.left; d > slack || d < -30*time.Second {
						t.Errorf("%s are left, want %s", d+test.left, test.left)
					}
				}
				if n := len(w.news.take()); n != test.news {
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
		w.kernel.set(func() { w.inquiry.memory = p })
		w.agree()
		asked := p.count()
		w.pass(reconcileLeast + time.Second)
		if asked == 0 || p.count() != asked+1 {
			t.Errorf("asked %d times, then %d", asked, p.count())
		}
		p.mu.Lock()
		p.snap = newPlayed().snap
		p.snap.Open[keyed("192.0.2.1/32").journal()] = journal.Open{Rule: "score", Left: time.Hour, Whole: time.Hour}
		p.mu.Unlock()
		w.pass(reconcileLeast + time.Second)
		w.want(t, "192.0.2.1 all")
	})
}

// What is lifted while the journal is asked does not come back by its answer.
func TestLiftedWhileTheJournalIsAsked(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		p := newPlayed()
		w.order("192.0.2.1/32", all, time.Hour)
		p.snap.Open[keyed("192.0.2.1/32").journal()] = journal.Open{Left: time.Hour, Whole: time.Hour}
		w.ledger.gone, w.inquiry.open, w.inquiry.asked = map[key]struct{}{}, true, w.clock.now()
		w.lift("192.0.2.1/32")
		p.snap.At = time.Now()
		w.inquiry.answers <- p.snap
		synctest.Wait()
		w.want(t)
		if w.inquiry.open || w.ledger.gone != nil {
			t.Error("the question is still open")
		}
	})
}

// A lift that was ordered and not yet obeyed when the answer came counts, too.
func TestLiftedAsTheJournalAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorkshop() // its enforcer does not run: what comes first is certain
		b := testBan(w.clock, "192.0.2.1/32", all, time.Hour)
		w.ledger.ban(b)
		w.work(t.Context())
		w.want(t, "192.0.2.1 all")
		p := newPlayed()
		p.snap.Open[b.key().journal()] = journal.Open{Left: time.Hour, Whole: time.Hour}
		p.snap.At = time.Now()
		w.ledger.gone, w.inquiry.open = map[key]struct{}{}, true
		w.orders.put(b.Prefix, order{lift: true, why: "operator"})
		w.reconcile(t.Context(), p.snap)
		w.work(t.Context())
		w.want(t)
		if n := len(w.news.take()); n != 0 || w.ledger.gone != nil {
			t.Errorf("the engine is told of %d; %v", n, w.ledger.gone)
		}
	})
}
