package firewalltest

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Join links two namespaces by a veth pair and gives each end its addresses, in CIDR notation. It
// returns the names of the interfaces in a and in b. The link is up, and IPv6 addresses are usable
// at once.
func Join(t testing.TB, a, b *NS, aAddrs, bAddrs []string) (aName, bName string) {
	t.Helper()
	aName, bName = a.nextLink(), b.nextLink()
	a.Do(t, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = aName
		veth := &netlink.Veth{
			LinkAttrs: attrs, PeerName: bName,
			PeerNamespace: netlink.NsFd(b.FD()),
		}
		if err := netlink.LinkAdd(veth); err != nil {
			return fmt.Errorf("add veth pair: %w", err)
		}

		return nil
	})

	// Both ends must be up before either is ready.
	a.Do(t, func() error { return setUp(aName, aAddrs) })
	b.Do(t, func() error { return setUp(bName, bAddrs) })
	a.Do(t, func() error { return awaitReady(aName, aAddrs) })
	b.Do(t, func() error { return awaitReady(bName, bAddrs) })
	return aName, bName
}

func (n *NS) nextLink() string {
	n.links++
	return fmt.Sprintf("veth%d", n.links)
}

func setUp(name string, addrs []string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}

	for _, a := range addrs {
		addr, err := netlink.ParseAddr(a)
		if err != nil {
			return fmt.Errorf("parse address %s: %w", a, err)
		}

		// Duplicate address detection would keep the address unusable for a second.
		if addr.IP.To4() == nil {
			addr.Flags = unix.IFA_F_NODAD
		}

		if err := netlink.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("add address %s to %s: %w", a, name, err)
		}
	}

	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set link %s up: %w", name, err)
	}
	return nil
}

// awaitReady waits until the kernel has noticed that the other end is up too (it drops packets
// before that), and has joined the solicited-node groups of the IPv6 addresses (it cannot be
// resolved before). It does both in its own time.
func awaitReady(name string, addrs []string) error {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return fmt.Errorf("find link %s: %w", name, err)
		}
		joined, err := joinedGroups(name, addrs)
		if err != nil {
			return err
		}

		up := link.Attrs().OperState == netlink.OperUp
		if up && joined {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("await link %s: up %t, groups joined %t", name, up, joined)
		}
	}
}

// joinedGroups looks for the solicited-node groups (RFC 4291, 2.7.1: the last three bytes of the
// address) in the namespace of the thread.
func joinedGroups(name string, addrs []string) (bool, error) {
	groups, err := os.ReadFile("/proc/thread-self/net/igmp6")
	if err != nil {
		return false, fmt.Errorf("read multicast groups: %w", err)
	}

	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a)
		if err != nil {
			return false, fmt.Errorf("parse address: %w", err)
		}
		b := prefix.Addr().As16()
		group := fmt.Sprintf("ff0200000000000000000001ff%x", b[13:])

		joined := slices.ContainsFunc(strings.Split(string(groups), "\n"), func(line string) bool {
			f := strings.Fields(line) // index, interface, group, users, flags, timer
			return len(f) > 2 && f[1] == name && f[2] == group
		})
		if prefix.Addr().Is6() && !joined {
			return false, nil
		}
	}

	return true, nil
}

// ListenUDP opens a UDP socket in the namespace, closed after the test.
func (n *NS) ListenUDP(t testing.TB, addr string) *net.UDPConn {
	t.Helper()
	var conn net.PacketConn
	n.Do(t, func() (err error) {
		conn, err = net.ListenPacket("udp", addr)
		return err
	})
	closeAfter(t, conn)
	return conn.(*net.UDPConn)
}

// DialUDP opens a UDP socket from a local address to a remote one in the namespace, closed after
// the test.
func (n *NS) DialUDP(t testing.TB, local, remote string) *net.UDPConn {
	t.Helper()
	var conn net.Conn
	n.Do(t, func() error {
		laddr, err := net.ResolveUDPAddr("udp", local)
		if err != nil {
			return fmt.Errorf("resolve %s: %w", local, err)
		}
		conn, err = (&net.Dialer{LocalAddr: laddr}).Dial("udp", remote)
		return err
	})

	closeAfter(t, conn)
	return conn.(*net.UDPConn)
}

// ListenTCP opens a listening TCP socket in the namespace, closed after the test.
func (n *NS) ListenTCP(t testing.TB, addr string) net.Listener {
	t.Helper()
	var l net.Listener
	n.Do(t, func() (err error) {
		l, err = net.Listen("tcp", addr)
		return err
	})
	closeAfter(t, l)
	return l
}

// DialTCP connects from a local address to a remote one in the namespace; the connection is closed
// after the test. Where packets are dropped, it fails after two seconds.
func (n *NS) DialTCP(t testing.TB, local, remote string) (net.Conn, error) {
	t.Helper()
	var conn net.Conn
	err := n.run(func() error {
		laddr, err := net.ResolveTCPAddr("tcp", local)
		if err != nil {
			return fmt.Errorf("resolve %s: %w", local, err)
		}
		conn, err = (&net.Dialer{LocalAddr: laddr, Timeout: 2 * time.Second}).Dial("tcp", remote)
		return err
	})
	if err == nil {
		closeAfter(t, conn)
	}

	return conn, err
}

func closeAfter(t testing.TB, c interface{ Close() error }) {
	t.Cleanup(func() {
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("close socket: %v", err)
		}
	})
}

// Flood sends small datagrams as fast as it can, until stop is called, which returns how many were
// sent.
func Flood(conn *net.UDPConn) (stop func() (sent int)) {
	var done atomic.Bool
	sent := make(chan int)
	go func() {
		n := 0
		for !done.Load() {
			// refused while nobody listens: try on
			if _, err := conn.Write([]byte("OPTIONS sip:flood SIP/2.0\r\n\r\n")); err == nil {
				n++
			}
		}

		sent <- n
	}()

	return func() int {
		done.Store(true)
		return <-sent
	}
}

// Count receives datagrams until stop is called, which returns how many came.
func Count(conn *net.UDPConn) (stop func() (received int)) {
	var n atomic.Int64
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 2048)
		for {
			if _, _, err := conn.ReadFrom(buf); err != nil {
				return
			}
			n.Add(1)
		}
	}()

	return func() int {
		_ = conn.Close() // ends the goroutine, whatever the error
		<-ended
		return int(n.Load())
	}
}
