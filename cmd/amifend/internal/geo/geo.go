// Package geo finds names for addresses: the host by reverse DNS, the country, and the network with
// its number (ASN), by files in the form of MaxMind DB.
//
//	operate ── Of, Find ─→ Atlas     names of the addresses of an answer
//	notify  ── Of ───────→ Atlas     names of the sources in a message
//	judge   ── Note ─────→ Logins    successful logins; what has no room is counted
//	Logins  ── Raise ────→ alerts    unexpected_country
//
// No decision depends on a name: whoever owns an address writes its reverse DNS, and files are out
// of date. So nothing here is on the path of an event, and nobody is banned for a country.
//
// # Files
//
// A file is read into memory that the garbage collector does not see. It is not mapped: a mapped
// file that somebody truncates kills the process that reads it (SIGBUS). Only regular files of at
// most 256 MiB are read, 512 MiB in all. A goroutine looks once a minute whether a file has changed. A
// file that is broken leaves the one before in use. The reader limits the work of one lookup,
// whatever a file contains.
//
// # Reverse DNS
//
// A lookup asks for the name of an address, and then for the addresses of that name. Only if the
// address is among them, the name is confirmed. There are ten lookups a second at most, and 10,000
// answers are kept, for an hour each.
package geo

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// lookEvery is the time between two looks at the files.
const lookEvery = time.Minute

// Options configure an [Atlas].
type Options struct {
	Config   config.Geo
	Log      *slog.Logger
	Resolver Resolver      // nil: the system's
	Every    time.Duration // between two looks at the files; 0: a minute
}

// Atlas knows the names of addresses. Its methods may be called from any goroutine.
type Atlas struct {
	log     *slog.Logger
	every   time.Duration
	reverse *reverse
	wake    chan struct{} // holds a token after a change of the config

	mu     sync.RWMutex // lookups read; a change of the files writes
	config config.Geo
	files  []*file
}

// New returns an atlas that knows nothing before [Atlas.Run].
func New(o Options) *Atlas {
	if o.Every == 0 {
		o.Every = lookEvery
	}
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	return &Atlas{
		log: o.Log, every: o.Every, reverse: newReverse(o.Resolver),
		wake: make(chan struct{}, 1), config: o.Config,
	}
}

// Set puts a new config in force. It does not wait.
func (a *Atlas) Set(c config.Geo) {
	a.mu.Lock()
	a.config = c
	a.mu.Unlock()

	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Run reads the files, looks after them, and asks DNS, until ctx ends.
func (a *Atlas) Run(ctx context.Context) {
	var workers sync.WaitGroup
	defer workers.Wait()
	workers.Go(func() { a.reverse.run(ctx) })

	tick := time.NewTicker(a.every)
	defer tick.Stop()
	looked := make(chan []*file, 1)
	busy, again := false, true
	defer func() { a.end(busy, looked) }()

	// A file system that hangs holds up the goroutine that looks, and nothing else.
	for {
		if again && !busy {
			busy, again = true, false
			a.mu.RLock()
			names, before := a.config.Files, a.files
			a.mu.RUnlock()
			go func() { looked <- look(names, before) }()
		}

		select {
		case <-ctx.Done():
			return
		case found := <-looked:
			busy = false
			a.replace(found)
		case <-a.wake:
			again = true
		case <-tick.C:
			again = true
		}
	}
}

// end frees all memory. A look that goes on frees what it has read.
func (a *Atlas) end(busy bool, looked <-chan []*file) {
	a.mu.Lock()
	before := a.files
	a.files = nil
	a.mu.Unlock()
	free(before, nil)

	if busy {
		go func() { free(<-looked, before) }()
	}
}

// free frees the memory of files, less that of others.
func free(files, but []*file) {
	for _, f := range files {
		kept := slices.ContainsFunc(but, func(o *file) bool { return o.database == f.database })
		if f.database != nil && !kept {
			f.database.free()
		}
	}
}

// replace takes over the files of a look, and frees the memory of those that nobody uses any more.
func (a *Atlas) replace(found []*file) {
	a.mu.Lock()
	before := a.files
	a.files = found
	a.mu.Unlock()

	free(before, found)
	for _, f := range found {
		i := slices.IndexFunc(before, func(o *file) bool { return o.path == f.path })
		switch {
		case i >= 0 && before[i].problem == f.problem && before[i].database == f.database:
		case f.problem != "":
			a.log.Warn("a file of [geo] cannot be used", "file", f.path, "problem", f.problem)
		case f.database != nil:
			a.log.Info("a file of [geo] was read", "file", f.path, "type", f.database.kind,
				"built", f.database.built.UTC().Format(time.DateOnly))
		}
	}
}

// Of returns the names of an address as far as they are known now; nil: none is. It does not wait.
// An unknown host is looked up, for the next call.
func (a *Atlas) Of(addr netip.Addr) *control.Origin {
	out := a.Located(addr)
	a.mu.RLock()
	useDNS := a.config.ReverseDNS
	a.mu.RUnlock()
	if !useDNS || !addr.IsValid() {
		return out
	}

	name, confirmed := a.reverse.of(addr)
	if name == "" {
		return out
	}
	if out == nil {
		out = &control.Origin{}
	}
	out.Host, out.Confirmed = name, confirmed
	return out
}

// Located is Of without the host: it asks the files only.
func (a *Atlas) Located(addr netip.Addr) *control.Origin {
	var out control.Origin
	a.mu.RLock()
	for _, f := range a.files {
		f.database.fill(&out, addr)
	}
	a.mu.RUnlock()
	if out == (control.Origin{}) {
		return nil
	}
	return &out
}

// OfPrefix is Of for a prefix. The host of a network is not asked for.
func (a *Atlas) OfPrefix(p netip.Prefix) *control.Origin {
	if p.IsSingleIP() {
		return a.Of(p.Addr())
	}

	return a.Located(p.Addr())
}

// Await waits until the hosts of addresses have been looked up, or until ctx ends. More than mostAwait
// addresses are too many to wait for.
func (a *Atlas) Await(ctx context.Context, addrs []netip.Addr) {
	a.mu.RLock()
	useDNS := a.config.ReverseDNS
	a.mu.RUnlock()
	if useDNS && len(addrs) <= mostAwait {
		a.reverse.await(ctx, addrs)
	}
}

// mostAwait is the length of a list whose hosts are waited for.
const mostAwait = 25

// Problem is a file that cannot be used.
type Problem struct{ Path, Text string }

// Problems returns the files that cannot be used as they are now.
func (a *Atlas) Problems() (out []Problem) {
	a.mu.RLock()
	defer a.mu.RUnlock()

	for _, f := range a.files {
		if f.problem != "" {
			out = append(out, Problem{f.path, f.problem})
		}
	}
	return out
}
