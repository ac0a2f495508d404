package protect

import (
	"context"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// space is a private network namespace with a loopback interface that is up.
type space struct {
	t  *testing.T
	ns netns.NsHandle
	h  *netlink.Handle
}

func newSpace(t *testing.T) *space {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	home, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()

	ns, err := netns.New()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("make a network namespace: %v", err)
		}
		t.Skipf("make a network namespace (needs root): %v", err)
	}

	if err := netns.Set(home); err != nil {
		panic(err) // the thread must not be used in the wrong namespace
	}

	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}

	s := &space{t, ns, h}
	t.Cleanup(func() { h.Close(); ns.Close() })
	s.must(h.LinkSetUp(s.link("lo")))

	return s
}

func (s *space) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *space) link(name string) netlink.Link {
	s.t.Helper()
	l, err := s.h.LinkByName(name)
	s.must(err)
	return l
}

// ether adds an interface with addresses in CIDR form, and its other end, both up. IPv6 addresses
// skip duplicate detection.
func (s *space) ether(name string, addrs ...string) {
	s.t.Helper()
	s.must(s.h.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: name},
		PeerName:  name + "-peer",
	}))
	s.must(s.h.LinkSetUp(s.link(name)))
	s.must(s.h.LinkSetUp(s.link(name + "-peer")))
	for _, a := range addrs {
		s.must(s.h.AddrAdd(s.link(name), s.address(a)))
	}
}

func (s *space) address(cidr string) *netlink.Addr {
	s.t.Helper()
	a, err := netlink.ParseAddr(cidr)
	s.must(err)
	if a.IP.To4() == nil {
		a.Flags = unix.IFA_F_NODAD
	}
	return a
}

func (s *space) route(dst, gw, link string, change func(*netlink.Route)) {
	s.t.Helper()
	r := &netlink.Route{LinkIndex: s.link(link).Attrs().Index, Gw: net.ParseIP(gw)}
	if dst != "" {
		_, n, err := net.ParseCIDR(dst)
		s.must(err)
		r.Dst = n
	}

	if change != nil {
		change(r)
	}

	s.must(s.h.RouteAdd(r))
}

func (s *space) watcher(c Config) *Watcher {
	c.NetNS, c.Root = int(s.ns), s.t.TempDir()
	return New(c)
}

func reasonOf(s Set, addr string) string {
	a := netip.MustParseAddr(addr)
	for _, e := range s.Entries {
		if e.Prefix == netip.PrefixFrom(a, a.BitLen()) {
			return e.Reason
		}
	}
	for _, l := range s.Learned {
		if l.Addr == a {
			return l.Reason
		}
	}
	return ""
}

