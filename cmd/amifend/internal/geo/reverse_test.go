package geo

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
)

// dnsServer is a server of DNS on loopback, and counts the questions.
type dnsServer struct {
	conn  net.PacketConn
	names map[string]string       // by question, such as 7.113.0.203.in-addr.arpa.
	addrs map[string][]netip.Addr // by name
	asked atomic.Int64
	mute  atomic.Bool // it does not answer
}

func newDNS(t *testing.T) *dnsServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	s := &dnsServer{conn: conn, names: map[string]string{}, addrs: map[string][]netip.Addr{}}
	return s
}

// resolver serves, and returns a resolver that asks this server only.
func (s *dnsServer) resolver() *net.Resolver {
	go s.serve()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", s.conn.LocalAddr().String())
	}}
}

func (s *dnsServer) serve() {
	buf := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		s.asked.Add(1)
		var m dnsmessage.Message
		if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 || s.mute.Load() {
			continue
		}
		m.Response, m.Additionals, m.RCode = true, nil, dnsmessage.RCodeNameError
		q := m.Questions[0]
		add := func(body dnsmessage.ResourceBody) {
			m.RCode = dnsmessage.RCodeSuccess
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 60},
				Body:   body,
			})
		}
		if name, ok := s.names[q.Name.String()]; ok && q.Type == dnsmessage.TypePTR {
			add(&dnsmessage.PTRResource{PTR: dnsmessage.MustNewName(name)})
		}
		for _, a := range s.addrs[q.Name.String()] {
			switch {
			case q.Type == dnsmessage.TypeA && a.Is4():
				add(&dnsmessage.AResource{A: a.As4()})
			case q.Type == dnsmessage.TypeAAAA && a.Is6():
				add(&dnsmessage.AAAAResource{AAAA: a.As16()})
			default: // the name exists, and has no such address
				m.RCode = dnsmessage.RCodeSuccess
			}
		}
		if out, err := m.Pack(); err == nil {
			_, _ = s.conn.WriteTo(out, from)
		}
	}
}

// A name that leads back to the address is confirmed. Others are what the owner claims, and none
// controls the terminal.
func TestReverse(t *testing.T) {
	s := newDNS(t)
	s.names["7.113.0.203.in-addr.arpa."] = "mail.example."
	s.addrs["mail.example."] = []netip.Addr{seven}
	s.names["8.113.0.203.in-addr.arpa."] = "bank.example."
	s.addrs["bank.example."] = []netip.Addr{netip.MustParseAddr("198.51.100.1")}
	s.names["9.113.0.203.in-addr.arpa."] = "a\x1b[31m.example."
	const six = "0.0.0.0.0.0.0.0.0.0.0.0.5.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa."
	s.names["7.0.0.0.0.0.0.0."+six] = "six.example."
	s.addrs["six.example."] = []netip.Addr{seven, netip.MustParseAddr("2001:db8:5::7")}
	s.names["8.0.0.0.0.0.0.0."+six] = "bank.example."
	a := run(t, config.Geo{ReverseDNS: true}, s.resolver())

	for text, want := range map[string]string{
		"2001:db8:5::7": "six.example", "2001:db8:5::8": "claims to be bank.example",
		"2001:db8:5::9": "", "203.0.113.7": "mail.example", "203.0.113.8": "claims to be bank.example",
		"203.0.113.9": "", "203.0.113.10": "", // Go's resolver refuses a name that is none
	} {
		addr := netip.MustParseAddr(text)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		a.Await(ctx, []netip.Addr{addr})
		cancel()
		if got := a.Of(addr).String(); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}

	// Known answers, and known absences, are not asked for again.
	before := s.asked.Load()
	for range 100 {
		a.Of(seven)
		a.Of(netip.MustParseAddr("203.0.113.10"))
	}
	if n := s.asked.Load(); n != before {
		t.Errorf("%d more questions", n-before)
	}
	if got := a.Of(netip.MustParseAddr("203.0.113.8")).Short(10); got != "bank.exa~?" {
		t.Errorf("short: %q", got)
	}
}

// DNS that does not answer holds nobody up for longer than they want to wait. What waits is bounded,
// and so is what is kept.
func TestReverseIsBounded(t *testing.T) {
	s := newDNS(t)
	s.mute.Store(true)
	a := run(t, config.Geo{ReverseDNS: true}, s.resolver())
	for i := range 20_000 {
		a.Of(netip.MustParseAddr(fmt.Sprintf("10.1.%d.%d", i>>8, i&255))) // it does not wait
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	a.Await(ctx, []netip.Addr{seven, netip.MustParseAddr("10.1.0.1")})
	if got := a.Of(seven); got != nil {
		t.Errorf("a name from nowhere: %v", got)
	}

	r := newReverse(nil)
	for i := range mostHosts + 1000 {
		r.put(netip.AddrFrom4([4]byte{10, 2, byte(i >> 8), byte(i)}), host{name: "x"})
		r.of(netip.AddrFrom4([4]byte{10, 3, byte(i >> 8), byte(i)}))
	}
	if len(r.hosts) != mostHosts || len(r.asked) != mostQueued {
		t.Errorf("%d hosts and %d questions", len(r.hosts), len(r.asked))
	}
}

// Without reverse_dns nobody is asked.
func TestNoReverse(t *testing.T) {
	s := newDNS(t)
	a := run(t, config.Geo{}, s.resolver())
	a.Of(seven)
	a.Await(t.Context(), []netip.Addr{seven})
	time.Sleep(3 * lookupPause)
	if s.asked.Load() != 0 {
		t.Error("DNS was asked")
	}
}
