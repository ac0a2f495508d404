package protect

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// Lesson is the kind of an address that the events of a server named.
type Lesson uint8

// The kinds.
const (
	LocalAddress Lesson = iota // the PBX's own: LocalAddress of an untainted event
	OwnAddress                 // ours as the PBX sees it: RemoteAddress of our own login
)

// maxLessons is the most addresses of a kind that are learned from a server. The first ones stay,
// so that nobody can push them out.
const maxLessons = 16

// lesson is one address that a server named.
type lesson struct {
	server string
	what   Lesson
	addr   netip.Addr
}

// reason returns why the address is protected.
func (l lesson) reason() string {
	if l.what == OwnAddress {
		return fmt.Sprintf("our own address as server %s sees it", l.server)
	}
	return fmt.Sprintf("server %s: LocalAddress of its events", l.server)
}

// lessons is a set of lessons. It does not change once it is shared.
type lessons struct {
	seen map[lesson]struct{}
}

// unless returns the lessons whose address no entry protects, sorted.
func (l *lessons) unless(entries []Entry) (out []Learned) {
	for k := range l.seen {
		if !slices.ContainsFunc(entries, func(e Entry) bool { return e.Prefix.Contains(k.addr) }) {
			out = append(out, Learned{k.addr, k.server, k.what, k.reason()})
		}
	}

	slices.SortFunc(out, func(a, b Learned) int {
		return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Server, b.Server),
			cmp.Compare(a.Reason, b.Reason))
	})
	return out
}

// Advice returns what to do about a learned address.
func (l Learned) Advice() string {
	if l.What == OwnAddress {
		return fmt.Sprintf("if this machine reaches that PBX from there, write %q into [allow] "+
			"prefixes; if not, see who uses that login", l.Addr)
	}
	return fmt.Sprintf("if it belongs to that PBX or to you, write addresses = [%q] into "+
		"[[server]] %s; if not, see who names it there", l.Addr, l.Server)
}

// count returns the number of lessons of a kind from a server.
func (l *lessons) count(server string, what Lesson) int {
	n := 0
	for k := range l.seen {
		if k.server == server && k.what == what {
			n++
		}
	}
	return n
}

// Learn adds an address that the events of a server named. It ignores servers that are not listed.
// Run hands out the new set soon after.
//
// Learn may be called for every event. For a known address it allocates nothing, and it never waits
// for the kernel, a file or the network.
func (w *Watcher) Learn(server string, addr netip.Addr, what Lesson) {
	// These are protected anyway, or name no host.
	k := lesson{server, what, plain(addr)}
	if !k.addr.IsValid() || k.addr.IsUnspecified() || k.addr.IsLoopback() || k.addr.IsMulticast() {
		return
	}

	for {
		old := w.learned.Load()
		if _, ok := old.seen[k]; ok || old.count(server, what) >= maxLessons {
			return
		}

		// Events of a server that was removed from the config may still come for a moment.
		if !slices.ContainsFunc(w.listed.Load().Servers, func(s Server) bool {
			return s.Name == server
		}) {
			return
		}

		// Others may be reading the old set, so a copy replaces it. If another goroutine has
		// replaced it meanwhile, the loop begins again.
		grown := &lessons{maps.Clone(old.seen)}
		if grown.seen == nil {
			grown.seen = map[lesson]struct{}{}
		}

		grown.seen[k] = struct{}{}
		if w.learned.CompareAndSwap(old, grown) {
			w.kick()
			return
		}
	}
}

// forget drops the lessons of all servers but these.
func (w *Watcher) forget(servers []Server) {
	for {
		old := w.learned.Load()
		kept := &lessons{maps.Clone(old.seen)}
		maps.DeleteFunc(kept.seen, func(l lesson, _ struct{}) bool {
			return !slices.ContainsFunc(servers, func(s Server) bool { return s.Name == l.server })
		})

		// As in Learn: another goroutine may have replaced the set meanwhile.
		if w.learned.CompareAndSwap(old, kept) {
			return
		}
	}
}