func snapshot(t *testing.T, w *Watcher) Set {
	t.Helper()
	s, err := w.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSnapshotFindsWhatTheKernelKnows(t *testing.T) {
	s := newSpace(t)
	s.ether("eth0", "192.0.2.10/24", "2001:db8:1::10/64")
	s.ether("eth1", "10.20.0.1/16")
	s.ether("ppp0")
	ptp := s.address("100.64.0.2/32")
	ptp.Peer = s.address("100.64.0.1/32").IPNet
	s.must(s.h.AddrAdd(s.link("ppp0"), ptp))
	s.route("", "192.0.2.1", "eth0", nil)
	s.route("", "2001:db8:1::1", "eth0", nil)
	s.route("", "192.0.2.2", "eth0", func(r *netlink.Route) { r.Table = 100 })
	s.route("198.51.100.0/24", "192.0.2.3", "eth0", nil)
	s.route("203.0.113.0/24", "", "eth0", func(r *netlink.Route) {
		r.MultiPath = []*netlink.NexthopInfo{
			{LinkIndex: r.LinkIndex, Gw: net.ParseIP("192.0.2.4")},
			{LinkIndex: s.link("eth1").Attrs().Index, Gw: net.ParseIP("10.20.0.5")},
		}
		r.LinkIndex = 0
	})

	s.route("198.18.0.0/24", "", "eth0", func(r *netlink.Route) {
		r.Via = &netlink.Via{AddrFamily: netlink.FAMILY_V6, Addr: net.ParseIP("2001:db8:1::4")}
	})

	s.route("10.99.0.0/24", "", "lo", func(r *netlink.Route) {
		r.Type, r.Table, r.Scope = unix.RTN_LOCAL, unix.RT_TABLE_LOCAL, unix.RT_SCOPE_HOST
	})

	s.route("0.0.0.0/0", "", "lo", func(r *netlink.Route) {
		r.Type, r.Table, r.Scope = unix.RTN_LOCAL, 101, unix.RT_SCOPE_HOST
	})

	s.route("198.19.0.0/16", "", "lo", func(r *netlink.Route) {
		r.Type, r.Table, r.Scope = unix.RTN_LOCAL, 101, unix.RT_SCOPE_HOST
	})

	s.route("128.0.0.0/1", "", "ppp0", func(r *netlink.Route) { r.Scope = unix.RT_SCOPE_LINK })
	s.must(s.h.NeighSet(&netlink.Neigh{
		LinkIndex: s.link("eth0").Attrs().Index, Family: netlink.FAMILY_V6,
		State: netlink.NUD_PERMANENT,
		Flags: netlink.NTF_ROUTER, IP: net.ParseIP("2001:db8:1::5"),
		HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 5},
	}))

	s.must(s.h.NeighSet(&netlink.Neigh{
		LinkIndex: s.link("eth0").Attrs().Index, Family: netlink.FAMILY_V6,
		State: netlink.NUD_PERMANENT,
		IP:    net.ParseIP("2001:db8:1::6"), HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 6},
	}))

	set := snapshot(t, s.watcher(Config{}))
	for addr, want := range map[string]string{
		"192.0.2.10":      "own address on eth0",
		"2001:db8:1::10":  "own address on eth0",
		"10.20.0.1":       "own address on eth1",
		"192.0.2.255":     "broadcast address of eth0",
		"10.20.255.255":   "broadcast address of eth1",
		"100.64.0.2":      "own address on ppp0",
		"100.64.0.1":      "far end of ppp0",
		"192.0.2.1":       "default gateway via eth0",
		"2001:db8:1::1":   "default gateway via eth0",
		"192.0.2.2":       "default gateway via eth0", // of another table
		"192.0.2.3":       "on-link router via eth0",
		"192.0.2.4":       "on-link router via eth0", // one of several next hops
		"10.20.0.5":       "on-link router via eth1",
		"2001:db8:1::4":   "on-link router via eth0", // of an IPv4 route
		"2001:db8:1::5":   "on-link router via eth0", // a neighbour with the router flag
		"2001:db8:1::6":   "",                        // one without
		"198.51.100.1":    "",                        // behind a router
		"255.255.255.255": "broadcast",
	} {
		if got := reasonOf(set, addr); got != want {
			t.Errorf("%s: reason %q, want %q", addr, got, want)
		}
	}

	for _, e := range set.Entries {
		if e.Prefix.Bits() == 0 {
			t.Errorf("%s is protected: %s", e.Prefix, e.Reason)
		}
		if e.Prefix != e.Prefix.Masked() {
			t.Errorf("%s is not masked", e.Prefix)
		}
	}

	if !slices.Contains(set.Entries,
		Entry{netip.MustParsePrefix("10.99.0.0/24"), "own address on lo"}) {
		t.Error("a local prefix is not protected")
	}

	if slices.ContainsFunc(set.Entries, func(e Entry) bool {
		return e.Prefix.Contains(netip.MustParseAddr("198.19.0.1"))
	}) {
		t.Error("what a transparent proxy takes is protected")
	}

	for p, want := range map[string]bool{
		"192.0.2.0/24": true, "10.20.0.0/16": true, "2001:db8:1::/64": true,
		"198.51.100.0/24": false, "128.0.0.0/1": false, "0.0.0.0/0": false,
	} {
		if got := slices.Contains(set.OnLink, netip.MustParsePrefix(p)); got != want {
			t.Errorf("%s on-link: %v, want %v; all: %v", p, got, want, set.OnLink)
		}
	}
}

// running is a Watcher whose Run hands its sets to a channel.
type running struct {
	t    *testing.T
	sets chan Set
}

func (s *space) run(w *Watcher) *running {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{s.t, make(chan Set, 1000)}
	done := make(chan error, 1)
	w.HandTo(func(set Set) { r.sets <- set })
	go func() { done <- w.Run(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("Run: %v", err)
		}
	})

	return r
}

// until waits for a set in which the address is protected, or not, for a reason that holds a text.
func (r *running) until(addr, reason string) {
	r.t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case set := <-r.sets:
			got := reasonOf(set, addr)
			if got == reason || reason != "" && strings.Contains(got, reason) {
				return
			}
		case <-deadline:
			r.t.Fatalf("%s: no set with reason %q came", addr, reason)
		}
	}
}

