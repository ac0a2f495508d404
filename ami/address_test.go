package ami

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// checkAddress wants parseAddress to take exactly what netip takes, but for zones.
func checkAddress(t *testing.T, host string, port uint16) {
	t.Helper()
	want, err := netip.ParseAddr(host)
	valid := err == nil && want.Zone() == "" && !strings.Contains(host, "/")
	for _, family := range []string{"IPV4", "IPV6"} {
		text := fmt.Sprintf("%s/UDP/%s/%d", family, host, port)
		got, ok := parseAddress([]byte(text))
		if wantOK := valid && want.Is4() == (family == "IPV4"); ok != wantOK {
			t.Errorf("parseAddress(%q) is %v, %v; netip says %v, %v", text, got.addrPort, ok, want,
				err)
		}
		if ok && (got.addrPort != netip.AddrPortFrom(want.Unmap(), port) ||
			got.transport != TransportUDP) {
			t.Errorf("parseAddress(%q) = %v %v, want %v port %d", text, got.transport, got.addrPort,
				want, port)
		}
	}
}

func TestParseAddress(t *testing.T) {
	// Every transport, and every form of IPv6 that a C library may print.
	good := map[string]struct {
		transport Transport
		want      string
	}{
		"IPV4/UDP/198.51.100.11/46843":           {TransportUDP, "198.51.100.11:46843"},
		"IPV4/TCP/0.0.0.0/5038":                  {TransportTCP, "0.0.0.0:5038"},
		"IPV4/TLS/192.0.2.10/5061":               {TransportTLS, "192.0.2.10:5061"},
		"IPV4/WS/192.0.2.10/0":                   {TransportWS, "192.0.2.10:0"},
		"IPV4/WSS/192.0.2.10/65535":              {TransportWSS, "192.0.2.10:65535"},
		"IPV6/UDP/2001:db8:bad::abcd:1/5060":     {TransportUDP, "[2001:db8:bad::abcd:1]:5060"},
		"IPV6/UDP/fe80::7018:70ff:fe40:175/1":    {TransportUDP, "[fe80::7018:70ff:fe40:175]:1"},
		"IPV6/TCP/::/5038":                       {TransportTCP, "[::]:5038"},
		"IPV6/TCP/::ffff:198.51.100.11/5060":     {TransportTCP, "198.51.100.11:5060"},
		"IPV6/TCP/::ffff:c633:640b/5060":         {TransportTCP, "198.51.100.11:5060"},
		"IPV6/TCP/0:0:0:0:0:ffff:1.2.3.4/5060":   {TransportTCP, "1.2.3.4:5060"},
		"IPV6/UDP/2001:DB8:0:0:1:0:0:1/5060":     {TransportUDP, "[2001:db8::1:0:0:1]:5060"},
		"IPV6/UDP/1:2:3:4:5:6:255.255.255.255/1": {TransportUDP, "[1:2:3:4:5:6:ffff:ffff]:1"},
	}
	for text, test := range good {
		got, ok := parseAddress([]byte(text))
		if !ok || got.transport != test.transport || got.addrPort.String() != test.want {
			t.Errorf("parseAddress(%q) = %v %v, %v; want %v %s", text, got.transport, got.addrPort,
				ok, test.transport, test.want)
		}
	}

	// Each differs in one way from an address that Asterisk prints.
	for _, text := range []string{
		"", "/", "///", "IPV4", "IPV4/", "IPV4/UDP", "IPV4/UDP/", "IPV4/UDP/1.2.3.4",
		"IPV4/UDP/1.2.3.4/", "IPV4/UDP//5060", "IPV4/1.2.3.4/5060",
		"IPV4//1.2.3.4/5060", "IPV4/SCTP/1.2.3.4/5060", "IPV4/udp/1.2.3.4/5060",
		"ipv4/UDP/1.2.3.4/5060", "IPV5/UDP/1.2.3.4/5060", "IPV4/UDP/::1/5060",
		"IPV6/UDP/1.2.3.4/5060", "IPV6/UDP/[::1]/5060", "IPV6/UDP/fe80::1%eth0/5060",
		"IPV4/UDP/1.2.3.4/65536", "IPV4/UDP/1.2.3.4/99999999999999999999",
		"IPV4/UDP/1.2.3.4/05060", "IPV4/UDP/1.2.3.4/+5060", "IPV4/UDP/1.2.3.4/5060 ",
		" IPV4/UDP/1.2.3.4/5060", "IPV4/UDP/1.2.3.4/5060/", "IPV4/UDP/01.2.3.4/5060",
		"IPV4/UDP/1.2.3.4.5/5060", "IPV4/UDP/1.2.3/5060", "IPV4/UDP/1.2.3.256/5060",
		"IPV4/UDP/1.2.3.4\r/5060", "IPV4/UDP/1.2.3.4/50\n60", "IPV4/UDP/(null)/5060",
		"IPV4/UDP/1.2.3.4:5060", "IPV6/UDP/1:2:3:4:5:6:7/1", "IPV6/UDP/1:2:3:4:5:6:7:8:9/1",
		"IPV6/UDP/1::2::3/1", "IPV6/UDP/:1/1", "IPV6/UDP/1:/1", "IPV6/UDP/12345::/1",
	} {
		if got, ok := parseAddress([]byte(text)); ok {
			t.Errorf("parseAddress(%q) = %v, want none", text, got.addrPort)
		}
	}
}

// TestParseAddressAsNetip compares with netip on random addresses and on random damage to them.
func TestParseAddressAsNetip(t *testing.T) {
	r := newRand(1)
	for range 20_000 {
		var b [16]byte
		for i := range b {
			if r.IntN(2) == 0 {
				b[i] = byte(r.Uint32())
			}
		}

		text := netip.AddrFrom16(b).String()
		if r.IntN(3) == 0 {
			text = netip.AddrFrom4([4]byte(b[:4])).String()
		}
		checkAddress(t, text, uint16(r.Uint32()))
		at := r.IntN(len(text))
		checkAddress(t, text[:at]+string("0123456789abcdef:.:%/ "[r.IntN(22)])+text[at+r.IntN(2):],
			1)
	}
}
