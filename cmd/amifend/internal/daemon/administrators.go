package daemon

import (
	"context"
	"maps"
	"net/netip"
	"sync"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/lockout"
)

const (
	// adminFor is how long whoever administered this machine over SSH stays exempt from feeds.
	adminFor = 7 * 24 * time.Hour

	// adminEvery is how often the sessions are looked at. A shorter one may be missed.
	adminEvery = time.Minute
)

// administrators remembers who administered this machine over SSH: whoever logged out for the night
// must be able to come back, although a feed lists their address in the morning. Its methods may be
// called from any goroutine.
type administrators struct {
	look lockout.Options

	mu   sync.Mutex // guards what follows
	seen map[netip.Addr]time.Time
}

// newAdministrators returns those whom an earlier run of this process has seen; nil: none.
func newAdministrators(look lockout.Options, seen map[netip.Addr]time.Time) *administrators {
	a := &administrators{look: look, seen: maps.Clone(seen)}
	if a.seen == nil {
		a.seen = make(map[netip.Addr]time.Time)
	}
	return a
}

// watch looks at the sessions until ctx ends.
func (a *administrators) watch(ctx context.Context) {
	tick := time.NewTicker(adminEvery)
	defer tick.Stop()

	for {
		a.current()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// current looks at the sessions, and returns who administered this machine within adminFor, and when
// last.
func (a *administrators) current() map[netip.Addr]time.Time {
	found := lockout.Sessions(a.look)

	a.mu.Lock()
	defer a.mu.Unlock()

	now := time.Now()
	for _, s := range found {
		a.seen[s.Addr] = now
	}
	maps.DeleteFunc(a.seen, func(_ netip.Addr, at time.Time) bool { return now.Sub(at) > adminFor })
	return maps.Clone(a.seen)
}

// all returns whom current has seen, without another look.
func (a *administrators) all() map[netip.Addr]time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()

	return maps.Clone(a.seen)
}
