// Package protect collects the addresses that must never be banned, each with the reason, and
// follows changes of the system.
//
// It protects: loopback, unspecified, multicast and broadcast addresses; the operator's allowlist;
// our own addresses; default gateways and the other next hops of any routing table; IPv6 neighbours
// that announce themselves as routers; DNS resolvers and, behind a stub, their upstreams; the
// addresses of allowlisted names; every PBX by its name, its configured addresses and the addresses
// in its own events; and our own address as a PBX sees it.
//
// When a reading fails, the addresses of the last good reading stay. The package changes nothing on
// the system.
package protect

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Entry is a prefix that is never banned.
type Entry struct {
	Prefix netip.Prefix // masked
	// Reason is a text for people, such as "default gateway via eth0". Several reasons are joined
	// by "; ".
	Reason string
}

// Set holds all protected addresses at one moment. It does not change after it was handed out.
type Set struct {
	Entries []Entry // sorted by prefix, each prefix once
	// OnLink holds the networks of our neighbours, sorted. A host of such a network may be banned.
	// A prefix that covers the whole network may not.
	OnLink []netip.Prefix
	// Learned holds the addresses that only the events of a server named, sorted. They are
	// protected from events of that server only, because a server may lie about them. Addresses of
	// Entries are not among them.
	Learned []Learned
}

// Learned is an address that a server named as its own, or as ours.
type Learned struct {
	Addr   netip.Addr
	Server string
	What   Lesson
	Reason string
}

// Equal reports whether both sets protect the same prefixes for the same reasons.
func (s Set) Equal(o Set) bool {
	return slices.Equal(s.Entries, o.Entries) && slices.Equal(s.OnLink, o.OnLink) &&
		slices.Equal(s.Learned, o.Learned)
}

// Server is a PBX of the configuration.
type Server struct {
	Name      string
	Host      string // the AMI's host: a name or an address
	Addresses []netip.Addr
}

// Name is a host name whose addresses are never banned. It is resolved again and again.
type Name struct {
	Host   string
	Reason string // such as "allowlist ([allow] names)"
}

// Listed holds the lists of the operator: all that can change while a Watcher runs.
type Listed struct {
	Allow   []netip.Prefix // [allow] prefixes
	Names   []Name
	Servers []Server
	Also    []Entry // what operators allow by command
}

// Config selects what to protect and where to look. The zero value protects this system only.
type Config struct {
	Allow   []netip.Prefix
	Names   []Name
	Servers []Server

	// Lookup resolves a name; nil: the system's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// NetNS is the descriptor of the network namespace to follow; 0: that of the calling thread.
	// Entering another one takes CAP_SYS_ADMIN.
	NetNS int
	// Root is prepended to the names of system files such as /etc/resolv.conf.
	Root string
	// Log receives the errors while Run follows the system; nil: they are dropped.
	Log *slog.Logger
}

// LookupError is the failure to resolve a name.
type LookupError struct {
	Server, Host string // "" for a name of the allowlist
	Kept         int    // addresses of earlier answers that stay protected
	Err          error
}

func (e *LookupError) Error() string {
	if e.Server == "" {
		return fmt.Sprintf("resolve %s of the allowlist: %v", e.Host, e.Err)
	}
	return fmt.Sprintf("resolve %s of server %s: %v", e.Host, e.Server, e.Err)
}

func (e *LookupError) Unwrap() error { return e.Err }

// Watcher collects what must never be banned. Its methods may be called from any goroutine.
type Watcher struct {
	config Config // its lists are out of date: listed has those in force
	listed atomic.Pointer[Listed]
	names  names
	failed atomic.Pointer[[]*LookupError]
	kicked chan struct{} // holds a token when something may have changed

	renamed chan struct{} // holds a token when the names may have changed

	learned atomic.Pointer[lessons] // replaced whole, by compare and swap

	mu     sync.Mutex // guards kernel and last
	kernel kernel     // the last reading
	last   Set        // the last set that was collected

	// handing is held while a set is collected and handed out, so that an older set never comes
	// after a newer one.
	handing sync.Mutex
	update  func(Set) // nil: nobody follows yet
	handed  Set       // the last argument of update

	stale atomic.Bool // the kernel has reported a change since the last reading

	overflows atomic.Uint64 // how often the kernel's messages were lost

	// Tests set these.
	poll, resync, refresh, pause time.Duration
	buffer                       int // bytes of the netlink socket; 0: the system's default
}

// New returns a Watcher. It reads nothing yet.
func New(c Config) *Watcher {
	if c.Lookup == nil {
		c.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}

	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}

	w := &Watcher{
		config: c, kicked: make(chan struct{}, 1), renamed: make(chan struct{}, 1),
		poll: pollFiles, resync: resyncKernel, refresh: refreshNames, pause: minPause,
	}

	w.learned.Store(&lessons{})
	w.listed.Store(&Listed{Allow: c.Allow, Names: c.Names, Servers: c.Servers})
	return w
}

// Relist replaces the lists of the operator. Run hands out the new set soon after,
// [Watcher.Refresh] at once. Addresses that a server's events named stay as long as the server is
// listed. The caller must not change l afterwards.
func (w *Watcher) Relist(l Listed) {
	w.listed.Store(&l)
	w.forget(l.Servers)
	w.names.forget(l.hosts())

	// New names are resolved at once, by a goroutine of its own.
	w.kick()
	select {
	case w.renamed <- struct{}{}:
	default:
	}
}

