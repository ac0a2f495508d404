package protect

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// kernel holds the entries that come from the kernel: its addresses, routes and neighbours.
type kernel struct {
	found  []Entry
	own    []netip.Addr
	onLink []netip.Prefix
}

// addTo adds the entries to a builder.
func (k *kernel) addTo(b *builder) {
	for _, e := range k.found {
		b.prefix(e.Prefix, e.Reason)
	}
	for _, p := range k.onLink {
		b.onLink[p] = struct{}{}
	}
}

// dumpTries is the number of times that a dump is tried. The kernel interrupts a dump when the
// table changes meanwhile, and on a router with many routes it may change all the time. So the
// results of all tries are kept, and after the last try they count as complete.
const dumpTries = 4

// readKernel dumps addresses, the routes of all tables, their next hops and the IPv6 neighbours.
func readKernel(ns int) (kernel, error) {
	handle := netns.None()
	if ns != 0 {
		handle = netns.NsHandle(ns)
	}

	// The handle stays in its namespace, even when the thread enters another one.
	h, err := netlink.NewHandleAt(handle, unix.NETLINK_ROUTE)
	if err != nil {
		return kernel{}, fmt.Errorf("open netlink: %w", err)
	}
	defer h.Close()

	r := reader{
		h: h, ns: ns, links: map[int]string{}, seen: map[Entry]struct{}{},
		seenOnLink: map[netip.Prefix]struct{}{},
	}

	// Links come first, because the reasons of the other entries name interfaces.
	for _, d := range []struct {
		what string
		dump func() error
	}{
		{"links", r.dumpLinks},
		{"addresses", r.dumpAddresses},
		{"routes", r.dumpRoutes},
		{"next hops", r.dumpNextHops},
		{"neighbours", r.dumpNeighbours},
	} {
		// An interrupted dump has still added what it found.
		for range dumpTries {
			if err = d.dump(); !errors.Is(err, netlink.ErrDumpInterrupted) {
				break
			}
		}

		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			return kernel{}, fmt.Errorf("list %s: %w", d.what, err)
		}
	}

	return r.kernel, nil
}

// reader fills a kernel from netlink.
type reader struct {
	kernel
	h          *netlink.Handle
	ns         int
	links      map[int]string
	seen       map[Entry]struct{}
	seenOnLink map[netip.Prefix]struct{}
}

// add adds a prefix once for each reason.
func (r *reader) add(p netip.Prefix, reason string) {
	e := Entry{p, reason}
	if _, ok := r.seen[e]; !ok && p.IsValid() {
		r.seen[e] = struct{}{}
		r.found = append(r.found, e)
	}
}

// addIP adds a single address.
func (r *reader) addIP(ip net.IP, reason string) {
	if a, ok := netip.AddrFromSlice(ip); ok {
		a = plain(a)
		r.add(netip.PrefixFrom(a, a.BitLen()), reason)
	}
}

// link returns the name of an interface, or its number if the interface was removed meanwhile.
func (r *reader) link(index int) string {
	if name, ok := r.links[index]; ok {
		return name
	}
	return fmt.Sprintf("interface %d", index)
}

// dumpLinks reads the names of the interfaces.
func (r *reader) dumpLinks() error {
	links, err := r.h.LinkList()
	for _, l := range links {
		r.links[l.Attrs().Index] = l.Attrs().Name
	}
	return err
}

// dumpAddresses adds our own addresses, the far ends of tunnels and broadcast addresses.
func (r *reader) dumpAddresses() error {
	addrs, err := r.h.AddrList(nil, netlink.FAMILY_ALL)
	for _, a := range addrs {
		name := r.link(a.LinkIndex)
		r.addIP(a.IP, "own address on "+name)
		if own, ok := netip.AddrFromSlice(a.IP); ok {
			r.own = append(r.own, plain(own))
		}
		// A default route through a tunnel leads to its far end, and need not name it.
		if a.Peer != nil && !a.Peer.IP.Equal(a.IP) {
			r.addIP(a.Peer.IP, "far end of "+name)
		}

		if len(a.Broadcast) > 0 {
			r.addIP(a.Broadcast, "broadcast address of "+name)
		}
	}

	return err
}

// dumpRoutes adds the gateways and networks of the routes of all tables.
func (r *reader) dumpRoutes() error {
	all := &netlink.Route{Table: unix.RT_TABLE_UNSPEC}
	return r.h.RouteListFilteredIter(netlink.FAMILY_ALL, all, netlink.RT_FILTER_TABLE,
		func(rt netlink.Route) bool {
			r.route(&rt)
			return true
		})
}

// route adds the gateways of a route. It adds the destination too, if that is ours or a network of
// our neighbours.
func (r *reader) route(rt *netlink.Route) {
	dst := prefixOf(rt.Dst)
	toAll := !dst.IsValid() || dst.Bits() == 0
	switch rt.Type {
	case unix.RTN_LOCAL, unix.RTN_ANYCAST:
		// A whole prefix may be ours (ip route add local …), but only in the kernel's own table. In
		// another table, such a route makes a transparent proxy take everybody's packets.
		if rt.Table == unix.RT_TABLE_LOCAL && !toAll {
			r.add(dst, "own address on "+r.link(rt.LinkIndex))
		}
		return
	case unix.RTN_BROADCAST:
		if !toAll {
			r.add(dst, "broadcast address of "+r.link(rt.LinkIndex))
		}
		return
	case unix.RTN_UNICAST:
	default:
		return
	}

	reason := "on-link router via "
	if toAll {
		reason = "default gateway via "
	}

	// hop adds a gateway, if the route has one. A route without any leads to a network of
	// neighbours.
	direct := true
	hop := func(gw net.IP, via netlink.Destination, link int) {
		if v, ok := via.(*netlink.Via); ok && len(gw) == 0 {
			gw = v.Addr // an IPv6 next hop of an IPv4 route
		}
		if len(gw) > 0 {
			direct = false
			r.addIP(gw, reason+r.link(link))
		}
	}

	// A route with several next hops has them in MultiPath only.
	hop(rt.Gw, rt.Via, rt.LinkIndex)
	for _, n := range rt.MultiPath {
		hop(n.Gw, n.Via, n.LinkIndex)
	}

	if direct && !toAll && isNetwork(dst) {
		if _, ok := r.seenOnLink[dst]; !ok {
			r.seenOnLink[dst] = struct{}{}
			r.onLink = append(r.onLink, dst)
		}
	}
}

// isNetwork reports whether p is small enough for a network of neighbours. A tunnel may have a
// route for half of the address space (0.0.0.0/1). As a network of neighbours, it would forbid
// every ban of a prefix.
func isNetwork(p netip.Prefix) bool {
	if p.Addr().Is4() {
		return p.Bits() >= 8
	}
	return p.Bits() >= 16
}

// dumpNeighbours adds IPv6 neighbours that announce themselves as routers.
func (r *reader) dumpNeighbours() error {
	ns, err := r.h.NeighList(0, netlink.FAMILY_V6)
	for _, n := range ns {
		if n.Flags&netlink.NTF_ROUTER != 0 {
			r.addIP(n.IP, "on-link router via "+r.link(n.LinkIndex))
		}
	}
	return err
}

// prefixOf returns a network as a masked prefix. It returns the zero Prefix if n is nil or not
// valid.
func prefixOf(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}

	a, ok := netip.AddrFromSlice(n.IP)
	ones, bits := n.Mask.Size()
	if !ok || bits == 0 {
		return netip.Prefix{}
	}
	if a.Is4In6() && bits == 32 {
		a = a.Unmap()
	}
	return netip.PrefixFrom(a, ones).Masked()
}
