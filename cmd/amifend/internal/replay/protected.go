package replay

import (
	"net/netip"
	"slices"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/recording"
	"github.com/amifend/amifend/policy"
)

// maxLearned is the number of addresses that are learned from the events of one server, as in the
// daemon (protect.Watcher.Learn).
const maxLearned = 16

// protected holds the addresses that must never be banned: those in the config, and those of the
// PBXs in the events.
type protected struct {
	entries []policy.ProtectedEntry
	learned map[lesson]string // why it is spared
	counts  map[uint16]int
	last    lesson
	current *policy.Protected
}

// lesson is an address that was learned from the events of a server.
type lesson struct {
	server uint16
	addr   netip.Addr
}

func newProtected(c *config.Config) protected {
	p := protected{learned: make(map[lesson]string), counts: make(map[uint16]int)}
	for _, prefix := range c.Allow {
		p.entries = append(p.entries, policy.ProtectedEntry{
			Prefix: prefix,
			Reason: "allowlist ([allow] prefixes)",
		})
	}

	// A PBX's own address is the source of all events from behind its NAT, so a ban of it would cut
	// off everybody there.
	for _, s := range c.Servers {
		addrs := s.Addresses

		// A name is not looked up, because its address may have changed since the recording.
		if a, err := netip.ParseAddr(s.Host); err == nil {
			addrs = append(slices.Clip(addrs), a)
		}

		for _, a := range addrs {
			p.add(a, "server "+s.Name)
		}
	}

	return p
}

func (p *protected) add(a netip.Addr, reason string) {
	a = a.Unmap().WithZone("")
	p.entries = append(p.entries, policy.ProtectedEntry{
		Prefix: netip.PrefixFrom(a, a.BitLen()),
		Reason: reason,
	})
	p.current = nil
}

// learn notes the addresses of a PBX and of the daemon in an event. It reports whether one is new.
func (p *protected) learn(ev *recording.Event) bool {
	// The daemon's own login shows where it is, as the PBX sees it.
	if ev.Own {
		if a := ev.Source.Addr(); !a.IsLoopback() {
			return p.lesson(lesson{ev.Server, a}, "our own address as the PBX sees it")
		}
		return false
	}

	// Nearly all events have the same address as the one before.
	l := lesson{ev.Server, ev.Local}
	if l == p.last {
		return false
	}
	a, ok := ev.PBXAddr()
	if !ok {
		return false
	}

	p.last = l
	return p.lesson(lesson{ev.Server, a}, "the PBX: LocalAddress of its events")
}

func (p *protected) lesson(l lesson, reason string) bool {
	// Bounded as in the daemon, so that a server with many addresses cannot grow it.
	if _, ok := p.learned[l]; ok || p.counts[l.server] >= maxLearned {
		return false
	}
	p.learned[l] = reason
	p.counts[l.server]++
	p.current = nil
	return true
}

func (p *protected) list() *policy.Protected {
	if p.current == nil {
		var learned []policy.Learned
		for l, reason := range p.learned {
			learned = append(learned, policy.Learned{Addr: l.addr, Server: l.server, Reason: reason})
		}
		p.current = policy.NewProtected(p.entries, nil).WithLearned(learned)
	}
	return p.current
}
