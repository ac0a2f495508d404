package firewall

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amifend/amifend/firewall/firewalltest"
)

const (
	pbx4, attacker4, phone4 = "192.0.2.1", "192.0.2.66", "192.0.2.7"
	pbx6, attacker6, phone6 = "2001:db8::1", "2001:db8::66", "2001:db8::7"

	// The PBX's /64 is the first of the /56 2001:db8::/56, which is the first of the /48
	// 2001:db8::/48.
	lastOf56, lastOf48 = "2001:db8:0:ff:ffff:ffff:ffff:fffe", "2001:db8:0:ffff:ffff:ffff:ffff:fffe"
	next56, next48     = "2001:db8:0:100::1", "2001:db8:1::1"
)

// site is a PBX's namespace with the table, joined to one with an attacker and a phone.
type site struct {
	pbx, outside *firewalltest.NS
	table        *Table
}

func newSite(t testing.TB, o Options) *site {
	s := &site{pbx: firewalltest.New(t), outside: firewalltest.New(t)}
	firewalltest.Join(t, s.pbx, s.outside,
		[]string{pbx4 + "/24", pbx6 + "/64"},
		[]string{
			attacker4 + "/24", phone4 + "/24", attacker6 + "/64", phone6 + "/64",
			lastOf56 + "/64", next56 + "/64", lastOf48 + "/64", next48 + "/64",
		})

	s.table = open(t, s.pbx, o)
	return s
}

// arrives reports whether a datagram of a size gets through.
func arrives(t *testing.T, from, to *firewalltest.NS, src, dst, port string, size int) bool {
	t.Helper()
	listener := to.ListenUDP(t, net.JoinHostPort(dst, port))
	defer listener.Close()
	conn := from.DialUDP(t, net.JoinHostPort(src, "0"), net.JoinHostPort(dst, port))
	defer conn.Close()

	if _, err := conn.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if err := listener.SetReadDeadline(time.Now().Add(150 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}

	buf := make([]byte, 65536)
	n, _, err := listener.ReadFrom(buf)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}

	return err == nil && n == size
}

func TestWhatABanDrops(t *testing.T) {
	s := newSite(t, Options{})
	for _, tt := range []struct {
		prefix string
		scope  Scope
		src    string
		ports  map[string]bool // does it arrive?
	}{
		{attacker4 + "/32", ScopeAll, attacker4, map[string]bool{"5060": false, "20000": false}},
		{attacker4 + "/32", ScopeAll, phone4, map[string]bool{"5060": true}},
		{"192.0.2.0/24", ScopeAll, phone4, map[string]bool{"5060": false, "20000": false}},
		{attacker4 + "/32", ScopeSIP, attacker4, map[string]bool{
			"5059": true, "5060": false,
			"5061": false, "5062": true, "4569": false, "20000": true,
		}},
		{attacker4 + "/32", ScopeSIP, phone4, map[string]bool{"5060": true}},
		{"192.0.2.0/24", ScopeSIP, phone4, map[string]bool{"5060": false, "20000": true}},
		{"192.0.3.0/24", ScopeAll, phone4, map[string]bool{"5060": true}},
		{attacker6 + "/128", ScopeAll, attacker6, map[string]bool{"5060": false, "20000": false}},
		{attacker6 + "/128", ScopeAll, phone6, map[string]bool{"5060": true}},
		{"2001:db8::/64", ScopeAll, phone6, map[string]bool{"5060": false, "20000": false}},
		{attacker6 + "/128", ScopeSIP, attacker6, map[string]bool{
			"5060": false, "5062": true,
			"4569": false, "20000": true,
		}},
		{"2001:db8::/64", ScopeSIP, phone6, map[string]bool{"5060": false, "20000": true}},
		{"2001:db8:0:1::/64", ScopeAll, phone6, map[string]bool{"5060": true}},
		{"2001:db8::/56", ScopeAll, phone6, map[string]bool{"5060": false}},
		{"2001:db8::/56", ScopeAll, lastOf56, map[string]bool{"5060": false, "20000": false}},
		{"2001:db8::/56", ScopeAll, next56, map[string]bool{"5060": true, "20000": true}},
		{"2001:db8:0:100::/56", ScopeAll, lastOf56, map[string]bool{"5060": true}},
		{"2001:db8::/56", ScopeSIP, lastOf56, map[string]bool{
			"5060": false, "5062": true,
			"4569": false, "20000": true,
		}},
		{"2001:db8::/56", ScopeSIP, next56, map[string]bool{"5060": true}},
		{"2001:db8::/48", ScopeAll, next56, map[string]bool{"5060": false}},
		{"2001:db8::/48", ScopeAll, lastOf48, map[string]bool{"5060": false, "20000": false}},
		{"2001:db8::/48", ScopeAll, next48, map[string]bool{"5060": true, "20000": true}},
		{"2001:db8:1::/48", ScopeAll, lastOf48, map[string]bool{"5060": true}},
		{"2001:db8::/48", ScopeSIP, lastOf48, map[string]bool{
			"5060": false, "5062": true,
			"4569": false, "20000": true,
		}},
		{"2001:db8::/48", ScopeSIP, next48, map[string]bool{"5060": true}},
	} {
		for port, want := range tt.ports {
			t.Run(fmt.Sprintf("%s %s, %s to %s", tt.prefix, tt.scope, tt.src, port),
				func(t *testing.T) {
					dst := pbx4
					if strings.Contains(tt.src, ":") {
						dst = pbx6
					}
					if !arrives(t, s.outside, s.pbx, tt.src, dst, port, 100) {
						t.Fatal("does not arrive before the ban")
					}

					apply(t, s.table, ban(tt.prefix, tt.scope, time.Hour))
					if got := arrives(t, s.outside, s.pbx, tt.src, dst, port, 100); got != want {
						t.Errorf("arrives: %t, want %t", got, want)
					}

					// The counter of the ban shows what it dropped, and nothing else.
					e, ok, err := s.table.Element(t.Context(), ban(tt.prefix, tt.scope, 0).Prefix,
						tt.scope)
					if err != nil || !ok || !e.Counted || (e.Packets == 0) != want ||
						(e.Bytes == 0) != want {
						t.Errorf("element %+v, %t, %v", e, ok, err)
					}

					apply(t, s.table, lift(tt.prefix, tt.scope))
					if !arrives(t, s.outside, s.pbx, tt.src, dst, port, 100) {
						t.Error("does not arrive after the lift")
					}
				})
		}
	}
}

