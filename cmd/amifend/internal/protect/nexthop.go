package protect

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// dumpNextHops adds the gateways of next hop objects, ip-nexthop(8). An IPv6 route names only the
// number of its object. So does an IPv4 route if net.ipv4.nexthop_compat_mode is 0. Otherwise it
// also names the gateway.
func (r *reader) dumpNextHops() error {
	c, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{NetNS: r.ns})
	if err != nil {
		return err
	}
	defer c.Close()

	hops, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.RTM_GETNEXTHOP, Flags: netlink.Request | netlink.Dump},
		Data:   make([]byte, unix.SizeofNhmsg),
	})

	// Linux before 5.3 has no such objects.
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	if err != nil {
		return err
	}

	for _, h := range hops {
		if err := r.nextHop(h.Data); err != nil {
			return err
		}
	}

	return nil
}

// nextHop reads one struct nhmsg with its attributes.
func (r *reader) nextHop(data []byte) error {
	if len(data) < unix.SizeofNhmsg {
		return fmt.Errorf("next hop of %d bytes", len(data))
	}

	attributes, err := netlink.NewAttributeDecoder(data[unix.SizeofNhmsg:])
	if err != nil {
		return err
	}

	// The kernel sends the attributes in any order.
	var gateway netip.Addr
	link := 0
	for attributes.Next() {
		switch attributes.Type() {
		case unix.NHA_GATEWAY:
			gateway, _ = netip.AddrFromSlice(attributes.Bytes())
		case unix.NHA_OIF:
			link = int(attributes.Uint32())
		}
	}

	// A next hop without a gateway leads to neighbours, and a group names other next hops.
	if gateway.IsValid() {
		r.add(netip.PrefixFrom(gateway, gateway.BitLen()), "next hop via "+r.link(link))
	}

	return attributes.Err()
}
