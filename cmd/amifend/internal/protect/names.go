package protect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	refreshNames = time.Minute     // the time between two lookups of a name
	lookupTime   = 5 * time.Second // the longest time of one lookup
	nameMemory   = time.Hour       // how long an address stays after the name lost it
	maxPerName   = 256             // the most addresses of a name
)

// names holds the present and the former addresses of names.
type names struct {
	mu     sync.Mutex
	byHost map[string]nameRecord
}

// nameRecord maps an address of a name to the time of the last answer with it. Only a successful
// lookup removes addresses: while DNS fails, all stay.
type nameRecord map[netip.Addr]time.Time

// answer records the result of a successful lookup.
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

	// A hostile DNS may answer with any number of addresses.
	for _, a := range addrs[:min(len(addrs), maxPerName)] {
		r[plain(a)] = now
	}

	// A provider may move a trunk and move it back, so an address stays protected for a while.
	for a, at := range r {
		if now.Sub(at) >= nameMemory {
			delete(r, a)
		}
	}

	// Such a DNS may also give other addresses each time.
	for len(r) > maxPerName {
		r.dropOldest()
	}
}

// dropOldest removes the address whose last answer is the oldest.
func (r nameRecord) dropOldest() {
	var oldest netip.Addr
	for a, at := range r {
		if !oldest.IsValid() || at.Before(r[oldest]) || at.Equal(r[oldest]) && a.Less(oldest) {
			oldest = a
		}
	}
	delete(r, oldest)
}

// addTo adds the addresses of a server.
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

// addName adds the addresses of a name.
func (n *names) addName(b *builder, name Name) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for a := range n.byHost[name.Host] {
		b.addr(a, fmt.Sprintf("address of %s: %s", name.Host, name.Reason))
	}
}

// forget drops the names that are not keys of hosts.
func (n *names) forget(hosts map[string]string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	maps.DeleteFunc(n.byHost, func(host string, _ nameRecord) bool {
		_, ok := hosts[host]
		return !ok
	})
}

// count returns the number of addresses of a name.
func (n *names) count(host string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.byHost[host])
}

// hosts returns the names to follow. The value is the server with that host, or "".
func (l *Listed) hosts() map[string]string {
	out := map[string]string{}
	for _, n := range l.Names {
		out[n.Host] = ""
	}

	for _, s := range l.Servers {
		if _, err := netip.ParseAddr(s.Host); err != nil && s.Host != "" {
			out[s.Host] = s.Name
		}
	}

	return out
}

// Addresses returns the protected addresses of each listed name, sorted. Names without an address
// are left out. [Watcher.Remember] accepts the result.
func (w *Watcher) Addresses() map[string][]netip.Addr {
	w.names.mu.Lock()
	defer w.names.mu.Unlock()

	out := make(map[string][]netip.Addr, len(w.names.byHost))
	for host, r := range w.names.byHost {
		out[host] = slices.SortedFunc(maps.Keys(r), netip.Addr.Compare)
	}
	return out
}

// Remember adds addresses of a name that the caller knows: from an earlier run, or from a lookup of
// its own. It ignores names that are not listed. Run hands out the new set soon after.
func (w *Watcher) Remember(host string, addrs []netip.Addr) {
	if _, ok := w.listed.Load().hosts()[host]; !ok {
		return
	}
	w.names.answer(host, time.Now(), addrs)
	w.kick()
}

// Resolve looks up a name once, for at most lookupTime. It changes nothing.
func (w *Watcher) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()

	addrs, err := w.config.Lookup(ctx, host)
	if err == nil && len(addrs) == 0 {
		err = errors.New("the name has no address")
	}
	return addrs, err
}

// lookup resolves all names at the same time. If a lookup fails, the addresses of the name stay.
// The first failure in a row is logged.
func (w *Watcher) lookup(ctx context.Context) {
	hosts := w.listed.Load().hosts()
	var mu sync.Mutex
	var failed []*LookupError
	var wg sync.WaitGroup

	for host, server := range hosts {
		wg.Go(func() {
			addrs, err := w.Resolve(ctx, host)
			if err == nil {
				w.names.answer(host, time.Now(), addrs)
				return
			}

			mu.Lock()
			defer mu.Unlock()

			failed = append(failed, &LookupError{server, host, w.names.count(host), err})
		})
	}

	wg.Wait()
	if ctx.Err() != nil {
		return // the lookups failed because the watcher ends
	}

	// The list may have changed during the lookups.
	w.names.forget(w.listed.Load().hosts())

	// Status shows the failures, so their order must not change by chance.
	slices.SortFunc(failed, func(a, b *LookupError) int { return cmp.Compare(a.Host, b.Host) })
	before := w.Unresolved()
	w.failed.Store(&failed)

	// If a name failed last time too, that was logged then.
	for _, e := range failed {
		if !slices.ContainsFunc(before, func(b *LookupError) bool { return b.Host == e.Host }) {
			w.config.Log.Warn("cannot resolve a name that is never banned, keeping its last "+
				"addresses", "host", e.Host, "server", e.Server,
				"addresses", e.Kept, "err", e.Err, "do",
				"see whether the name is right and DNS works: getent ahosts "+e.Host)
		}
	}
}

// Unresolved returns the names that did not resolve at the last try.
func (w *Watcher) Unresolved() []*LookupError {
	if failed := w.failed.Load(); failed != nil {
		return *failed
	}
	return nil
}
