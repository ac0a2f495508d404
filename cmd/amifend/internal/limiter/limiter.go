// Package limiter keeps the kernel's limiter for strangers at work: it tells the kernel who has logged
// in, and who is thus no stranger.
//
//	judge ── Note ───────────→ Limiter   each successful login, as it is judged
//	judge ←─ Proved ────────── Limiter   all proved sources: at the start, and each five minutes
//	enforce ── LaidOut ──────→ Limiter   the table was laid out: its sets may be empty
//	Limiter ── ChangeKnown ──→ kernel    who is not limited
//	Limiter ── ArmLimiter ───→ kernel    the limiter works for half a minute more
//	status, metrics ←── Status ── Limiter   copied under a mutex
//
// The kernel limits nobody unless it is armed again and again. So the limiter ends when the daemon
// does, however that ends. It is armed only while the kernel knows all sources that have proved
// themselves. If there are more of them than the kernel has room for, those that were quiet longest
// leave, and the limiter only observes.
//
// What it drops is no ban: no engine decided it, nothing of it is in the journal, and it ends with the
// next second in which the source keeps to the limit.
package limiter

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

const (
	// Lease is how long the kernel limits without hearing from the daemon.
	Lease = 30 * time.Second
	// beat is how often it hears: two may be late.
	beat = Lease / 3
	// syncEach is how often all proved sources are compared with the kernel's.
	syncEach = 5 * time.Minute
	// retry is how long it waits after a failure.
	retry = time.Second
	// endTime limits how long the end waits for the kernel.
	endTime = time.Second
	// askTime limits how long the judge may take to list who is proved.
	askTime = 10 * time.Second

	// queue limits how many logins may wait. After a lost one all proved sources are compared.
	queue = 4096
	// batch limits the sources in one transaction of the kernel.
	batch = 1000
	// leaving is how many sources leave at once when there is no room: each time costs a sort.
	leaving = 1024
)

// Table is the part of the kernel's table that the limiter needs.
type Table interface {
	Limiter() firewall.LimiterSupport
	ArmLimiter(ctx context.Context, drop bool, d time.Duration) error
	ChangeKnown(ctx context.Context, add, remove []netip.Addr) error
	ResetLimiter(ctx context.Context) error
	LimiterCounts(ctx context.Context) (firewall.LimiterCounts, error)
	Limited(ctx context.Context, visit func(firewall.Limited)) error
	LimitedOf(ctx context.Context, addr netip.Addr) ([]firewall.Limited, error)
}

// Options configure a [Limiter].
type Options struct {
	Table Table // nil: there is no limiter, and Off says why
	Off   string
	Drop  bool // false: it only counts what it would drop
	Size  int  // sources of each family that the kernel has room for; 0: firewall.DefaultLimiterSize
	// Proved returns all sources that have proved themselves, and when.
	Proved func(context.Context) ([]policy.Proof, error)
	Clock  clock.Clock
	Log    *slog.Logger
}

// Status describes the limiter.
type Status struct {
	On      bool   // it counts
	Drops   bool   // and drops
	Problem string // why it is off, does not work now, or only observes; "": nothing
	Known   int    // sources that are not limited, since they logged in; of IPv6 each /64
	Counts  firewall.LimiterCounts
}

// Limiter is the goroutine that keeps the kernel's limiter at work.
type Limiter struct {
	Options
	logins  chan netip.Addr
	lost    *owner.Latest[struct{}] // a login found no room
	laidOut *owner.Latest[struct{}]
	mode    *owner.Latest[bool]

	// Of the goroutine: the known sources of IPv4 and of IPv6, and when each logged in last.
	known   [2]map[netip.Addr]int64
	missing map[netip.Addr]bool // known, and not among the proved when these were read last
	ready   bool                // the kernel has exactly the known
	crowded bool                // there is no room for all
	failing bool                // it was logged

	mu     sync.Mutex
	status Status
}

// New returns a limiter. It does nothing before [Limiter.Run].
func New(o Options) *Limiter {
	if o.Size == 0 {
		o.Size = firewall.DefaultLimiterSize
	}
	l := &Limiter{
		Options: o, logins: make(chan netip.Addr, queue), lost: owner.NewLatest[struct{}](),
		laidOut: owner.NewLatest[struct{}](), mode: owner.NewLatest[bool](),
	}
	l.forget()
	l.status = Status{Problem: o.Off}
	if o.Table == nil {
		return l
	}

	support := o.Table.Limiter()
	if support.Err != nil {
		l.status.Problem = support.Err.Error()
	}
	l.status.On = support.Limits
	return l
}

// Status returns the state of the limiter. It does not wait.
func (l *Limiter) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status
}