// connects reports whether a connection can be made.
func connects(t *testing.T, from, to *firewalltest.NS, src, dst, port string) bool {
	t.Helper()
	listener := to.ListenTCP(t, net.JoinHostPort(dst, port))
	defer listener.Close()

	conn, err := from.DialTCP(t, net.JoinHostPort(src, "0"), net.JoinHostPort(dst, port))
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// A ban with scope stream cuts TCP to the PBX. Phones over UDP and all other servers go on.
func TestWhatAStreamBanDrops(t *testing.T) {
	s := newSite(t, Options{})
	// Answers to the networks beside the PBX's take the same link.
	s.pbx.Run(t, "ip", "-6", "route", "add", "2001:db8::/32", "dev", "veth1")
	for _, tt := range []struct {
		prefix, banned, other string
	}{
		{attacker4 + "/32", attacker4, phone4},
		{"192.0.2.0/24", phone4, ""},
		{attacker6 + "/128", attacker6, phone6},
		{"2001:db8::/64", phone6, lastOf56},
		{"2001:db8::/56", lastOf56, next56},
		{"2001:db8::/48", lastOf48, next48},
	} {
		t.Run(tt.prefix, func(t *testing.T) {
			dst := pbx4
			if strings.Contains(tt.banned, ":") {
				dst = pbx6
			}
			prefix := netip.MustParsePrefix(tt.prefix)
			apply(t, s.table, ban(tt.prefix, ScopeStream, time.Hour))
			defer apply(t, s.table, lift(tt.prefix, ScopeStream))

			// What goes on is tried first: the ban must not have counted any of it.
			for _, port := range []string{"5060", "5061", "4569", "8089", "5038", "20000"} {
				if !arrives(t, s.outside, s.pbx, tt.banned, dst, port, 100) {
					t.Errorf("UDP to %s does not arrive", port)
				}
			}
			for _, port := range []string{"443", "22", "5037", "5040", "5062", "8087", "8090"} {
				if !connects(t, s.outside, s.pbx, tt.banned, dst, port) {
					t.Errorf("TCP to %s does not arrive", port)
				}
			}
			e, ok, err := s.table.Element(t.Context(), prefix, ScopeStream)
			if err != nil || !ok || !e.Counted || e.Packets != 0 {
				t.Errorf("what goes on is counted: %+v, %t, %v", e, ok, err)
			}

			// What is dropped takes its time, so all ports are tried at once.
			ports := []string{"5060", "5061", "8088", "8089", "5038", "5039"}
			var wg sync.WaitGroup
			for _, port := range ports {
				if tt.other != "" && !connects(t, s.outside, s.pbx, tt.other, dst, port) {
					t.Errorf("TCP from %s to %s does not arrive", tt.other, port)
				}
				wg.Go(func() {
					if connects(t, s.outside, s.pbx, tt.banned, dst, port) {
						t.Errorf("TCP to %s arrives", port)
					}
				})
			}

			wg.Wait()
			e, ok, err = s.table.Element(t.Context(), prefix, ScopeStream)
			if err != nil || !ok || e.Packets < uint64(len(ports)) {
				t.Errorf("the ban has counted %+v, %t, %v", e, ok, err)
			}
		})
	}
}

// A datagram in three fragments does not reach a SIP port of a ban, whether or not conntrack puts
// fragments together before us.
func TestFragments(t *testing.T) {
	for name, conntrack := range map[string]bool{
		"without conntrack": false,
		"with conntrack":    true,
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, Options{})
			if conntrack {
				s.pbx.NFT(t, blocks("table inet track { chain c { "+
					"type filter hook prerouting priority 0; ct state new accept; } }"))
			}

			for _, a := range []struct{ src, dst string }{{attacker4, pbx4}, {attacker6, pbx6}} {
				if !arrives(t, s.outside, s.pbx, a.src, a.dst, "5060", 4000) {
					t.Fatalf("fragments from %s do not arrive before the ban", a.src)
				}

				prefix := attacker4 + "/32"
				if a.src == attacker6 {
					prefix = attacker6 + "/128"
				}
				apply(t, s.table, ban(prefix, ScopeSIP, time.Hour))

				// Only the first fragment shows the port. Without it the others are nothing.
				if arrives(t, s.outside, s.pbx, a.src, a.dst, "5060", 4000) {
					t.Errorf("fragments from %s arrive at a SIP port", a.src)
				}
				if !arrives(t, s.outside, s.pbx, a.src, a.dst, "20000", 4000) {
					t.Errorf("fragments from %s do not arrive at another port", a.src)
				}

				apply(t, s.table, ban(prefix, ScopeAll, time.Hour))
				if arrives(t, s.outside, s.pbx, a.src, a.dst, "20000", 4000) {
					t.Errorf("fragments from %s arrive under scope all", a.src)
				}
			}
		})
	}
}

