package stream

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
)

// Fleet runs the sessions of all servers, which come and go as the config is reloaded.
type Fleet struct {
	options Options
	out     chan<- Sighting
	live    atomic.Pointer[[]*Session] // those that run, in the order of the config

	mu      sync.Mutex
	ctx     context.Context // of all sessions; nil before the start
	members map[string]*member
	running sync.WaitGroup
}

// member is a session that runs.
type member struct {
	*Session
	server config.Server
	stop   context.CancelFunc
	done   chan struct{}
}

// NewFleet returns a fleet without sessions. What they hear goes to out.
func NewFleet(o Options, out chan<- Sighting) *Fleet {
	return &Fleet{options: o, out: out, members: make(map[string]*member)}
}

// Sessions returns the sessions that run. It never waits.
func (f *Fleet) Sessions() []*Session {
	if s := f.live.Load(); s != nil {
		return *s
	}
	return nil
}

// Plan describes how the sessions are to change.
type Plan struct {
	servers []config.Server
	fresh   map[string]*Session // those that are new, or take the place of another
	gone    []string            // those that end and have no successor
}

// Plan prepares the sessions of new servers and of those that changed. names has all servers by
// their numbers. It connects to nothing, and changes nothing.
func (f *Fleet) Plan(servers []config.Server, names []string) (*Plan, error) {
	f.mu.Lock()
	members := maps.Clone(f.members)
	f.mu.Unlock()

	// A session that is made connects to nothing yet. So a config with an error changes nothing. It
	// reads files, which may take for ever, so the lock is not held.
	p := &Plan{servers: servers, fresh: map[string]*Session{}}
	for _, server := range servers {
		if m := members[server.Name]; m != nil && sameServer(m.server, server) {
			continue
		}

		number := uint16(slices.Index(names, server.Name)) // as bounded as the judge's numbers are
		s, err := New(server, number, f.options)
		if err != nil {
			return nil, fmt.Errorf("server %s: %w", server.Name, err)
		}
		p.fresh[server.Name] = s
	}

	// The order of a map differs each time, and operators read this list.
	for name := range members {
		if !slices.ContainsFunc(servers, func(s config.Server) bool { return s.Name == name }) {
			p.gone = append(p.gone, name)
		}
	}
	slices.Sort(p.gone)

	return p, nil
}

// Changed returns the names of the servers whose sessions are new, or made anew.
func (p *Plan) Changed() []string {
	var out []string
	for name := range p.fresh {
		out = append(out, name)
	}

	slices.Sort(out)
	return out
}

// Gone returns the names of the servers whose sessions end for good.
func (p *Plan) Gone() []string { return p.gone }

// Start starts the sessions of a plan. They end with ctx.
func (f *Fleet) Start(ctx context.Context, p *Plan) {
	f.mu.Lock()
	f.ctx = ctx
	f.mu.Unlock()
	f.Change(p)
}

// Change carries a plan out. A connection that did not change is not touched. Before Start, and
// after its context has ended, Change does nothing.
func (f *Fleet) Change(p *Plan) {
	f.mu.Lock()
	defer f.mu.Unlock()

	if f.ctx == nil || f.ctx.Err() != nil {
		return
	}

	// All that end are stopped before any is waited for.
	end := slices.Clone(p.gone)
	for name := range p.fresh {
		if f.members[name] != nil {
			end = append(end, name)
		}
	}

	for _, name := range end {
		f.members[name].stop()
	}
	for _, name := range end {
		<-f.members[name].done // its last events are judged before those of its successor
		delete(f.members, name)
	}

	// Those that stayed keep their connection. The status shows all in the order of the config.
	live := make([]*Session, 0, len(p.servers))
	for _, server := range p.servers {
		if s := p.fresh[server.Name]; s != nil {
			f.start(s, server)
		}
		live = append(live, f.members[server.Name].Session)
	}
	f.live.Store(&live)
}

// start starts a session. It is called with the lock.
func (f *Fleet) start(s *Session, server config.Server) {
	ctx, cancel := context.WithCancel(f.ctx)
	m := &member{Session: s, server: server, stop: cancel, done: make(chan struct{})}
	f.members[server.Name] = m

	f.running.Go(func() {
		defer close(m.done)
		owner.KeepRunning(ctx, f.options.Log, "AMI session of "+s.name, func() error {
			return s.Run(ctx, f.out)
		})
	})
}

// Wait returns when the context that Start was given, and all sessions, have ended.
func (f *Fleet) Wait(ctx context.Context) {
	<-ctx.Done()

	f.mu.Lock() // none is started from now on
	defer f.mu.Unlock()
	f.running.Wait()
}

// sameServer reports whether nothing of a server changed, its secret and certificates included.
func sameServer(a, b config.Server) bool {
	if !a.Secret.Equal(b.Secret) {
		return false
	}
	a.Secret = b.Secret
	return reflect.DeepEqual(a, b)
}
