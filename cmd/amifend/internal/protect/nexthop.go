package protect

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// dumpNextHops adds the gateways of next hop objects, ip-nexthop(8). A route that uses one names
// the gateway too, except where net.ipv4.nexthop_compat_mode is 0, and for IPv6: there it names
// only the object's number.
func (r *reader) dumpNextHops() error {
	c, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{NetNS: r.ns})
	if err != nil {
		return err
	}
	defer c.Close()

	// Old kernels know no such objects, so they hide no gateway there.
	hops, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.RTM_GETNEXTHOP, Flags: netlink.Request | netlink.Dump},
		Data:   make([]byte, unix.SizeofNhmsg),
	})
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) {
		return nil // before Linux 5.3
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

	if gateway.IsValid() {
		r.add(netip.PrefixFrom(gateway, gateway.BitLen()), "next hop via "+r.link(link))
	}

	return attributes.Err()
}
