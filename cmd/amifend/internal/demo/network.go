package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// The played network: the PBXs are in the network namespace of the process, all others in the far
// one. A veth pair joins them. The far side is the PBXs' default gateway, so the strangers are as
// far away as on the Internet.
const (
	nearLink = "pbx0"
	farLink  = "world0"
)

// world returns the networks whose every address belongs to the far side.
func world() []string {
	return []string{"10.20.0.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8:bad::/64"}
}

// gateways returns the far side's addresses on the link.
func gateways() (v4, v6 netip.Addr) {
	return netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8:1::1")
}

// space is the far network namespace.
type space struct{ handle netns.NsHandle }

// newSpace makes the far namespace and the link to it. The process must be root of its own network
// namespace.
func newSpace(near []netip.Addr) (*space, error) {
	s := &space{netns.None()}
	err := onOwnThread(func() (err error) {
		s.handle, err = netns.New() // moves this thread, which ends afterwards
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make a second network namespace: %w", err)
	}

	if err := s.join(near); err != nil {
		s.handle.Close()
		return nil, err
	}

	return s, nil
}

// join makes the link and gives both sides their addresses and routes.
func (s *space) join(near []netip.Addr) error {
	gw4, gw6 := gateways()

	// The PBXs are on the near side, with amifend. The far side plays the Internet.
	attrs := netlink.NewLinkAttrs()
	attrs.Name = nearLink
	veth := &netlink.Veth{
		LinkAttrs: attrs, PeerName: farLink,
		PeerNamespace: netlink.NsFd(int(s.handle)),
	}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("make a veth pair: %w", err)
	}

	if err := setUp(nearLink, near); err != nil {
		return err
	}

	err := s.do(func() error {
		if err := setUp(farLink, []netip.Addr{gw4, gw6}); err != nil {
			return err
		}
		return ownNetworks(world())
	})
	if err != nil {
		return err
	}

	// As in a real network, answers to strangers leave through the default gateway.
	for _, gw := range []netip.Addr{gw4, gw6} {
		if err := netlink.RouteAdd(&netlink.Route{Gw: gw.AsSlice()}); err != nil {
			return fmt.Errorf("add default route by %s: %w", gw, err)
		}
	}

	return nil
}

// do runs f in the far namespace. Sockets that f opens stay there.
func (s *space) do(f func() error) error {
	return onOwnThread(func() error {
		if err := netns.Set(s.handle); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return f()
	})
}

// dial opens a socket from an address of the far side to one of the near side.
func (s *space) dial(
	ctx context.Context, from netip.Addr, network string, to netip.AddrPort,
) (conn net.Conn, err error) {
	dialer := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}

	// No interface has the address, only a route to its whole network.
	if from.Is6() {
		dialer.Control = freeBind
	}
	if network == "tcp" {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}

	err = s.do(func() error {
		conn, err = dialer.DialContext(ctx, network, to.String())
		return err
	})

	return conn, err
}

// freeBind lets a socket use any address of a network that has a local route. IPv4 needs no option
// for that; see ipv6(7), IPV6_FREEBIND.
func freeBind(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = os.NewSyscallError("setsockopt",
			unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_FREEBIND, 1))
	})
	return errors.Join(err, failed)
}

// Close releases the namespace.
func (s *space) Close() error { return s.handle.Close() }

// setUp gives an interface addresses that are usable at once, and raises it and the loopback
// interface.
func setUp(name string, addrs []netip.Addr) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find interface %s: %w", name, err)
	}

	// With the search for duplicates, an IPv6 address would not be usable for a second or two.
	for _, a := range addrs {
		bits, flags := 24, 0
		if a.Is6() {
			bits, flags = 64, unix.IFA_F_NODAD
		}

		ip := net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits, a.BitLen())}
		if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: &ip, Flags: flags}); err != nil {
			return fmt.Errorf("add address %s: %w", a, err)
		}
	}

	// In a new namespace, lo is down too.
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find interface lo: %w", err)
	}

	for _, l := range []netlink.Link{lo, link} {
		if err := netlink.LinkSetUp(l); err != nil {
			return fmt.Errorf("raise interface %s: %w", l.Attrs().Name, err)
		}
	}

	return nil
}

// ownNetworks assigns every address of the networks to the thread's namespace, ip-route(8): type
// local.
func ownNetworks(networks []string) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find interface lo: %w", err)
	}

	// A local route makes all addresses of a network usable, without one on an interface.
	for _, n := range networks {
		dst, err := netlink.ParseIPNet(n)
		if err != nil {
			return fmt.Errorf("parse network: %w", err)
		}

		route := &netlink.Route{
			LinkIndex: lo.Attrs().Index, Dst: dst, Type: unix.RTN_LOCAL,
			Table: unix.RT_TABLE_LOCAL, Scope: netlink.SCOPE_HOST,
		}
		if err := netlink.RouteAdd(route); err != nil {
			return fmt.Errorf("add network %s: %w", n, err)
		}
	}

	return nil
}

// onOwnThread runs f on a thread that ends afterwards, so f may change the thread's namespace.
func onOwnThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime ends the thread with the goroutine
		done <- f()
	}()
	return <-done
}