func TestAllowBeatsEveryBan(t *testing.T) {
	s := newSite(t, Options{Allow: prefixes(phone4+"/32", phone6+"/128")})
	apply(t, s.table,
		ban(phone4+"/32", ScopeAll, time.Hour), ban("192.0.2.0/24", ScopeAll, time.Hour),
		ban(phone4+"/32", ScopeSIP, time.Hour),
		ban(phone6+"/128", ScopeAll, time.Hour), ban("2001:db8::/64", ScopeAll, time.Hour),
		ban("2001:db8::/64", ScopeSIP, time.Hour),
		ban("2001:db8::/56", ScopeAll, time.Hour), ban("2001:db8::/48", ScopeAll, time.Hour),
		ban("2001:db8::/56", ScopeSIP, time.Hour), ban("2001:db8::/48", ScopeSIP, time.Hour),
		ban(phone4+"/32", ScopeStream, time.Hour))
	if !connects(t, s.outside, s.pbx, phone4, pbx4, "8089") {
		t.Error("an allowed address cannot connect")
	}

	for src, want := range map[string]bool{
		phone4: true, attacker4: false, phone6: true,
		attacker6: false,
	} {
		dst := pbx4
		if strings.Contains(src, ":") {
			dst = pbx6
		}
		if got := arrives(t, s.outside, s.pbx, src, dst, "5060", 100); got != want {
			t.Errorf("from %s arrives: %t, want %t", src, got, want)
		}
	}

	// Without the allowlist the same bans drop.
	if err := s.table.SetAllow(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if arrives(t, s.outside, s.pbx, phone4, pbx4, "5060", 100) {
		t.Error("arrives after the allowlist was emptied")
	}
}

func TestLoopbackPasses(t *testing.T) {
	s := newSite(t, Options{})
	apply(t, s.table,
		ban("127.0.0.1/32", ScopeAll, time.Hour), ban("127.0.0.0/24", ScopeSIP, time.Hour),
		ban("::1/128", ScopeAll, time.Hour), ban(pbx4+"/32", ScopeAll, time.Hour))
	for _, addr := range []string{"127.0.0.1", "::1", pbx4} {
		if !arrives(t, s.pbx, s.pbx, addr, addr, "5060", 100) {
			t.Errorf("%s does not reach itself", addr)
		}
	}
}

// With an on-link prefix banned, the PBX can still resolve its neighbours, and they it: else one
// banned host would cut off all.
func TestNeighbourDiscoverySurvivesABannedOnLinkPrefix(t *testing.T) {
	s := newSite(t, Options{Allow: prefixes(phone6 + "/128")})
	apply(t, s.table, ban("2001:db8::/64", ScopeAll, time.Hour),
		ban("2001:db8::/56", ScopeAll, time.Hour), ban("2001:db8::/48", ScopeAll, time.Hour))
	s.pbx.Run(t, "ip", "-6", "neigh", "flush", "all")
	s.outside.Run(t, "ip", "-6", "neigh", "flush", "all")

	for _, way := range []struct {
		name     string
		from, to *firewalltest.NS
		src, dst string
	}{{"out", s.pbx, s.outside, pbx6, attacker6}, {"in", s.outside, s.pbx, phone6, pbx6}} {
		if !arrives(t, way.from, way.to, way.src, way.dst, "5060", 100) {
			t.Errorf("%s: the neighbour was not resolved", way.name)
		}
	}

	if arrives(t, s.outside, s.pbx, attacker6, pbx6, "5060", 100) {
		t.Error("the banned prefix gets through")
	}
}

func TestAnEstablishedTCPFlowIsCutAtOnce(t *testing.T) {
	s := newSite(t, Options{})
	s.pbx.NFT(t, blocks("table inet track { chain c { "+
		"type filter hook input priority 0; ct state established accept; } }"))
	for _, tt := range []struct {
		scope Scope
		port  string
	}{
		{ScopeSIP, "5061"}, {ScopeStream, "5061"}, {ScopeStream, "8089"}, {ScopeStream, "5038"},
	} {
		t.Run(tt.scope.String()+" "+tt.port, func(t *testing.T) {
			l := s.pbx.ListenTCP(t, net.JoinHostPort(pbx4, tt.port))
			attacker, err := s.outside.DialTCP(t, attacker4+":0", net.JoinHostPort(pbx4, tt.port))
			if err != nil {
				t.Fatal(err)
			}
			server, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()

			// The rule of conntrack accepts the flow, but comes after ours.
			if !says(t, attacker, server) {
				t.Fatal("nothing arrives before the ban")
			}

			apply(t, s.table, ban(attacker4+"/32", tt.scope, time.Hour))
			defer apply(t, s.table, lift(attacker4+"/32", tt.scope))
			if says(t, attacker, server) {
				t.Error("the flow goes on after the ban")
			}
		})
	}
}

func says(t *testing.T, from, to net.Conn) bool {
	t.Helper()
	if _, err := from.Write([]byte("OPTIONS")); err != nil {
		t.Fatal(err)
	}
	if err := to.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}

	n, err := to.Read(make([]byte, 100))
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return n > 0
}

