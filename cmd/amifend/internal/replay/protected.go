package replay

import (
	"net/netip"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/recording"
	"github.com/amifend/amifend/policy"
)

// maxLearned is how many addresses are learned from the events of one server, as in the daemon
// (protect.Watcher.Learn).
const maxLearned = 16

// protected is what must never be banned: what the config lists, and what the events tell of the
// PBXs.
type protected struct {
	entries []policy.ProtectedEntry
	learned map[lesson]struct{}
	counts  map[uint16]int
	last    lesson
	current *policy.Protected
}

// lesson is an address that the events of a server showed.
type lesson struct {
	server uint16
	addr   netip.Addr
}

func newProtected(c *config.Config) protected {
	p := protected{learned: make(map[lesson]struct{}), counts: make(map[uint16]int)}
	for _, prefix := range c.Allow {
		p.entries = append(p.entries, policy.ProtectedEntry{
			Prefix: prefix,
			Reason: "allowlist ([allow] prefixes)",
		})
	}
	for _, s := range c.Servers {
		addrs := s.Addresses
		if a, err := netip.ParseAddr(s.Host); err == nil { // a name is not looked up: it may have moved since
			addrs = append(addrs[:len(addrs):len(addrs)], a)
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

// learn notes the addresses of a PBX and of the daemon that an event shows. True means that there
// is a new one.
func (p *protected) learn(ev *recording.Event) bool {
	if ev.Own {
		if a := ev.Source.Addr(); !a.IsLoopback() {
			return p.lesson(lesson{ev.Server, a}, "our own address as the PBX sees it")
		}
		return false
	}
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
	if _, ok := p.learned[l]; ok || p.counts[l.server] >= maxLearned {
		return false
	}
	p.learned[l] = struct{}{}
	p.counts[l.server]++
	p.add(l.addr, reason)
	return true
}

func (p *protected) list() *policy.Protected {
	if p.current == nil {
		p.current = policy.NewProtected(p.entries, nil)
	}
	return p.current
}
