package limiter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// kernel is a table that records what it was told. Its leases end as those of the kernel do.
type kernel struct {
	mu    sync.Mutex
	size  int
	err   error
	known map[netip.Addr]bool
	until time.Time
	drops bool
	least int // of the known while it was armed to drop
}

func (k *kernel) Limiter() firewall.LimiterSupport {
	return firewall.LimiterSupport{Limits: true, Streams: true}
}

func (k *kernel) ArmLimiter(_ context.Context, drop bool, d time.Duration) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		return k.err
	}
	k.until, k.drops = time.Now().Add(d), drop
	if drop && d > 0 {
		k.least = min(k.least, len(k.known))
	}
	return nil
}

func (k *kernel) ChangeKnown(_ context.Context, add, remove []netip.Addr) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		return k.err
	}
	next := maps.Clone(k.known)
	for _, a := range remove {
		delete(next, firewall.LimitedPrefix(a).Addr())
	}
	for _, a := range add {
		next[firewall.LimitedPrefix(a).Addr()] = true
	}
	if len(next) > k.size {
		return firewall.ErrFull
	}
	k.known = next
	return nil
}

func (k *kernel) ResetLimiter(context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		return k.err
	}
	k.known, k.until, k.drops = map[netip.Addr]bool{}, time.Time{}, false
	return nil
}

func (k *kernel) LimiterCounts(context.Context) (firewall.LimiterCounts, error) {
	return firewall.LimiterCounts{Dropped: 7}, nil
}

func (k *kernel) Limited(_ context.Context, visit func(firewall.Limited)) error {
	for _, l := range limited() {
		visit(l)
	}
	return nil
}

func (k *kernel) LimitedOf(context.Context, netip.Addr) ([]firewall.Limited, error) {
	return limited(), nil
}

func limited() []firewall.Limited {
	return []firewall.Limited{{Source: netip.MustParsePrefix("192.0.2.66/32"), Packets: 7}}
}

// state returns what the kernel does now, and who is known.
func (k *kernel) state() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	what := "off"
	if time.Now().Before(k.until) {
		what = map[bool]string{false: "observes", true: "drops"}[k.drops]
	}
	var known []string
	for a := range k.known {
		known = append(known, a.String())
	}
	slices.Sort(known)
	return strings.TrimSpace(what + " " + strings.Join(known, " "))
}

func (k *kernel) fail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = err
}

// bench is a limiter at work.
type bench struct {
	*Limiter
	*kernel
	said   *logtest.Book
	proved atomic.Pointer[[]policy.Proof]
	cancel context.CancelFunc
	done   chan struct{}
}

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

// inBench runs a test with a limiter that drops, in a bubble of synctest.
func inBench(t *testing.T, size int, proved []policy.Proof, test func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		said, log := logtest.New()
		b := &bench{
			said: said, done: make(chan struct{}),
			kernel: &kernel{size: size, known: map[netip.Addr]bool{}, least: 1 << 30},
		}
		b.proved.Store(&proved)
		b.Limiter = New(Options{
			Table: b.kernel, Drop: true, Size: size, Clock: clock.New(), Log: log,
			Proved: func(context.Context) ([]policy.Proof, error) { return *b.proved.Load(), nil },
		})
		ctx, cancel := context.WithCancel(t.Context())
		b.cancel = cancel
		go func() {
			defer close(b.done)
			b.Run(ctx)
		}()
		synctest.Wait()
		defer func() { cancel(); <-b.done }()
		test(t, b)
	})
}

func (b *bench) prove(proved []policy.Proof) { b.proved.Store(&proved) }

func (b *bench) want(t *testing.T, state string) {
	t.Helper()
	synctest.Wait()
	if got := b.state(); got != state {
		t.Errorf("the kernel: %s, want %s\n%s", got, state, b.said)
	}
}