// Under a flood, a ban is refreshed many times: not one packet may pass. To know that the test
// would see one, the same is done the wrong way, in two transactions.
func TestRefreshLeaksNothing(t *testing.T) {
	const refreshes = 1000
	s := newSite(t, Options{})
	refresh := func(t *testing.T) {
		for i := range refreshes {
			apply(t, s.table, ban(attacker4+"/32", ScopeAll, time.Duration(1+i%2)*time.Hour))
		}
	}

	bothWays(t, s.table, func(t *testing.T) {
		if leaked, sent := s.flood(t, refresh); leaked != 0 {
			t.Errorf("%d of %d packets leaked in %d refreshes", leaked, sent, refreshes)
		} else {
			t.Logf("0 of %d packets leaked in %d refreshes", sent, refreshes)
		}
	})

	t.Run("the test sees leaks", func(t *testing.T) {
		leaked, sent := s.flood(t, func(t *testing.T) {
			for range refreshes {
				apply(t, s.table, lift(attacker4+"/32", ScopeAll))
				apply(t, s.table, ban(attacker4+"/32", ScopeAll, time.Hour))
			}
		})
		if leaked == 0 {
			t.Errorf("0 of %d packets leaked though lifted %d times", sent, refreshes)
		}

		t.Logf("%d of %d packets leaked", leaked, sent)
	})
}