func TestRunFollowsTheKernel(t *testing.T) {
	s := newSpace(t)
	s.ether("eth0", "192.0.2.10/24")
	w := s.watcher(Config{})
	snapshot(t, w)
	r := s.run(w)

	// Addresses come and go.
	s.must(s.h.AddrAdd(s.link("eth0"), s.address("192.0.2.11/24")))
	r.until("192.0.2.11", "own address on eth0")
	s.must(s.h.AddrDel(s.link("eth0"), s.address("192.0.2.11/24")))
	r.until("192.0.2.11", "")

	s.route("", "192.0.2.1", "eth0", nil)
	r.until("192.0.2.1", "default gateway via eth0")

	// An IPv6 neighbour becomes a router, and goes with its interface.
	s.ether("eth1", "2001:db8:5::1/64")
	r.until("2001:db8:5::1", "own address on eth1")
	s.must(s.h.NeighSet(&netlink.Neigh{
		LinkIndex: s.link("eth1").Attrs().Index, Family: netlink.FAMILY_V6,
		State: netlink.NUD_PERMANENT,
		Flags: netlink.NTF_ROUTER, IP: net.ParseIP("2001:db8:5::5"),
		HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 5},
	}))

	r.until("2001:db8:5::5", "on-link router via eth1")
	s.must(s.h.LinkDel(s.link("eth1")))
	r.until("2001:db8:5::1", "")
}

func TestRunHandsOutOnlyChanges(t *testing.T) {
	s := newSpace(t)
	s.ether("eth0", "192.0.2.10/24")
	w := s.watcher(Config{})
	w.poll, w.resync, w.pause = time.Millisecond, time.Millisecond, time.Millisecond
	time.Sleep(200 * time.Millisecond) // the kernel is still adding the interface's IPv6 routes
	snapshot(t, w)
	r := s.run(w)
	time.Sleep(300 * time.Millisecond)
	if n := len(r.sets); n != 0 {
		t.Errorf("%d sets came though nothing changed: %+v", n, <-r.sets)
	}
}

// Without a subscription, and so after any loss, the kernel is asked again all the same.
func TestRunFindsAChangeThatTheKernelDidNotTell(t *testing.T) {
	s := newSpace(t)
	s.ether("eth0", "192.0.2.10/24")
	w := s.watcher(Config{})
	w.poll, w.resync = 20*time.Millisecond, 20*time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{t, make(chan Set, 100)}
	done := make(chan error)
	w.HandTo(func(set Set) { r.sets <- set })
	go func() { done <- w.follow(ctx) }() // listen is not running
	r.until("192.0.2.10", "own address")
	s.must(s.h.AddrAdd(s.link("eth0"), s.address("192.0.2.11/24")))
	r.until("192.0.2.11", "own address")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A storm of changes overflows the socket's buffer; what is true at its end must be found.
func TestRunSurvivesAnOverflow(t *testing.T) {
	s := newSpace(t)
	s.ether("eth0", "192.0.2.10/24")
	w := s.watcher(Config{})
	w.resync = time.Hour // only the kernel's news can tell
	w.buffer = 1         // the smallest that the kernel grants
	snapshot(t, w)
	r := s.run(w)

	for i := range 3000 {
		a := s.address(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}).String() + "/32")
		s.must(s.h.AddrAdd(s.link("eth0"), a))
	}

	s.must(s.h.AddrAdd(s.link("eth0"), s.address("192.0.2.77/24")))
	r.until("192.0.2.77", "own address on eth0")
	if w.overflows.Load() == 0 {
		t.Error("the socket did not overflow: the test shows nothing")
	}
}

func TestNeighboursThatAreNoRoutersDoNotMatter(t *testing.T) {
	s := newSpace(t)
	s.ether("eth0", "192.0.2.10/24", "2001:db8:1::10/64")
	w := s.watcher(Config{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.subscribe(ctx) }()
	<-w.kicked // subscribed
	time.Sleep(300 * time.Millisecond)

	for len(w.kicked) > 0 {
		<-w.kicked
	}

	neigh := func(ip string, flags int) {
		s.must(s.h.NeighSet(&netlink.Neigh{
			LinkIndex: s.link("eth0").Attrs().Index, State: netlink.NUD_PERMANENT, Flags: flags,
			IP: net.ParseIP(ip), HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 9},
		}))
	}

	neigh("192.0.2.99", 0)
	neigh("2001:db8:1::99", 0)
	time.Sleep(100 * time.Millisecond)
	if len(w.kicked) > 0 {
		t.Error("a neighbour that is no router made the watcher look again")
	}

	neigh("2001:db8:1::98", netlink.NTF_ROUTER)
	select {
	case <-w.kicked:
	case <-time.After(5 * time.Second):
		t.Error("a router did not make the watcher look again")
	}

	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
