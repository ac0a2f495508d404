// Package metrics serves the daemon's numbers to Prometheus.
//
//	Prometheus ── GET /metrics ──→ Server ── Counts, Status, … ──→ judge, enforce, …
//
// It promises three things. A scrape holds up nobody: the owners are asked as `amifend status` asks
// them, once a second at most, and one that does not answer within a second keeps its last numbers
// and is reported as down. The number of series is bounded, whatever attackers send: labels are the
// names of servers in the config, and names of rules, scopes and kinds that this program has. No
// page holds an address, an account or a secret.
package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce"
	"github.com/amifend/amifend/cmd/amifend/internal/feed"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/cmd/amifend/internal/judge"
	"github.com/amifend/amifend/cmd/amifend/internal/limiter"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/cmd/amifend/internal/sensor"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// How the owners are asked.
const (
	askTime = time.Second // for an answer
	fresh   = time.Second // for which an answer is used again
)

// Sources are the parts of the daemon whose numbers are shown.
type Sources struct {
	Version  string
	Config   func() *config.Config // returns the config in force
	Judge    *judge.Judge
	Enforcer *enforce.Enforcer
	Denier   *enforce.Denier
	Feeder   *enforce.Feeder // nil: no feeds are possible
	Keeper   *feed.Keeper    // nil: as above
	Sessions func() []*stream.Session
	Watcher  *protect.Watcher
	Journal  *journal.Journal // nil: there is none
	Book     *alerts.Book
	Waiting  func() int // returns how many events wait for the judge
	Sensor   func() sensor.Status
	Limiter  func() limiter.Status
}

// asked holds what owners answered that must be asked.
type asked struct {
	engine   policy.Stats
	engineUp bool // it answered the last time

	firewall   enforce.Status
	firewallUp bool
	dropped    map[firewall.Scope]firewall.Dropped // nil: never known
	denied     *firewall.Denied                    // nil: never known
	feeds      map[string]firewall.Denied          // by feed; nil: never known
}

// asker asks the owners, and keeps their answers for a moment.
type asker struct {
	from Sources

	mu   sync.Mutex // one scrape at a time asks; the others wait for its answers
	at   time.Time
	last asked
}

// ask returns the answers of the owners, as of the last second. It takes a second at most.
func (a *asker) ask() asked {
	a.mu.Lock()
	defer a.mu.Unlock()

	if !a.at.IsZero() && time.Since(a.at) < fresh {
		return a.last
	}
	a.last = a.renew(a.last)
	a.at = time.Now()
	return a.last
}

// renew asks all owners at once, so that those that do not answer take a second together. What is not
// answered stays as it was.
func (a *asker) renew(out asked) asked {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()

	// Each function writes to fields of its own.
	var all sync.WaitGroup
	all.Go(func() {
		stats, err := a.from.Judge.Stats(ctx)
		if out.engineUp = err == nil; out.engineUp {
			out.engine = stats
		}
	})
	all.Go(func() {
		st, err := a.from.Enforcer.Status(ctx)
		if out.firewallUp = err == nil && st.Failure == ""; err == nil {
			out.firewall = st
		}
	})
	all.Go(func() {
		if d := a.from.Enforcer.Dropped(ctx); d != nil {
			out.dropped = d
		}
	})
	all.Go(func() {
		if d := a.from.Denier.Dropped(ctx); d != nil {
			out.denied = d
		}
	})
	all.Go(func() {
		if a.from.Keeper == nil || len(a.from.Keeper.Status()) == 0 {
			return
		}
		if d := a.from.Feeder.Dropped(ctx); d != nil {
			out.feeds = d
		}
	})
	all.Wait()

	return out
}