// The sources that proved themselves in earlier runs are known before the kernel drops anything, and
// a new one with its login. When the daemon ends in order, the limiter does at once.
func TestKnownBeforeArmed(t *testing.T) {
	proved := []policy.Proof{{Addr: addr("192.0.2.1"), At: 1}, {Addr: addr("2001:db8::7"), At: 1}}
	inBench(t, 100, proved, func(t *testing.T, b *bench) {
		b.want(t, "drops 192.0.2.1 2001:db8::")
		if b.least != 2 {
			t.Errorf("it dropped with %d known", b.least)
		}
		b.Note(addr("192.0.2.9"))
		b.Note(addr("::ffff:192.0.2.10"))
		b.Note(addr("2001:db8::8"))
		b.want(t, "drops 192.0.2.1 192.0.2.10 192.0.2.9 2001:db8::")
		if st := b.Status(); !st.On || !st.Drops || st.Known != 4 || st.Problem != "" || st.Counts.Dropped != 7 {
			t.Errorf("%+v", st)
		}

		// It is armed all the time.
		for range 20 {
			time.Sleep(7 * time.Second)
			b.want(t, "drops 192.0.2.1 192.0.2.10 192.0.2.9 2001:db8::")
		}
		b.cancel()
		<-b.done
		b.want(t, "off 192.0.2.1 192.0.2.10 192.0.2.9 2001:db8::")
	})
}

// A daemon that is killed arms nothing any more.
func TestLeaseEnds(t *testing.T) {
	inBench(t, 100, nil, func(t *testing.T, b *bench) {
		b.want(t, "drops")
		b.fail(errors.New("the daemon hangs"))
		time.Sleep(Lease + time.Second)
		b.want(t, "off")
		if st := b.Status(); st.Drops || !strings.Contains(st.Problem, "hangs") {
			t.Errorf("%+v", st)
		}
		b.fail(nil)
		time.Sleep(2 * retry)
		b.want(t, "drops")
		if st := b.Status(); !st.Drops || st.Problem != "" {
			t.Errorf("%+v", st)
		}
		if n := strings.Count(b.said.String(), "does not work\""); n > 1 {
			t.Errorf("it was logged %d times", n)
		}
	})
}

// A table that others emptied gets all known sources before it is armed.
func TestLaidOutAnew(t *testing.T) {
	inBench(t, 100, []policy.Proof{{Addr: addr("192.0.2.1"), At: 1}}, func(t *testing.T, b *bench) {
		b.Note(addr("192.0.2.9"))
		b.want(t, "drops 192.0.2.1 192.0.2.9")
		b.least = 1 << 30
		more := append(*b.proved.Load(), policy.Proof{Addr: addr("192.0.2.9"), At: 2})
		b.proved.Store(&more)

		b.kernel.mu.Lock()
		b.kernel.known, b.until = map[netip.Addr]bool{}, time.Time{}
		b.kernel.mu.Unlock()
		b.LaidOut()
		b.want(t, "drops 192.0.2.1 192.0.2.9")
		if b.least != 2 {
			t.Errorf("it dropped with %d known", b.least)
		}
	})
}

// A source whose proof has ended is a stranger again, and not because it was left out once.
func TestProofEnds(t *testing.T) {
	proved := []policy.Proof{{Addr: addr("192.0.2.1"), At: 1}, {Addr: addr("192.0.2.2"), At: 1}}
	inBench(t, 100, proved, func(t *testing.T, b *bench) {
		b.prove(proved[:1])
		time.Sleep(syncEach + beat)
		b.want(t, "drops 192.0.2.1 192.0.2.2")
		b.prove(proved)
		time.Sleep(syncEach + beat)
		b.prove(proved[:1])
		time.Sleep(syncEach + beat)
		b.want(t, "drops 192.0.2.1 192.0.2.2")
		time.Sleep(syncEach + beat)
		b.want(t, "drops 192.0.2.1")
	})
}

