package geo

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Resolver asks DNS. [net.Resolver] implements it.
type Resolver interface {
	LookupAddr(ctx context.Context, addr string) (names []string, err error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// How DNS is asked.
const (
	mostHosts    = 10_000 // answers that are kept
	mostQueued   = 300    // addresses that wait for a lookup; more are not looked up now
	lookupPause  = 100 * time.Millisecond
	lookupTime   = 4 * time.Second
	mostLookups  = 8 // at the same time
	keepHost     = time.Hour
	keepProblem  = 5 * time.Minute
	longestHost  = 253 // characters of a name in DNS
	mostPointers = 16  // names of one address that are looked at
)

// reverse finds the hosts of addresses.
type reverse struct {
	resolver Resolver
	queue    chan netip.Addr

	mu     sync.Mutex
	hosts  map[netip.Addr]host
	asked  map[netip.Addr]bool // waits in the queue, or is being looked up
	change chan struct{}       // closed when a lookup has ended, and replaced
}

// host is the answer of DNS.
type host struct {
	name      string // "": there is none
	confirmed bool
	until     time.Time
}

func newReverse(r Resolver) *reverse {
	return &reverse{
		resolver: r, queue: make(chan netip.Addr, mostQueued),
		hosts: make(map[netip.Addr]host), asked: make(map[netip.Addr]bool),
		change: make(chan struct{}),
	}
}

// of returns the host of an address as far as it is known. One that is not is looked up.
func (r *reverse) of(addr netip.Addr) (name string, confirmed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()

	h, known := r.hosts[addr]
	if !known || time.Now().After(h.until) {
		r.ask(addr)
	}
	return h.name, h.confirmed // of an old answer, too: a new one seldom differs
}

// ask puts an address into the queue, if there is room. The caller holds the lock.
func (r *reverse) ask(addr netip.Addr) {
	if r.asked[addr] {
		return
	}
	select {
	case r.queue <- addr:
		r.asked[addr] = true
	default:
	}
}

// await waits until addresses have been looked up, or ctx ends.
func (r *reverse) await(ctx context.Context, addrs []netip.Addr) {
	for _, addr := range addrs {
		r.of(addr)
	}

	for {
		r.mu.Lock()
		waits := slices.ContainsFunc(addrs, func(a netip.Addr) bool {
			_, known := r.hosts[a]
			return !known && r.asked[a]
		})
		change := r.change
		r.mu.Unlock()
		if !waits {
			return
		}

		select {
		case <-ctx.Done():
			return
		case <-change:
		}
	}
}

// run looks up what is asked, until ctx ends.
func (r *reverse) run(ctx context.Context) {
	var lookups sync.WaitGroup
	defer lookups.Wait()
	room := make(chan struct{}, mostLookups)

	for {
		select {
		case <-ctx.Done():
			return
		case addr := <-r.queue:
			select {
			case <-ctx.Done():
				return
			case room <- struct{}{}:
			}
			lookups.Go(func() {
				r.put(addr, r.lookup(ctx, addr))
				<-room
			})
		}

		// The pause limits how much an attacker with many addresses makes us ask.
		select {
		case <-ctx.Done():
			return
		case <-time.After(lookupPause):
		}
	}
}

// put keeps an answer. If there is no room, another one makes way.
func (r *reverse) put(addr netip.Addr, h host) {
	r.mu.Lock()
	defer r.mu.Unlock()

	if _, known := r.hosts[addr]; !known && len(r.hosts) >= mostHosts {
		for other := range r.hosts { // any: the order of a map is random
			delete(r.hosts, other)
			break
		}
	}
	r.hosts[addr] = h
	delete(r.asked, addr)
	close(r.change)
	r.change = make(chan struct{})
}

// lookup asks for the name of an address, and whether the name has the address.
func (r *reverse) lookup(ctx context.Context, addr netip.Addr) host {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()

	names, err := r.resolver.LookupAddr(ctx, addr.String())
	if dns, ok := errors.AsType[*net.DNSError](err); err != nil && (!ok || !dns.IsNotFound) {
		return host{until: time.Now().Add(keepProblem)}
	}

	// An address may have many names. The first one in the alphabet does not change from answer to
	// answer.
	names = slices.DeleteFunc(names[:min(len(names), mostPointers)], func(name string) bool {
		return name == "" || len(name) > longestHost
	})
	if len(names) == 0 {
		return host{until: time.Now().Add(keepHost)}
	}
	name := slices.Min(names)

	// The dot at its end keeps the resolver from trying it below our own domain.
	full := strings.TrimSuffix(name, ".") + "."
	found, err := r.resolver.LookupNetIP(ctx, "ip", full)
	confirmed := err == nil && slices.ContainsFunc(found, func(a netip.Addr) bool {
		return a.Unmap().WithZone("") == addr
	})
	return host{
		printable(strings.TrimSuffix(name, ".")), confirmed, time.Now().Add(keepHost),
	}
}
