package policy

import (
	"net/netip"
	"slices"
)

// Learned is an address that the events of a server named as its own or as ours. Only that server
// says so, and it may lie. What other servers report of the address counts like evidence of any
// address.
type Learned struct {
	Addr   netip.Addr
	Server uint16
	Reason string
}

// learned is what is known of one such address.
type learned struct {
	servers []uint16 // that named it
	reason  string
}

// WithLearned returns a list that also spares addresses that servers named. What such a server
// reports is not held against them, and a ban of one of them is lifted if all its evidence is from
// such servers. Other evidence may ban them. It does not change p.
func (p *Protected) WithLearned(addrs []Learned) *Protected {
	if p == nil {
		p = &Protected{}
	}

	out := &Protected{entries: p.entries, onLink: p.onLink, learned: make(map[host]learned, len(addrs))}
	for _, l := range addrs {
		if !l.Addr.IsValid() {
			continue
		}
		h := hostKey(l.Addr.WithZone("")).host()
		known := out.learned[h]
		known.servers = append(known.servers, l.Server)
		known.reason = l.Reason
		out.learned[h] = known
	}
	return out
}

// ContainsFrom is [Protected.Contains] for what a server reports: an address that this server named
// counts too.
func (p *Protected) ContainsFrom(addr netip.Addr, server uint16) (reason string, ok bool) {
	if reason, ok = p.Contains(addr); ok || p == nil || !addr.IsValid() {
		return reason, ok
	}
	l := p.learned[hostKey(addr.WithZone("")).host()]
	return l.reason, slices.Contains(l.servers, server)
}

// LearnedFrom returns why a single address that servers named is spared; false if none named it.
func (p *Protected) LearnedFrom(prefix netip.Prefix) (reason string, ok bool) {
	k, valid := prefixKey(prefix)
	if p == nil || !valid || k.bits != hostBits {
		return "", false
	}
	l, ok := p.learned[k.host()]
	return l.reason, ok
}

// spares reports whether nothing is held against a host that a server reports.
func (e *Engine) spares(k key, server uint16) bool {
	p := e.protected
	if _, listed := p.listed(k.prefix().Addr()); listed || p == nil || len(p.learned) == 0 {
		return listed
	}
	return slices.Contains(p.learned[k.host()].servers, server)
}

// allLearned reports whether a ban is of an address that servers named, and all its evidence is
// known and from these servers.
func (e *Engine) allLearned(k key) bool {
	if e.protected == nil || k.bits != hostBits {
		return false
	}
	l, ok := e.protected.learned[k.host()]
	r := e.trails.Get(k)
	if !ok || r == 0 {
		return false
	}

	// Evidence that is not kept any more may be of any server.
	t := e.trails.Val(r)
	if t.n == 0 || t.n > evidenceKept {
		return false
	}
	for i := range t.n {
		if !slices.Contains(l.servers, t.ring[i].Server) {
			return false
		}
	}
	return true
}
