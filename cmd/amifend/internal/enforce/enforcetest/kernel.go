// Package enforcetest provides a kernel that a test can make fail.
package enforcetest

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"go4.org/netipx"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/firewall"
)

// Kernel is a table that a test can break. Its fields are set before it is used, or by Set.
type Kernel struct {
	mu       sync.Mutex
	Elems    map[bans.Key]time.Time // until
	Packets  map[bans.Key]uint64
	Uncount  bool // no counters
	Allow    []netip.Prefix
	Deny     []*netipx.IPSet // one for each SetDeny
	Feeds    map[string]*netipx.IPSet
	Size     int  // of a set; 0: no limit
	Gone     bool // somebody deleted the table
	Rules    bool // the rules are there
	Ports    firewall.Ports
	Fail     []error // of the next calls of Ensure and Apply, in order; nil: none
	Broken   error   // of all calls of Ensure and Apply
	Applied  []int   // how many changes each Apply had
	Attempts int     // calls of Ensure and Apply
	Gate     chan struct{}
}

// NewKernel returns a kernel with nothing in it.
func NewKernel() *Kernel {
	return &Kernel{Elems: make(map[bans.Key]time.Time), Packets: make(map[bans.Key]uint64)}
}

func (k *Kernel) next() error {
	k.Attempts++
	if k.Broken != nil {
		return k.Broken
	}
	if len(k.Fail) == 0 {
		return nil
	}

	err := k.Fail[0]
	k.Fail = k.Fail[1:]
	return err
}

// Ensure puts the table and its rules there.
func (k *Kernel) Ensure(context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.next(); err != nil {
		return err
	}
	k.Gone, k.Rules = false, true
	return nil
}

// Clear lifts all bans, and puts the table and its rules there.
func (k *Kernel) Clear(ctx context.Context) error {
	if err := k.Ensure(ctx); err != nil {
		return err
	}
	k.Set(func() { clear(k.Elems) })
	return nil
}

// SetAllow sets Allow, also while the table is gone.
func (k *Kernel) SetAllow(_ context.Context, allow []netip.Prefix) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.Allow = allow
	if k.Gone {
		return firewall.ErrGone
	}
	return nil
}

// SetPorts sets Ports.
func (k *Kernel) SetPorts(_ context.Context, ports firewall.Ports) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.Ports = ports
	return nil
}

// Apply changes Elems, when Gate is open.
func (k *Kernel) Apply(
	ctx context.Context, changes []firewall.Change,
) ([]firewall.Rejected, error) {
	if err := k.pass(ctx); err != nil {
		return nil, err
	}

	k.mu.Lock()
	defer k.mu.Unlock()

	k.Applied = append(k.Applied, len(changes))
	if err := k.next(); err != nil {
		return nil, err
	}

	if k.Gone {
		return nil, firewall.ErrGone
	}

	// What is taken out makes room for what is added in the same call.
	k.expire()
	for _, c := range changes {
		if c.Lift || !c.Until.After(time.Now()) {
			delete(k.Elems, bans.Key{Prefix: c.Prefix, Scope: c.Scope})
		}
	}

	// The refresh of an element needs no room.
	var rejected []firewall.Rejected
	for _, c := range changes {
		if c.Lift {
			continue
		}

		key := bans.Key{Prefix: c.Prefix, Scope: c.Scope}
		if _, there := k.Elems[key]; !there && k.Size > 0 && k.inSet(key.Set()) >= k.Size {
			rejected = append(rejected, firewall.Rejected{Change: c, Err: firewall.ErrFull})
			continue
		}
		k.Elems[key] = c.Until
	}

	return rejected, nil
}

func (k *Kernel) inSet(s bans.Set) (n int) {
	for key := range k.Elems {
		if key.Set() == s {
			n++
		}
	}
	return n
}

func (k *Kernel) expire() {
	maps.DeleteFunc(k.Elems, func(_ bans.Key, until time.Time) bool {
		return !until.After(time.Now())
	})
}

// Elements returns all elements.
func (k *Kernel) Elements(context.Context) (*firewall.Elements, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire()
	if k.Gone {
		return nil, firewall.ErrGone
	}

	var out []firewall.Element
	for key := range k.Elems {
		out = append(out, k.element(key))
	}

	return firewall.NewElements(out...), nil
}

func (k *Kernel) element(key bans.Key) firewall.Element {
	left := time.Until(k.Elems[key])
	return firewall.Element{
		Prefix: key.Prefix, Scope: key.Scope, Timeout: left, Expires: left,
		Packets: k.Packets[key], Counted: !k.Uncount,
	}
}

