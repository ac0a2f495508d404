package protect

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	refreshNames = time.Minute     // how often servers' names are resolved again
	lookupTime   = 5 * time.Second // how long one may take
	nameMemory   = time.Hour       // how long an address stays that a name no longer has
	maxPerName   = 256             // addresses of a name; the longest unseen go first
)

// names remembers which addresses the servers' names have and had.
type names struct {
	mu     sync.Mutex
	byHost map[string]nameRecord
}

// nameRecord tells when a name last had an address. Only a good answer makes it forget: while DNS fails, all stay.
type nameRecord map[netip.Addr]time.Time

// answer takes a good answer in.
func (n *names) answer(host string, now time.Time, addrs []netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.byHost == nil {
		n.byHost = map[string]nameRecord{}
	}
	r := n.byHost[host]
	if r == nil {
		r = nameRecord{}
		n.byHost[host] = r
	}
	for _, a := range addrs[:min(len(addrs), maxPerName)] {
		r[plain(a)] = now
	}
	for a, at := range r {
		if now.Sub(at) >= nameMemory {
			delete(r, a)
		}
	}
	for len(r) > maxPerName {
		r.dropOldest()
	}
}

func (r nameRecord) dropOldest() {
	var oldest netip.Addr
	for a, at := range r {
		if !oldest.IsValid() || at.Before(r[oldest]) || at.Equal(r[oldest]) && a.Less(oldest) {
			oldest = a
		}
	}
	delete(r, oldest)
}

func (n *names) addTo(b *builder, s Server) {
	if a, err := netip.ParseAddr(s.Host); err == nil {
		b.addr(a, fmt.Sprintf("server %s: its address", s.Name))
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for a := range n.byHost[s.Host] {
		b.addr(a, fmt.Sprintf("server %s: address of %s", s.Name, s.Host))
	}
}

// lookup resolves the names of all servers at the same time. What a name had stays when it fails; that is logged once.
func (w *Watcher) lookup(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	servers := w.listed.Load().Servers
	errs := make([]*LookupError, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		if _, err := netip.ParseAddr(s.Host); err == nil || s.Host == "" {
			continue
		}
		wg.Go(func() {
			addrs, err := w.config.Lookup(limited, s.Host)
			if err == nil && len(addrs) == 0 {
				err = errors.New("the name has no address")
			}
			if err != nil {
				errs[i] = &LookupError{s.Name, s.Host, err}
				return
			}
			w.names.answer(s.Host, time.Now(), addrs)
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return // we are being stopped, DNS did not fail
	}
	errs = slices.DeleteFunc(errs, func(e *LookupError) bool { return e == nil })
	before := w.Unresolved()
	w.failed.Store(&errs)
	for _, e := range errs {
		if !slices.ContainsFunc(before, func(b *LookupError) bool { return b.Server == e.Server }) {
			w.config.Log.Warn("cannot resolve a server's name, keeping its last addresses", "server", e.Server, "host", e.Host, "err", e.Err)
		}
	}
}

// Unresolved tells which servers' names did not resolve at the last try.
func (w *Watcher) Unresolved() []*LookupError {
	if failed := w.failed.Load(); failed != nil {
		return *failed
	}
	return nil
}
