package enforce

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/histogram"
	"github.com/amifend/amifend/firewall"
)

// meter counts for the metrics. The enforcer counts, and others read at any time.
type meter struct {
	banned [firewall.ScopeStream + 1]atomic.Uint64 // by scope
	way    histogram.Histogram                     // from the event that led to a ban to the kernel

	dropped sync.Mutex // while the kernel is asked what bans dropped
}

// lateBan is the age from which on a ban waited for an operator, not for the kernel.
const lateBan = time.Minute

// ban counts a ban that the kernel has for the first time, or that a dry run would have made. A ban
// that amifend keep made of one of the trial was decided long before: it does not count in way.
func (m *meter) ban(h *held, now int64) {
	m.banned[h.key.Scope()].Add(1)
	if took := time.Duration(now - (h.expiry - h.duration)); took < lateBan {
		m.way.Observe(took)
	}
}

// Counts is what the enforcer counted since it was made.
type Counts struct {
	// Banned counts the bans that the kernel took; those of a dry run are not made.
	Banned map[firewall.Scope]uint64
	Dry    bool
	// Way is the time from the event that led to a ban until the kernel had the ban.
	Way histogram.Counts
}

// Counts returns what was counted until now. It never waits.
func (e *Enforcer) Counts() Counts {
	out := Counts{Banned: make(map[firewall.Scope]uint64), Dry: e.dry, Way: e.meter.way.Counts()}
	for _, s := range bans.Scopes() {
		out.Banned[s] = e.meter.banned[s].Load()
	}
	return out
}

// Dropped returns what the bans of each scope dropped since the rules were laid out; nil if the
// kernel does not answer, or has not answered the question before.
func (e *Enforcer) Dropped(ctx context.Context) map[firewall.Scope]firewall.Dropped {
	out, _ := askKernel(ctx, &e.meter.dropped, e.table.Dropped)
	return out
}

// askKernel asks the kernel a question on a goroutine of its own. It returns false without an answer,
// and while busy is locked: that is until the kernel answers, also when the caller has gone. So a
// kernel that hangs collects one goroutine, not one for each caller.
func askKernel[T any](
	ctx context.Context, busy *sync.Mutex, ask func(context.Context) (T, error),
) (T, bool) {
	var none T
	if !busy.TryLock() {
		return none, false
	}

	type answer struct {
		v   T
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		defer busy.Unlock()
		v, err := ask(ctx)
		answers <- answer{v, err}
	}()

	select {
	case a := <-answers:
		return a.v, a.err == nil
	case <-ctx.Done():
		return none, false
	}
}
