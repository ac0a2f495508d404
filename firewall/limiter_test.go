package firewall

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/amifend/amifend/firewall/firewalltest"
)

// needLimiter skips a test on a kernel that cannot do all of the limiter.
func needLimiter(t testing.TB, table *Table) {
	t.Helper()
	needKernel(t, table.Limiter().Err)
}

// few allows a source 6 requests at once, and one each 20 s.
func few() *Limiter {
	return &Limiter{PerMinute: 3, Burst: 6, StrangersPerSecond: 1000, StrangersBurst: 1000}
}

func arm(t testing.TB, table *Table, drop bool) {
	t.Helper()
	if err := table.ArmLimiter(t.Context(), drop, time.Minute); err != nil {
		t.Fatal(err)
	}
}

func know(t testing.TB, table *Table, add ...string) {
	t.Helper()
	var addrs []netip.Addr
	for _, a := range add {
		addrs = append(addrs, netip.MustParseAddr(a))
	}
	if err := table.ChangeKnown(t.Context(), addrs, nil); err != nil {
		t.Fatal(err)
	}
}

// request is a SIP request of a method, longer than a keep-alive.
func request(method string) string {
	return method + " sip:192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.66;branch=z9hG4bK1\r\n\r\n"
}

// inbox is a UDP port of the PBX.
type inbox struct{ *net.UDPConn }

func (s *site) inbox(t testing.TB, dst, port string) inbox {
	return inbox{s.pbx.ListenUDP(t, net.JoinHostPort(dst, port))}
}