// More sources than the kernel has room for: those that were quiet longest leave, and it only
// observes.
func TestCrowded(t *testing.T) {
	var proved []policy.Proof
	for i := range 10 {
		proved = append(proved, policy.Proof{Addr: addr(fmt.Sprintf("192.0.2.%d", i)), At: int64(i)})
	}
	inBench(t, 8, proved[:8], func(t *testing.T, b *bench) {
		b.want(t, "drops 192.0.2.0 192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5 192.0.2.6 192.0.2.7")
		b.Note(addr("192.0.2.0")) // is not the quietest any more
		synctest.Wait()
		b.Note(addr("192.0.2.8"))
		b.want(t, "observes 192.0.2.0 192.0.2.5 192.0.2.6 192.0.2.7 192.0.2.8")
		if st := b.Status(); !strings.Contains(st.Problem, "only observes") || !st.On || st.Drops {
			t.Errorf("%+v", st)
		}
		if !strings.Contains(b.said.String(), "only observes") {
			t.Errorf("the log has nothing of it:\n%s", b.said)
		}

		// It goes on while there are too many, and drops again when there are not.
		b.prove(proved)
		time.Sleep(2 * (syncEach + beat))
		synctest.Wait()
		if got := b.state(); !strings.HasPrefix(got, "observes") {
			t.Error(got)
		}
		b.prove(proved[:2])
		time.Sleep(3 * (syncEach + beat))
		b.want(t, "drops 192.0.2.0 192.0.2.1")
	})
}

// Others fill the kernel's set: nobody is dropped then.
func TestFullByOthers(t *testing.T) {
	proved := []policy.Proof{{Addr: addr("192.0.2.1"), At: 1}, {Addr: addr("192.0.2.2"), At: 1}}
	inBench(t, 100, proved, func(t *testing.T, b *bench) {
		b.kernel.mu.Lock()
		b.size = 2
		b.kernel.mu.Unlock()
		b.Note(addr("192.0.2.3"))
		b.want(t, "observes 192.0.2.1 192.0.2.2")
	})
}

func TestSetDrop(t *testing.T) {
	inBench(t, 100, nil, func(t *testing.T, b *bench) {
		b.SetDrop(false)
		b.want(t, "observes")
		if b.Status().Drops {
			t.Error("the status says that it drops")
		}
		b.SetDrop(true)
		b.want(t, "drops")
	})
}

// Logins that find no room are made up for.
func TestLostLogins(t *testing.T) {
	inBench(t, 100_000, nil, func(t *testing.T, b *bench) {
		var proved []policy.Proof
		for i := range 3 * queue {
			a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
			proved = append(proved, policy.Proof{Addr: a, At: 1})
		}
		b.proved.Store(&proved)
		b.kernel.mu.Lock() // the goroutine waits for the kernel
		for _, p := range proved {
			b.Note(p.Addr)
		}
		b.kernel.mu.Unlock()
		synctest.Wait()
		time.Sleep(time.Second)
		synctest.Wait()
		if n := b.Status().Known; n != 3*queue {
			t.Errorf("%d of %d are known", n, 3*queue)
		}
	})
}

func TestOff(t *testing.T) {
	_, log := logtest.New()
	l := New(Options{Off: "it is a dry run", Log: log, Clock: clock.New()})
	l.Note(addr("192.0.2.1"))
	l.Run(t.Context())
	if st := l.Status(); st.On || st.Problem != "it is a dry run" {
		t.Errorf("%+v", st)
	}
	all, err := l.Limited(t.Context())
	one, err2 := l.Of(t.Context(), addr("192.0.2.1"))
	if len(all)+len(one) > 0 || err != nil || err2 != nil {
		t.Errorf("%v, %v; %v, %v", all, err, one, err2)
	}
}

func TestNoteAllocatesNothing(t *testing.T) {
	l := New(Options{Table: &kernel{}, Clock: clock.New()})
	a := addr("192.0.2.1")
	if n := testing.AllocsPerRun(1000, func() {
		l.Note(a)
		<-l.logins
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
