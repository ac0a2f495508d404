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
	refreshNames = time.Minute     // how often names are resolved again
	lookupTime   = 5 * time.Second // how long one may take
	nameMemory   = time.Hour       // how long an address stays that a name no longer has
	maxPerName   = 256             // addresses of a name; the longest unseen go first
)

// names remembers which addresses names have and had.
type names struct {
	mu     sync.Mutex
	byHost map[string]nameRecord
}

// nameRecord tells when a name last had an address. Only a good answer makes it forget: while DNS
// fails, all stay.
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

// addName adds the addresses of a name.
func (n *names) addName(b *builder, name Name) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for a := range n.byHost[name.Host] {
		b.addr(a, fmt.Sprintf("address of %s: %s", name.Host, name.Reason))
	}
}

// forget drops the names that are not among these.
func (n *names) forget(hosts map[string]string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	maps.DeleteFunc(n.byHost, func(host string, _ nameRecord) bool {
		_, ok := hosts[host]
		return !ok
	})
}

func (n *names) count(host string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.byHost[host])
}

// hosts are the names to follow, each with the server whose name it is, "" for none.
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

// Addresses returns the addresses that the names have and had, as far as they are protected: of
// each name that is followed and has any, sorted. [Watcher.Remember] takes it.
func (w *Watcher) Addresses() map[string][]netip.Addr {
	w.names.mu.Lock()
	defer w.names.mu.Unlock()
	out := make(map[string][]netip.Addr, len(w.names.byHost))
	for host, r := range w.names.byHost {
		out[host] = slices.SortedFunc(maps.Keys(r), netip.Addr.Compare)
	}
	return out
}

// Remember adds addresses that a name had before this process began, or that its asker has just
// resolved. Names that are not followed are ignored. Run hands out the new set soon after.
func (w *Watcher) Remember(host string, addrs []netip.Addr) {
	if _, ok := w.listed.Load().hosts()[host]; !ok {
		return
	}
	w.names.answer(host, time.Now(), addrs)
	w.kick()
}

// Resolve asks for the addresses of a name once, for a few seconds at most. It changes nothing.
func (w *Watcher) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	addrs, err := w.config.Lookup(ctx, host)
	if err == nil && len(addrs) == 0 {
		err = errors.New("the name has no address")
	}
	return addrs, err
}

// lookup resolves all names at the same time. What a name had stays when it fails; that is logged
// once.
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
		return // we are being stopped, DNS did not fail
	}

	w.names.forget(w.listed.Load().hosts()) // which may have changed meanwhile
	slices.SortFunc(failed, func(a, b *LookupError) int { return cmp.Compare(a.Host, b.Host) })
	before := w.Unresolved()
	w.failed.Store(&failed)

	for _, e := range failed {
		if !slices.ContainsFunc(before, func(b *LookupError) bool { return b.Host == e.Host }) {
			w.config.Log.Warn("cannot resolve a name that is never banned, keeping its last "+
				"addresses", "host", e.Host, "server", e.Server,
				"addresses", e.Kept, "err", e.Err, "do",
				"see whether the name is right and DNS works: getent ahosts "+e.Host)
		}
	}
}

// Unresolved tells which names did not resolve at the last try.
func (w *Watcher) Unresolved() []*LookupError {
	if failed := w.failed.Load(); failed != nil {
		return *failed
	}
	return nil
}