// Current returns the set that was collected last.
func (w *Watcher) Current() Set {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// Snapshot reads everything once, and returns the set. It must succeed before the first ban.
//
// A name that does not resolve is not an error, because a PBX of that name cannot be reached
// either. The set then has the addresses of earlier lookups, if any. The failure is logged, and
// [Watcher.Unresolved] returns it. With an error, Snapshot returns the zero Set.
func (w *Watcher) Snapshot(ctx context.Context) (Set, error) {
	w.lookup(ctx)
	return w.collect(true)
}

// HandTo makes the Watcher call update with each set that differs from the one before, one call at
// a time. The first set is compared with [Watcher.Current].
func (w *Watcher) HandTo(update func(Set)) {
	w.handing.Lock()
	defer w.handing.Unlock()

	if w.update == nil {
		w.handed = w.Current()
	}
	w.update = update
}

// Refresh collects the set from the present lists and the last look at the kernel. If the set
// changed, it is handed out before Refresh returns.
func (w *Watcher) Refresh() error { return w.handOut(false) }

// handOut collects the set, and hands it out if it changed.
func (w *Watcher) handOut(fresh bool) error {
	w.handing.Lock()
	defer w.handing.Unlock()

	set, err := w.collect(fresh)
	if err != nil || w.update == nil || set.Equal(w.handed) {
		return err
	}

	w.handed = set
	w.update(set)
	return nil
}

// collect builds the set. If fresh is set, it reads the kernel again; otherwise it uses the last
// reading, which is cheaper.
func (w *Watcher) collect(fresh bool) (Set, error) {
	w.mu.Lock()
	defer w.mu.Unlock()

	if fresh {
		k, err := readKernel(w.config.NetNS)
		if err != nil {
			return Set{}, err
		}
		w.kernel = k
	}

	// The lists of the operator: prefixes, allowances by command, names, servers.
	b := newBuilder()
	listed := w.listed.Load()
	for _, p := range listed.Allow {
		b.allow(p)
	}

	for _, e := range listed.Also {
		b.put(e.Prefix.Masked(), e.Reason)
	}

	for _, n := range listed.Names {
		w.names.addName(b, n)
	}

	for _, s := range listed.Servers {
		w.names.addTo(b, s)
		for _, a := range s.Addresses {
			b.addr(a, fmt.Sprintf("server %s: [[server]] addresses", s.Name))
		}
	}

	// What this machine needs to be reachable: its addresses, gateways and resolvers.
	w.kernel.addTo(b)
	if err := addResolvers(b, w.config.Root); err != nil {
		return Set{}, err
	}

	// An address that is protected from every server needs no weaker protection.
	w.last = b.set()
	w.last.Learned = w.learned.Load().unless(w.last.Entries)
	return w.last, nil
}

// kick asks Run to look again. It never blocks.
func (w *Watcher) kick() {
	select {
	case w.kicked <- struct{}{}:
	default:
	}
}

// builder gathers entries. It sorts the reasons of a prefix, so that the same findings in another
// order make an equal set.
type builder struct {
	reasons map[netip.Prefix][]string
	onLink  map[netip.Prefix]struct{}
}

// builtIn are the prefixes that are always protected.
var builtIn = []Entry{
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("255.255.255.255/32"), "broadcast"},
	{netip.MustParsePrefix("::/128"), "unspecified"},
	{netip.MustParsePrefix("::1/128"), "loopback"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
}

// newBuilder returns a builder with the prefixes of builtIn.
func newBuilder() *builder {
	b := &builder{map[netip.Prefix][]string{}, map[netip.Prefix]struct{}{}}
	for _, e := range builtIn {
		b.reasons[e.Prefix] = []string{e.Reason}
	}
	return b
}

// put adds a reason to a prefix.
func (b *builder) put(p netip.Prefix, reason string) {
	if have := b.reasons[p]; !slices.Contains(have, reason) {
		b.reasons[p] = append(have, reason)
	}
}

// allow adds a prefix of the operator's list.
func (b *builder) allow(p netip.Prefix) { b.put(p.Masked(), "allowlist ([allow] prefixes)") }

// addr adds an address that was found, unless builtIn covers it.
func (b *builder) addr(a netip.Addr, reason string) {
	if a = plain(a); a.IsValid() {
		b.prefix(netip.PrefixFrom(a, a.BitLen()), reason)
	}
}

// prefix adds a prefix that was found, unless builtIn covers it.
func (b *builder) prefix(p netip.Prefix, reason string) {
	for _, e := range builtIn {
		if e.Prefix.Bits() <= p.Bits() && e.Prefix.Contains(p.Addr()) {
			return
		}
	}
	b.put(p, reason)
}

// set returns the sorted set.
func (b *builder) set() Set {
	var s Set
	for _, p := range slices.SortedFunc(maps.Keys(b.reasons), netip.Prefix.Compare) {
		s.Entries = append(s.Entries,
			Entry{p, strings.Join(slices.Sorted(slices.Values(b.reasons[p])), "; ")})
	}
	s.OnLink = slices.SortedFunc(maps.Keys(b.onLink), netip.Prefix.Compare)
	return s
}

// plain returns an address in the form of a source in events: without a zone, and IPv4-mapped
// addresses as IPv4.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