// Element returns one element.
func (k *Kernel) Element(
	_ context.Context, p netip.Prefix, s firewall.Scope,
) (firewall.Element, bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.Gone {
		return firewall.Element{}, false, firewall.ErrGone
	}
	key := bans.Key{Prefix: p, Scope: s}
	if _, ok := k.Elems[key]; !ok {
		return firewall.Element{}, false, nil
	}
	return k.element(key), true, nil
}

// SetDeny adds to Deny.
func (k *Kernel) SetDeny(_ context.Context, prefixes []netip.Prefix) error {
	var b netipx.IPSetBuilder
	for _, p := range prefixes {
		b.AddPrefix(p)
	}
	deny, err := b.IPSet()
	if err != nil {
		return err
	}

	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.next(); err != nil {
		return err
	}
	k.Deny = append(k.Deny, deny)
	return nil
}

// SetFeeds replaces the feeds by empty ones, but for those that stay.
func (k *Kernel) SetFeeds(_ context.Context, names []string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.next(); err != nil {
		return err
	}

	feeds := make(map[string]*netipx.IPSet)
	for _, name := range names {
		feeds[name] = k.Feeds[name]
	}
	k.Feeds = feeds
	return nil
}

// SetFeed fills a feed.
func (k *Kernel) SetFeed(_ context.Context, name string, _, prefixes []netip.Prefix) error {
	var b netipx.IPSetBuilder
	for _, p := range prefixes {
		b.AddPrefix(p)
	}
	set, err := b.IPSet()
	if err != nil {
		return err
	}

	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.next(); err != nil {
		return err
	}
	if k.Feeds == nil {
		k.Feeds = make(map[string]*netipx.IPSet)
	}
	k.Feeds[name] = set
	return nil
}

// FeedCounts returns the same for each feed.
func (k *Kernel) FeedCounts(context.Context) (map[string]firewall.Denied, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := make(map[string]firewall.Denied)
	for name := range k.Feeds {
		out[name] = firewall.Denied{Packets: 3, Bytes: 300}
	}
	return out, nil
}

// pass waits until Gate is open.
func (k *Kernel) pass(ctx context.Context) error {
	if k.Gate == nil {
		return nil
	}

	select {
	case <-k.Gate:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Dropped returns the sums of Packets, when Gate is open.
func (k *Kernel) Dropped(ctx context.Context) (map[firewall.Scope]firewall.Dropped, error) {
	if err := k.pass(ctx); err != nil {
		return nil, err
	}

	k.mu.Lock()
	defer k.mu.Unlock()
	out := make(map[firewall.Scope]firewall.Dropped)
	for key, n := range k.Packets {
		sum := out[key.Scope]
		out[key.Scope] = firewall.Dropped{Packets: sum.Packets + n, Bytes: sum.Bytes + 100*n}
	}
	return out, nil
}

// Denied returns that nothing was dropped.
func (*Kernel) Denied(context.Context) (firewall.Denied, error) { return firewall.Denied{}, nil }

func (*Kernel) String() string { return "a fake" }

// Close does nothing.
func (*Kernel) Close() error { return nil }

// Watch waits for the end of ctx.
func (*Kernel) Watch(ctx context.Context, _ func()) error { <-ctx.Done(); return nil }

// Has returns which elements there are, as "source scope".
func (k *Kernel) Has() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire()

	out := []string{}
	for key := range k.Elems {
		out = append(out, bans.Source(key.Prefix)+" "+key.Scope.String())
	}
	slices.Sort(out)
	return out
}

// Set changes the kernel while others use it.
func (k *Kernel) Set(change func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change()
}

// Ban returns a ban as the judge decides one.
func Ban(c clock.Clock, prefix string, scope firewall.Scope, d time.Duration) bans.Ban {
	now := c.Now()
	return bans.Ban{
		Prefix: netip.MustParsePrefix(prefix), Scope: scope, Rule: "score", Score: 4, Attempts: 4,
		Strike: 1, Evidence: `pbx: InvalidAccountID "100"`, Decided: c.Wall(now), Duration: d,
		Expiry: now + int64(d),
	}
}

// Key returns the key of a prefix's ban.
func Key(prefix string, scope firewall.Scope) bans.Key {
	return bans.Key{Prefix: netip.MustParsePrefix(prefix), Scope: scope}
}

// Pass lets time pass, in a bubble of synctest.
func Pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