// Limited returns who sent more than the limits allow, in the last ten minutes. It waits for the
// kernel.
func (l *Limiter) Limited(ctx context.Context) (all []firewall.Limited, err error) {
	if !l.Status().On {
		return nil, nil
	}
	err = l.Table.Limited(ctx, func(one firewall.Limited) { all = append(all, one) })
	return all, err
}

// Of returns how an address is limited, or would be. It waits for the kernel.
func (l *Limiter) Of(ctx context.Context, addr netip.Addr) ([]firewall.Limited, error) {
	if !l.Status().On {
		return nil, nil
	}
	return l.Table.LimitedOf(ctx, addr)
}

func (l *Limiter) change(f func(*Status)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.status)
}

// Note reports that a source logged in. It neither waits nor allocates.
func (l *Limiter) Note(source netip.Addr) {
	if l.Table == nil {
		return
	}
	select {
	case l.logins <- source:
	default:
		l.lost.Set(struct{}{})
	}
}

// LaidOut reports that the table was laid out: its sets may be new and empty, or hold what others put
// there. It does not wait.
func (l *Limiter) LaidOut() { l.laidOut.Set(struct{}{}) }

// SetDrop has it drop from now on, or only count. It does not wait.
func (l *Limiter) SetDrop(drop bool) { l.mode.Set(drop) }

// Run works until ctx ends. Then the kernel limits nobody any more.
func (l *Limiter) Run(ctx context.Context) {
	st := l.Status()
	if !st.On {
		l.Log.Info("the limiter for strangers is off", "why", st.Problem)
		return
	}
	if st.Problem != "" {
		l.Log.Warn("the limiter for strangers works in part", "why", st.Problem)
	}
	defer l.end(ctx)

	next := time.NewTimer(0)
	defer next.Stop()
	compareAt := l.Clock.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-l.logins:
			// Who came with it goes into the same transaction.
			if l.try(ctx, func() error { return l.learn(ctx, a) }) {
				continue
			}
		case <-l.laidOut.C():
			l.ready = false
		case <-l.lost.C():
			compareAt = 0
		case l.Drop = <-l.mode.C():
		case <-next.C:
		}

		if now := l.Clock.Now(); !l.ready || now >= compareAt {
			l.ready = l.try(ctx, func() error { return l.compare(ctx) })
			compareAt = now + int64(syncEach)
		}

		// Without all known sources in the kernel, phones would be limited as strangers.
		pause := beat
		if !l.ready || !l.try(ctx, func() error { return l.arm(ctx) }) {
			l.ready = false
			pause = retry
		}
		next.Reset(pause)
	}
}

// try calls f. A failure is logged once, and the status has it until a call succeeds.
func (l *Limiter) try(ctx context.Context, f func() error) bool {
	err := f()
	if err == nil || ctx.Err() != nil {
		return err == nil
	}

	l.ready = false
	l.change(func(st *Status) { st.Drops, st.Problem = false, "it does not work now: "+err.Error() })
	if l.failing {
		return false
	}
	l.failing = true
	level := slog.LevelWarn
	if errors.Is(err, firewall.ErrGone) {
		level = slog.LevelDebug // the enforcer logs and repairs that
	}
	l.Log.Log(ctx, level, "the limiter for strangers does not work", "err", err, "do",
		"nothing: it limits nobody, and amifend goes on trying")
	return false
}

// arm has the kernel limit for a while.
func (l *Limiter) arm(ctx context.Context) error {
	drop := l.Drop && !l.crowded
	if err := l.Table.ArmLimiter(ctx, drop, Lease); err != nil {
		return err
	}
	counts, err := l.Table.LimiterCounts(ctx)
	if err != nil {
		return err
	}

	// What the kernel cannot do stays the problem.
	problem := ""
	if err := l.Table.Limiter().Err; err != nil {
		problem = err.Error()
	}
	if l.crowded {
		problem = "it only observes: more sources logged in than the kernel's set holds"
	}
	was := l.Status()
	l.change(func(st *Status) { st.Drops, st.Problem, st.Counts = drop, problem, counts })
	if l.failing {
		l.failing = false
		l.Log.Info("the limiter for strangers works again")
	}
	if l.crowded && was.Problem != problem {
		l.Log.Warn("the limiter for strangers only observes: there are more sources that logged in "+
			"than the kernel's set holds", "holds", l.Size)
	}
	return nil
}

// end disarms the limiter. If that fails, its lease ends soon.
func (l *Limiter) end(ctx context.Context) {
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	if err := l.Table.ArmLimiter(end, false, 0); err != nil && !errors.Is(err, firewall.ErrGone) {
		l.Log.Warn("the limiter for strangers cannot be ended", "err", err, "do",
			"nothing: it ends by itself within "+Lease.String())
	}
}
