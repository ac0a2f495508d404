package app

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
)

// fleet keeps the sessions, which come and go as the config is reloaded.
type fleet struct {
	daemon *daemon

	mu      sync.Mutex
	ctx     context.Context // of all sessions; nil before the start
	members map[string]*member
	running sync.WaitGroup
}

// member is a session that runs.
type member struct {
	*session
	server config.Server
	stop   context.CancelFunc
	done   chan struct{}
}

// begin starts the sessions of the first config.
func (f *fleet) begin(ctx context.Context, sessions []*session) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ctx, f.members = ctx, make(map[string]*member, len(sessions))
	for i, s := range sessions {
		f.start(s, f.daemon.Config.Servers[i])
	}
	f.daemon.live.Store(&sessions)
}

// wait returns when the context of all sessions, and all of them, have ended.
func (f *fleet) wait(ctx context.Context) {
	<-ctx.Done()
	f.mu.Lock() // none is started from now on
	defer f.mu.Unlock()
	f.running.Wait()
}

// start starts a session. It is called with the lock.
func (f *fleet) start(s *session, server config.Server) {
	ctx, cancel := context.WithCancel(f.ctx)
	m := &member{session: s, server: server, stop: cancel, done: make(chan struct{})}
	f.members[server.Name] = m
	f.running.Go(func() {
		defer close(m.done)
		f.daemon.lasting(ctx, "AMI session of "+s.name, func() error { return s.run(ctx, f.daemon.in) })
	})
}

// fleetPlan is how the sessions are to change: made before anything is changed, since it may fail.
type fleetPlan struct {
	servers []config.Server
	fresh   map[string]*session // new ones, and those that take the place of another
	gone    []string            // that end and have no successor
}

// plan prepares the sessions of new servers and of those that changed. It connects to nothing.
func (f *fleet) plan(servers []config.Server, make func(config.Server) (*session, error)) (*fleetPlan, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := &fleetPlan{servers: servers, fresh: map[string]*session{}}
	for _, server := range servers {
		if m := f.members[server.Name]; m != nil && sameServer(m.server, server) {
			continue
		}
		s, err := make(server)
		if err != nil {
			return nil, fmt.Errorf("server %s: %w", server.Name, err)
		}
		p.fresh[server.Name] = s
	}
	for name := range f.members {
		if !slices.ContainsFunc(servers, func(s config.Server) bool { return s.Name == name }) {
			p.gone = append(p.gone, name)
		}
	}
	slices.Sort(p.gone)
	return p, nil
}

// change carries a plan out. A connection that did not change is not touched.
func (f *fleet) change(p *fleetPlan) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx == nil || f.ctx.Err() != nil {
		return
	}
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
	live := make([]*session, 0, len(p.servers))
	for _, server := range p.servers {
		if s := p.fresh[server.Name]; s != nil {
			f.start(s, server)
		}
		live = append(live, f.members[server.Name].session)
	}
	f.daemon.live.Store(&live)
}

// sameServer tells whether nothing of a server changed, its secret and certificates included.
func sameServer(a, b config.Server) bool {
	if !a.Secret.Equal(b.Secret) {
		return false
	}
	a.Secret = b.Secret
	return reflect.DeepEqual(a, b)
}