// flood bans the attacker, floods while during runs, and returns what arrived and what was sent.
func (s *site) flood(t *testing.T, during func(t *testing.T)) (leaked, sent int) {
	apply(t, s.table, ban(attacker4+"/32", ScopeAll, time.Hour))
	stopCount := firewalltest.Count(s.pbx.ListenUDP(t, pbx4+":5060"))
	stopFlood := firewalltest.Flood(s.outside.DialUDP(t, attacker4+":0", pbx4+":5060"))
	during(t)
	sent = stopFlood()
	leaked = stopCount()

	e, _, err := s.table.Element(t.Context(), ban(attacker4+"/32", ScopeAll, 0).Prefix, ScopeAll)
	if err != nil || sent < 1000 {
		t.Fatalf("%d sent, element %+v, %v", sent, e, err)
	}

	// The counter shows which way was taken: a new element begins at 0.
	if kept := e.Packets >= uint64(sent); leaked == 0 && kept != s.table.updates {
		t.Errorf("the element counted %d of %d packets", e.Packets, sent)
	}
	return leaked, sent
}

// A table that is laid out again under a flood, as at each start, lets nothing through in either
// scope.
func TestEnsureLeaksNothing(t *testing.T) {
	const times = 300
	s := newSite(t, Options{})
	for _, scope := range []Scope{ScopeAll, ScopeSIP} {
		t.Run(scope.String(), func(t *testing.T) {
			apply(t, s.table, ban(attacker4+"/32", scope, time.Hour))
			stopCount := firewalltest.Count(s.pbx.ListenUDP(t, pbx4+":5060"))
			stopFlood := firewalltest.Flood(s.outside.DialUDP(t, attacker4+":0", pbx4+":5060"))

			// Each call replaces all rules while packets arrive.
			for range times {
				if err := s.table.Ensure(t.Context()); err != nil {
					t.Fatal(err)
				}
			}

			sent := stopFlood()
			if leaked := stopCount(); leaked != 0 || sent < times {
				t.Errorf("%d of %d packets leaked in %d times", leaked, sent, times)
			}
			apply(t, s.table, lift(attacker4+"/32", scope))
		})
	}
}

// A gateway drops packets to the PBX behind it. It sees the port before DNAT, so Ports must name
// the port on the wire.
func TestGatewayWithDNAT(t *testing.T) {
	outside, gateway, pbx := firewalltest.New(t), firewalltest.New(t), firewalltest.New(t)
	firewalltest.Join(t, gateway, outside, []string{pbx4 + "/24"}, []string{attacker4 + "/24"})
	firewalltest.Join(t, gateway, pbx, []string{"10.0.0.1/24"}, []string{"10.0.0.2/24"})
	pbx.Run(t, "ip", "route", "add", "default", "via", "10.0.0.1")
	gateway.Run(t, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
	gateway.NFT(t, blocks("table ip nat { chain pre { "+
		"type nat hook prerouting priority -100; udp dport 5080 dnat to 10.0.0.2:5060; } }"))
	listener := pbx.ListenUDP(t, "10.0.0.2:5060")

	conn := outside.DialUDP(t, attacker4+":0", pbx4+":5080")
	for _, tt := range []struct {
		name   string
		ports  PortRanges
		scope  Scope
		arrive bool
	}{
		{"the port behind", PortRanges{{UDP, 5060, 5060}}, ScopeSIP, true},
		{"the port on the wire", PortRanges{{UDP, 5080, 5080}}, ScopeSIP, false},
		{"scope all", PortRanges{{UDP, 5060, 5060}}, ScopeAll, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := open(t, gateway, Options{Ports: Ports{SIP: tt.ports}})
			if !says(t, conn, listener) {
				t.Fatal("does not arrive before the ban")
			}
			apply(t, table, ban(attacker4+"/32", tt.scope, time.Hour))

			if got := says(t, conn, listener); got != tt.arrive {
				t.Errorf("arrives: %t, want %t", got, tt.arrive)
			}
			apply(t, table, lift(attacker4+"/32", tt.scope))
		})
	}
}