// count returns how many datagrams are waiting.
func (b inbox) count(t testing.TB) (n int) {
	t.Helper()
	buf := make([]byte, 65536)
	if err := b.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for {
		_, _, err := b.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
}

// sendTimes sends a text from an address of the outside n times.
func (s *site) sendTimes(t testing.TB, src, dst, port, text string, n int) {
	t.Helper()
	c := s.outside.DialUDP(t, net.JoinHostPort(src, "0"), net.JoinHostPort(dst, port))
	defer c.Close()
	for range n {
		if _, err := c.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
}

// limitedOf returns who is limited, as text.
func limitedOf(t testing.TB, table *Table) map[string]uint64 {
	t.Helper()
	out := map[string]uint64{}
	err := table.Limited(t.Context(), func(l Limited) {
		if l.Quiet > time.Minute {
			t.Errorf("%s is quiet for %s", l.Source, l.Quiet)
		}
		what := "passed "
		if l.Dropped {
			what = "dropped "
		}
		out[what+l.Source.String()] = l.Packets
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestLimiterLayout(t *testing.T) {
	ns := firewalltest.New(t)
	table := open(t, ns, Options{Limiter: &Limiter{}, Ports: Ports{SIP: PortRanges{
		{UDP, 4560, 5061}, {TCP, 5060, 5061},
	}}})
	needLimiter(t, table)
	firewalltest.Golden(t, "limiter.nft", ns.NFT(t, "list", "ruleset"))
	arm(t, table, true)
	know(t, table, phone4, phone6)
	ensure(t, table)
	for set, want := range map[string]string{
		"known4": phone4, "known6": "2001:db8::", "limiter_armed": "udp", "limiter_drops": "tcp",
	} {
		if got := ns.NFT(t, "list", "set", "inet", "amifend", set); !strings.Contains(got, want) {
			t.Errorf("a new layout lost an element of %s:\n%s", set, got)
		}
	}
	if err := table.ResetLimiter(t.Context()); err != nil {
		t.Fatal(err)
	}
	firewalltest.Golden(t, "limiter.nft", ns.NFT(t, "list", "ruleset"))

	// What others remove is laid out again.
	for _, damage := range []string{
		"flush chain inet amifend sip", "flush chain inet amifend limit_requests",
		"insert rule inet amifend served accept", "flush ruleset", "delete table inet amifend",
	} {
		ns.NFT(t, damage)
		if ok, err := table.complete(table.read); err != nil || ok {
			t.Errorf("complete after %q: %t, %v", damage, ok, err)
		}
		ensure(t, table)
		firewalltest.Golden(t, "limiter.nft", ns.NFT(t, "list", "ruleset"))
	}

	// A table without a limiter takes it away, also while it is armed.
	arm(t, table, true)
	without := open(t, ns, Options{})
	firewalltest.Golden(t, "empty.nft", ns.NFT(t, "list", "ruleset"))
	if n := len(limitedOf(t, without)); n != 0 {
		t.Errorf("%d sources are limited without a limiter", n)
	}
	arm(t, without, true)
	if got := without.Limiter(); got != (LimiterSupport{}) {
		t.Errorf("support without a limiter: %+v", got)
	}
}

func TestLimiterLimits(t *testing.T) {
	s := newSite(t, Options{Limiter: few()})
	needLimiter(t, s.table)
	in4, in6 := s.inbox(t, pbx4, "5060"), s.inbox(t, pbx6, "5060")

	// Nobody armed it.
	s.sendTimes(t, attacker4, pbx4, "5060", request("REGISTER"), 20)
	if n := in4.count(t); n != 20 {
		t.Errorf("not armed: %d of 20 arrive", n)
	}

	// It observes.
	arm(t, s.table, false)
	s.sendTimes(t, attacker4, pbx4, "5060", request("REGISTER"), 20)
	if n := in4.count(t); n != 20 {
		t.Errorf("observing: %d of 20 arrive", n)
	}
	if got := limitedOf(t, s.table); len(got) != 1 || got["passed "+attacker4+"/32"] != 14 {
		t.Errorf("observing: %v", got)
	}

	// It drops: the burst is used up already, and that of others is their own.
	arm(t, s.table, true)
	s.sendTimes(t, attacker4, pbx4, "5060", request("REGISTER"), 20)
	s.sendTimes(t, phone4, pbx4, "5060", request("REGISTER"), 5)
	if n := in4.count(t); n != 5 {
		t.Errorf("dropping: %d arrive, want 5", n)
	}

	// All addresses of a /64 are one source.
	s.sendTimes(t, attacker6, pbx6, "5060", request("REGISTER"), 4)
	s.sendTimes(t, phone6, pbx6, "5060", request("OPTIONS"), 4)
	s.sendTimes(t, next56, pbx6, "5060", request("OPTIONS"), 4)
	if n := in6.count(t); n != 10 {
		t.Errorf("IPv6: %d arrive, want 6 and 4", n)
	}

	got := limitedOf(t, s.table)
	for k, want := range map[string]uint64{
		"passed " + attacker4 + "/32": 14, "dropped " + attacker4 + "/32": 20,
		"dropped 2001:db8::/64": 2,
	} {
		if got[k] != want {
			t.Errorf("%s: %d, want %d", k, got[k], want)
		}
		delete(got, k)
	}
	if len(got) > 0 {
		t.Errorf("also %v", got)
	}
	of := func(a string) string {
		t.Helper()
		one, err := s.table.LimitedOf(t.Context(), netip.MustParseAddr(a))
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		for _, l := range one {
			texts = append(texts, fmt.Sprint(l.Source, " ", l.Dropped, " ", l.Packets))
		}
		return strings.Join(texts, ", ")
	}
	for a, want := range map[string]string{
		attacker4: attacker4 + "/32 true 20, " + attacker4 + "/32 false 14", phone4: "",
		phone6: "2001:db8::/64 true 2",
	} {
		if got := of(a); got != want {
			t.Errorf("%s: %q, want %q", a, got, want)
		}
	}

	counts, err := s.table.LimiterCounts(t.Context())
	if want := (LimiterCounts{Dropped: 22, Passed: 14}); err != nil || counts != want {
		t.Errorf("counts %+v, %v, want %+v", counts, err, want)
	}
}

// What is no request is never limited, nor are other ports.
func TestLimiterLetsGo(t *testing.T) {
	s := newSite(t, Options{Limiter: few()})
	needLimiter(t, s.table)
	arm(t, s.table, true)
	for _, c := range []struct {
		port, text string
		limited    bool
	}{
		{"5060", request("ACK"), false},
		{"5060", request("BYE"), false},
		{"5060", request("CANCEL"), false},
		{"5060", answerTo(200, "a", attacker4), false},
		{"5060", "\r\n\r\n", false},
		{"5060", strings.Repeat("\x00", 51), false},
		{"4569", strings.Repeat("\x20", 160), false}, // voice of IAX2
		{"20000", request("REGISTER"), false},
		{"5060", request("INVITE"), true},
		{"5061", request("\r\nregister"), true},
	} {
		if err := s.table.ResetLimiter(t.Context()); err != nil {
			t.Fatal(err)
		}
		arm(t, s.table, true)
		in := s.inbox(t, pbx4, c.port)
		s.sendTimes(t, attacker4, pbx4, c.port, c.text, 20)
		want := map[bool]int{false: 20, true: 6}[c.limited]
		if n := in.count(t); n != want {
			t.Errorf("port %s, %.20q: %d of 20 arrive, want %d", c.port, c.text, n, want)
		}
		in.Close()
	}
}

func TestLimiterExempts(t *testing.T) {
	s := newSite(t, Options{Limiter: few(), Allow: prefixes(lastOf56 + "/128")})
	needLimiter(t, s.table)
	in4, in6 := s.inbox(t, pbx4, "5060"), s.inbox(t, pbx6, "5060")
	arm(t, s.table, true)

	// A phone that proves itself in the middle is free with the next packet.
	s.sendTimes(t, phone4, pbx4, "5060", request("REGISTER"), 20)
	if n := in4.count(t); n != 6 {
		t.Fatalf("a stranger: %d of 20 arrive, want 6", n)
	}
	know(t, s.table, phone4)
	s.sendTimes(t, phone4, pbx4, "5060", request("REGISTER"), 20)
	if n := in4.count(t); n != 20 {
		t.Errorf("a known phone: %d of 20 arrive", n)
	}
	know(t, s.table, phone6) // and all of its /64
	s.sendTimes(t, attacker6, pbx6, "5060", request("REGISTER"), 20)
	if n := in6.count(t); n != 20 {
		t.Errorf("beside a known phone: %d of 20 arrive", n)
	}

	// The allow set comes before all.
	s.sendTimes(t, lastOf56, pbx6, "5060", request("REGISTER"), 20)
	if n := in6.count(t); n != 20 {
		t.Errorf("allowed: %d of 20 arrive", n)
	}

	// Removed, it is a stranger again.
	addr := netip.MustParseAddr(phone4)
	for range 2 {
		if err := s.table.ChangeKnown(t.Context(), nil, []netip.Addr{addr}); err != nil {
			t.Fatal(err)
		}
	}
	s.sendTimes(t, phone4, pbx4, "5060", request("REGISTER"), 20)
	if n := in4.count(t); n != 0 {
		t.Errorf("forgotten: %d of 20 arrive, want none", n)
	}
}

// An unlisted trunk raises no event. The PBX's 100 Trying frees it.
func TestLimiterFreesWhoIsServed(t *testing.T) {
	s := newSite(t, Options{Limiter: few()})
	needLimiter(t, s.table)
	arm(t, s.table, true)

	for _, c := range []struct {
		src, dst string
		status   int
		want     int
	}{
		{attacker4, pbx4, 401, 0},
		{attacker4, pbx4, 180, 0},
		{phone4, pbx4, 100, 20},
		{attacker6, pbx6, 100, 20},
	} {
		// The answers have the port of the PBX, so that must be free meanwhile.
		in := s.inbox(t, c.dst, "5060")
		s.sendTimes(t, c.src, c.dst, "5060", request("INVITE"), 20)
		in.count(t)
		in.Close()
		s.sendUDP(t, c.dst, "5060", c.src, answerTo(c.status, "a", c.src))

		in = s.inbox(t, c.dst, "5060")
		s.sendTimes(t, c.src, c.dst, "5060", request("INVITE"), 20)
		if n := in.count(t); n != c.want {
			t.Errorf("%s after %d: %d of 20 arrive, want %d", c.src, c.status, n, c.want)
		}
		in.Close()
	}
}

func TestLimiterCountsStreams(t *testing.T) {
	s := newSite(t, Options{Limiter: few()})
	needLimiter(t, s.table)
	arm(t, s.table, true)
	c, served := s.stream(t, attacker4, pbx4, "5060")

	// Segments of TLS are no requests, and neither are answers.
	got := make([]byte, 4096)
	write := func(text string) bool {
		if _, err := c.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		_ = served.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, err := io.ReadFull(served, got[:len(text)])
		return err == nil
	}
	for range 10 {
		for _, text := range []string{"\x17\x03\x03\x01\x00abc", answerTo(200, "a", "b"), "ACK sip:"} {
			if !write(text) {
				t.Fatalf("%.10q does not arrive", text)
			}
		}
	}
	for i := range 6 {
		if !write(request("REGISTER")) {
			t.Fatalf("request %d does not arrive", i)
		}
	}
	if write(request("REGISTER")) {
		t.Error("the seventh request arrives")
	}

	// A new connection is one more of the six.
	for i := range 5 {
		if !connects(t, s.outside, s.pbx, attacker4, pbx4, "5061") {
			t.Fatalf("connection %d fails", i+2)
		}
	}
	if connects(t, s.outside, s.pbx, attacker4, pbx4, "5061") {
		t.Error("the seventh connection comes about")
	}
	know(t, s.table, attacker4)
	if !connects(t, s.outside, s.pbx, attacker4, pbx4, "5061") {
		t.Error("a known source cannot connect")
	}
}

// The daemon is killed: nobody arms the limiter again.
func TestLimiterEndsByItself(t *testing.T) {
	s := newSite(t, Options{Limiter: few()})
	needLimiter(t, s.table)
	in := s.inbox(t, pbx4, "5060")
	const lease = 2 * time.Second
	if err := s.table.ArmLimiter(t.Context(), true, lease); err != nil {
		t.Fatal(err)
	}
	s.sendTimes(t, attacker4, pbx4, "5060", request("REGISTER"), 20)
	if n := in.count(t); n >= 20 {
		t.Fatal("it does not limit")
	}

	// No call comes any more. The kernel alone ends it.
	time.Sleep(lease)
	s.sendTimes(t, attacker4, pbx4, "5060", request("REGISTER"), 20)
	if n := in.count(t); n != 20 {
		t.Errorf("after the end: %d of 20 arrive", n)
	}

	// It can be armed again, for longer and for shorter, and ended at once.
	arm(t, s.table, true)
	s.sendTimes(t, attacker4, pbx4, "5060", request("REGISTER"), 20)
	if n := in.count(t); n > 6 {
		t.Errorf("armed again: %d arrive", n)
	}
	if err := s.table.ArmLimiter(t.Context(), false, 0); err != nil {
		t.Fatal(err)
	}
	s.sendTimes(t, attacker4, pbx4, "5060", request("REGISTER"), 20)
	if n := in.count(t); n != 20 {
		t.Errorf("disarmed: %d of 20 arrive", n)
	}
}

// forge sends a request each in the name of n addresses from 10.0.0.0 on, from a raw socket.
func (s *site) forge(t testing.TB, n int, build func(src netip.Addr) []byte) {
	t.Helper()
	s.outside.Do(t, func() error {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer syscall.Close(fd)
		to := &syscall.SockaddrInet4{Addr: netip.MustParseAddr(pbx4).As4()}
		for i := range n {
			src := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
			if err := syscall.Sendto(fd, build(src), 0, to); err != nil {
				return fmt.Errorf("packet %d: %w", i, err)
			}
		}
		return nil
	})
}

// ip4 returns an IPv4 packet to the PBX; the kernel fills the checksum of the header.
func ip4(src netip.Addr, proto Protocol, payload []byte) []byte {
	p := make([]byte, 20, 20+len(payload))
	p[0], p[8], p[9] = 0x45, 64, byte(proto)
	binary.BigEndian.PutUint16(p[2:], uint16(20+len(payload)))
	copy(p[12:], src.AsSlice())
	copy(p[16:], netip.MustParseAddr(pbx4).AsSlice())
	return append(p, payload...)
}

func forgedRequest(src netip.Addr) []byte {
	text := request("REGISTER")
	udp := make([]byte, 8, 8+len(text)) // without a checksum
	binary.BigEndian.PutUint16(udp, 5060)
	binary.BigEndian.PutUint16(udp[2:], 5060)
	binary.BigEndian.PutUint16(udp[4:], uint16(8+len(text)))
	return ip4(src, UDP, append(udp, text...))
}

func forgedSYN(src netip.Addr) []byte {
	tcp := make([]byte, 20)
	binary.BigEndian.PutUint16(tcp, 40000)
	binary.BigEndian.PutUint16(tcp[2:], 5060)
	tcp[12], tcp[13] = 5<<4, flagSYN
	return ip4(src, TCP, tcp)
}

// A flood of forged addresses takes what strangers have together. Who is known is not touched, and
// neither is who is measured already.
func TestLimiterUnderForgedFlood(t *testing.T) {
	s := newSite(t, Options{Limiter: &Limiter{
		PerMinute: 600, Burst: 100, StrangersPerSecond: 1, StrangersBurst: 50,
	}})
	needLimiter(t, s.table)
	in := s.inbox(t, pbx4, "5060")
	s.pbx.Run(t, "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0")
	arm(t, s.table, true)
	know(t, s.table, phone4)
	s.sendTimes(t, attacker4, pbx4, "5060", request("REGISTER"), 1) // measured from now on
	in.count(t)

	for what, build := range map[string]func(netip.Addr) []byte{
		"requests": forgedRequest, "connections": forgedSYN,
	} {
		before, err := s.table.LimiterCounts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.forge(t, 20_000, build)
		after, err := s.table.LimiterCounts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// Slow machines let some more pass.
		if n := after.StrangersDropped - before.StrangersDropped; n < 15_000 || n > 19_951 {
			t.Errorf("%s: %d of 20,000 forged dropped, want nearly all but the burst", what, n)
		}
		in.count(t)

		s.sendTimes(t, phone4, pbx4, "5060", request("REGISTER"), 20)
		s.sendTimes(t, attacker4, pbx4, "5060", request("REGISTER"), 20)
		if n := in.count(t); n != 40 {
			t.Errorf("%s: %d of 40 arrive of who is known or measured", what, n)
		}
	}
	if got := limitedOf(t, s.table); len(got) > 0 {
		t.Errorf("%d sources are named as limited", len(got))
	}
}

// A full set of measured sources cuts off nobody: strangers pass within their common limit, and who
// is known or measured as before.
func TestLimiterWithFullMeter(t *testing.T) {
	s := newSite(t, Options{Limiter: &Limiter{
		PerMinute: 600, Burst: 100, StrangersPerSecond: 1_000_000, StrangersBurst: 1_000_000, Size: 256,
	}})
	needLimiter(t, s.table)
	in := s.inbox(t, pbx4, "5060")
	s.pbx.Run(t, "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0")
	arm(t, s.table, true)
	know(t, s.table, phone4)

	s.forge(t, 2000, forgedRequest)
	in.count(t)
	for i := range 3 {
		s.sendTimes(t, phone4, pbx4, "5060", request("REGISTER"), 30)
		s.sendTimes(t, attacker4, pbx4, "5060", request("REGISTER"), 30)
		if n := in.count(t); n != 60 {
			t.Errorf("time %d: %d of 60 arrive", i, n)
		}
	}

	// A full set of known sources is an error that the caller can see, and changes nothing.
	var many []netip.Addr
	for i := range 256 {
		many = append(many, netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}))
	}
	if err := s.table.ChangeKnown(t.Context(), many, nil); !errors.Is(err, ErrFull) {
		t.Errorf("one known source too many: %v", err)
	}
	if err := s.table.ChangeKnown(t.Context(), many, []netip.Addr{netip.MustParseAddr(phone4)}); err != nil {
		t.Errorf("as many as there is room for: %v", err)
	}
}

// The power is cut: 200 phones behind one address that nobody knows start at once, each with 2
// requests before the first is known. All of them pass with the defaults.
func TestLimiterOfAnOffice(t *testing.T) {
	s := newSite(t, Options{Limiter: &Limiter{}})
	needLimiter(t, s.table)
	in := s.inbox(t, pbx4, "5060")
	arm(t, s.table, true)

	// 200 unauthenticated REGISTERs, then a login frees the address within the same burst.
	s.sendTimes(t, phone4, pbx4, "5060", request("REGISTER"), 200)
	if n := in.count(t); n != 200 {
		t.Fatalf("%d of 200 phones arrive", n)
	}
	s.sendTimes(t, phone4, pbx4, "5060", request("REGISTER"), 1)
	know(t, s.table, phone4)
	in.count(t)
	for range 5 {
		s.sendTimes(t, phone4, pbx4, "5060", request("REGISTER"), 200)
		if n := in.count(t); n != 200 {
			t.Errorf("%d of 200 requests arrive after the first login", n)
		}
	}
	if got := limitedOf(t, s.table); len(got) > 0 {
		t.Errorf("limited: %v", got)
	}
}

// A limiter of a table that is gone says so, and works again when the table is laid out.
func TestLimiterOfAGoneTable(t *testing.T) {
	s := newSite(t, Options{Limiter: few()})
	needLimiter(t, s.table)
	for _, damage := range []string{"flush ruleset", "delete table inet amifend"} {
		s.pbx.NFT(t, damage)
		_, counts := s.table.LimiterCounts(t.Context())
		for what, err := range map[string]error{
			"ArmLimiter":    s.table.ArmLimiter(t.Context(), true, time.Minute),
			"ResetLimiter":  s.table.ResetLimiter(t.Context()),
			"ChangeKnown":   s.table.ChangeKnown(t.Context(), []netip.Addr{netip.MustParseAddr(phone4)}, nil),
			"Limited":       s.table.Limited(t.Context(), func(Limited) {}),
			"LimiterCounts": counts,
		} {
			if !errors.Is(err, ErrGone) {
				t.Errorf("%s after %q: %v", what, damage, err)
			}
		}
		ensure(t, s.table)

		// Nothing is limited before somebody arms it.
		in := s.inbox(t, pbx4, "5060")
		s.sendTimes(t, attacker4, pbx4, "5060", request("REGISTER"), 20)
		if n := in.count(t); n != 20 {
			t.Errorf("after %q: %d of 20 arrive", damage, n)
		}
		arm(t, s.table, true)
		s.sendTimes(t, attacker4, pbx4, "5060", request("REGISTER"), 20)
		if n := in.count(t); n != 6 {
			t.Errorf("armed after %q: %d of 20 arrive", damage, n)
		}
		in.Close()
	}
}
