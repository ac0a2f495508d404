package app

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go4.org/netipx"

	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/firewall"
)

// fakeTable is a kernel whose failures a test writes.
type fakeTable struct {
	mu       sync.Mutex
	elems    map[key]time.Time // until
	packets  map[key]uint64
	uncount  bool // no counters
	allow    []netip.Prefix
	deny     []*netipx.IPSet // one for each SetDeny
	size     int             // of a set; 0: no limit
	gone     bool            // somebody deleted the table
	rules    bool            // the rules are there
	fail     []error         // of the next calls of Ensure and Apply, in order; nil: none
	broken   error           // of all calls of Ensure and Apply
	applied  []int           // how many changes each Apply had
	attempts int             // calls of Ensure and Apply
	gate     chan struct{}
}

func newFakeTable() *fakeTable {
	return &fakeTable{elems: make(map[key]time.Time), packets: make(map[key]uint64)}
}

func (f *fakeTable) next() error {
	f.attempts++
	if f.broken != nil {
		return f.broken
	}
	if len(f.fail) == 0 {
		return nil
	}
	err := f.fail[0]
	f.fail = f.fail[1:]
	return err
}

func (f *fakeTable) Ensure(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.next(); err != nil {
		return err
	}
	f.gone, f.rules = false, true
	return nil
}

func (f *fakeTable) SetAllow(_ context.Context, allow []netip.Prefix) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.allow = allow
	if f.gone {
		return firewall.ErrGone
	}
	return nil
}

func (f *fakeTable) Apply(ctx context.Context, changes []firewall.Change) ([]firewall.Rejected, error) {
	if f.gate != nil {
		select {
		case <-f.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applied = append(f.applied, len(changes))
	if err := f.next(); err != nil {
		return nil, err
	}
	if f.gone {
		return nil, firewall.ErrGone
	}
	f.expire()
	var rejected []firewall.Rejected
	for _, c := range changes {
		k := key{c.Prefix, c.Scope}
		if c.Lift || !c.Until.After(time.Now()) {
			delete(f.elems, k)
		}
	}
	for _, c := range changes {
		k := key{c.Prefix, c.Scope}
		if _, there := f.elems[k]; c.Lift || !there && f.size > 0 && f.inClass(k.class()) >= f.size {
			if !c.Lift {
				rejected = append(rejected, firewall.Rejected{Change: c, Err: firewall.ErrFull})
			}
			continue
		}
		f.elems[k] = c.Until
	}
	return rejected, nil
}

func (f *fakeTable) inClass(c class) (n int) {
	for k := range f.elems {
		if k.class() == c {
			n++
		}
	}
	return n
}

func (f *fakeTable) expire() {
	maps.DeleteFunc(f.elems, func(_ key, until time.Time) bool { return !until.After(time.Now()) })
}

func (f *fakeTable) Bans(context.Context) ([]firewall.Element, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.expire()
	if f.gone {
		return nil, firewall.ErrGone
	}
	var out []firewall.Element
	for k := range f.elems {
		out = append(out, f.element(k))
	}
	return out, nil
}

func (f *fakeTable) element(k key) firewall.Element {
	left := time.Until(f.elems[k])
	return firewall.Element{Prefix: k.prefix, Scope: k.scope, Timeout: left, Expires: left, Packets: f.packets[k], Counted: !f.uncount}
}

func (f *fakeTable) Element(_ context.Context, p netip.Prefix, s firewall.Scope) (firewall.Element, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := key{p, s}
	_, ok := f.elems[k]
	if !ok {
		return firewall.Element{}, false, nil
	}
	return f.element(k), true, nil
}

// SetDeny, Denied, String, Close and Watch make it a watchedTable.
func (f *fakeTable) SetDeny(_ context.Context, prefixes []netip.Prefix) error {
	var b netipx.IPSetBuilder
	for _, p := range prefixes {
		b.AddPrefix(p)
	}
	deny, err := b.IPSet()
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.next(); err != nil {
		return err
	}
	f.deny = append(f.deny, deny)
	return nil
}

func (*fakeTable) Denied(context.Context) (firewall.Denied, error) { return firewall.Denied{}, nil }

func (*fakeTable) String() string                            { return "a fake" }
func (*fakeTable) Close() error                              { return nil }
func (*fakeTable) Watch(ctx context.Context, _ func()) error { <-ctx.Done(); return nil }

// has tells which elements there are, as source/scope.
func (f *fakeTable) has() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.expire()
	out := []string{}
	for k := range f.elems {
		out = append(out, source(k.prefix)+" "+k.scope.String())
	}
	slices.Sort(out)
	return out
}

// set changes the fake while others use it.
func (f *fakeTable) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// workshop is an enforcer at work on a fake kernel, within a synctest bubble.
type workshop struct {
	*enforcer
	kernel *fakeTable
	said   *logbook
	stop   func()
}

// inWorkshop runs a test with an enforcer that is running. Time is synctest's.
func inWorkshop(t *testing.T, test func(t *testing.T, w *workshop)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorkshop()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.run(ctx)
		}()
		w.stop = func() {
			cancel()
			<-done
		}
		defer w.stop()
		synctest.Wait()
		test(t, w)
	})
}

func newWorkshop() *workshop {
	kernel := newFakeTable()
	said, log := newJournal()
	return &workshop{enforcer: newEnforcer(kernel, newClock(), log), kernel: kernel, said: said}
}

func testBan(c clock, prefix string, scope firewall.Scope, d time.Duration) Ban {
	now := c.now()
	return Ban{
		Prefix: netip.MustParsePrefix(prefix), Scope: scope, Rule: "score", Score: 4, Attempts: 4, Strike: 1,
		Evidence: `pbx: InvalidAccountID "100"`, Decided: c.wallTime(now), Duration: d, until: now + int64(d),
	}
}

// order gives an order to ban, and waits until it is dealt with.
func (w *workshop) order(prefix string, scope firewall.Scope, d time.Duration) {
	b := testBan(w.clock, prefix, scope, d)
	w.orders.put(b.Prefix, order{ban: &b})
	synctest.Wait()
}

// pass lets time pass.
func (*workshop) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *workshop) lift(prefix string) {
	w.orders.put(netip.MustParsePrefix(prefix), order{lift: true, why: "proved"})
	synctest.Wait()
}

// want fails the test unless the kernel has exactly these elements.
func (w *workshop) want(t *testing.T, elements ...string) {
	t.Helper()
	if elements == nil {
		elements = []string{}
	}
	if got := w.kernel.has(); !slices.Equal(got, elements) {
		t.Fatalf("the kernel has %q, want %q\n%s", got, elements, w.said)
	}
}

func protectNothing() protect.Set { return protect.Set{} }
