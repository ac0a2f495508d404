package firewall

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
)

const (
	nonceA = "1795876404/30d4255c949143f21a38d09dda040717"
	nonceB = "1795876404/5962c6e96bcb9e3a238f386060d9170a"
	viaOK  = "Via: SIP/2.0/UDP 198.51.100.20:5060;rport=40000;received=198.51.100.20;branch=z9hG4bK1"
	authOK = `WWW-Authenticate: Digest realm="asterisk",nonce="` + nonceA +
		`",opaque="1b2c",algorithm=MD5,qop="auth"`
)

// refusalOf is an answer with these headers.
func refusalOf(headers ...string) string {
	return "SIP/2.0 401 Unauthorized\r\n" + strings.Join(headers, "\r\n") + "\r\n\r\n"
}

// refusalPacket is an IPv4 packet of UDP from the PBX.
func refusalPacket(text string) []byte {
	p := []byte{
		0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 10, 198, 51, 100, 20,
		0x13, 0xc4, 0x9c, 0x40, 0, 0, 0, 0,
	}
	p = append(p, text...)
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	binary.BigEndian.PutUint16(p[24:], uint16(len(p)-20))
	return p
}

func TestParseChallenge(t *testing.T) {
	sent := netip.MustParseAddr("198.51.100.20")
	for name, tt := range map[string]struct {
		headers  []string
		received netip.Addr
		plain    bool
		odd      bool
		nonces   []string
	}{
		"genuine": {
			[]string{viaOK, "Call-ID: x", authOK, "Content-Length:  0"},
			sent, true, false,
			[]string{nonceA},
		},
		"without rport": {[]string{
			"Via: SIP/2.0/UDP pc33.example.com;received=198.51.100.20;branch=z9", authOK,
		}, sent, true, false, []string{nonceA}},
		"ttl": {[]string{
			"v: SIP/2.0/UDP h:5060;ttl=1;rport=5060;received=198.51.100.20;branch=z9", authOK,
		}, sent, true, false, []string{nonceA}},
		"IPv6": {[]string{
			"Via: SIP/2.0/UDP [2001:db8::20]:5060;rport=5060;received=2001:db8::20;branch=z9", authOK,
		}, netip.MustParseAddr("2001:db8::20"), true, false, []string{nonceA}},
		"two realms": {
			[]string{viaOK, authOK, strings.Replace(authOK, nonceA, nonceB, 1)},
			sent, true, false,
			[]string{nonceA, nonceB},
		},
		"for a proxy": {
			[]string{viaOK, "Proxy-Authenticate: Digest nonce=\"" + nonceA + "\""},
			sent, true, false,
			[]string{nonceA},
		},

		// Hole A: maddr. What follows received is the sender's invention.
		"maddr": {[]string{
			"Via: SIP/2.0/UDP h:5060;rport=5062;maddr=203.0.113.9;received=198.51.100.20;branch=z9", authOK,
		}, sent, false, false, []string{nonceA}},
		"maddr behind": {
			[]string{viaOK + ";maddr=203.0.113.9", authOK},
			sent, true, false,
			[]string{nonceA},
		},
		"another received behind": {
			[]string{viaOK + `;x=";received=203.0.113.9"`, authOK},
			sent, true, false,
			[]string{nonceA},
		},
		"received in a parameter before": {[]string{
			`Via: SIP/2.0/UDP h;x=";received=203.0.113.9";received=198.51.100.20;branch=z9`, authOK,
		}, netip.Addr{}, false, false, []string{nonceA}},
		"received in the host": {[]string{
			`Via: SIP/2.0/UDP "h;received=203.0.113.9";received=198.51.100.20;branch=z9`, authOK,
		}, netip.Addr{}, false, false, []string{nonceA}},
		"an empty host": {
			[]string{"Via: SIP/2.0/UDP ;received=198.51.100.20;branch=z9", authOK},
			netip.Addr{},
			false, false,
			[]string{nonceA},
		},
		"two in one line": {
			[]string{"Via: SIP/2.0/UDP h,SIP/2.0/UDP i;received=198.51.100.20;branch=z9", authOK},
			netip.Addr{},
			false, false,
			[]string{nonceA},
		},
		"TCP in UDP": {
			[]string{"Via: SIP/2.0/TCP h;received=198.51.100.20;branch=z9", authOK},
			netip.Addr{},
			false, false,
			[]string{nonceA},
		},
		"no branch": {
			[]string{"Via: SIP/2.0/UDP h;received=198.51.100.20", authOK},
			sent, false, false,
			[]string{nonceA},
		},
		"a zone": {
			[]string{"Via: SIP/2.0/UDP h;received=fe80::1%eth0;branch=z9", authOK},
			netip.Addr{},
			false, false,
			[]string{nonceA},
		},
		"no received": {
			[]string{"Via: SIP/2.0/UDP h;rport=5060;branch=z9", authOK},
			netip.Addr{},
			false, false,
			[]string{nonceA},
		},
		"no Via": {[]string{authOK}, netip.Addr{}, false, false, []string{nonceA}},

		// Hole E: more than one Via, in whatever spelling.
		"two Vias": {
			[]string{viaOK, "Via: SIP/2.0/UDP i;branch=z9", authOK},
			sent, false, false,
			[]string{nonceA},
		},
		"a short one": {
			[]string{viaOK, "v: SIP/2.0/UDP i;branch=z9", authOK},
			sent, false, false,
			[]string{nonceA},
		},
		"one with a blank": {
			[]string{viaOK, "VIA : SIP/2.0/UDP i", authOK},
			sent, false, false,
			[]string{nonceA},
		},
		"one after the nonces": {
			[]string{viaOK, authOK, "Via: SIP/2.0/UDP i"},
			sent, false, false,
			[]string{nonceA},
		},

		// Hole D: what is echoed is no challenge.
		"in From": {
			[]string{viaOK, `From: <sip:1@h>;nonce="` + nonceB + `"`, authOK},
			sent, true, false,
			[]string{nonceA},
		},
		"in the Via": {
			[]string{viaOK + `;nonce="` + nonceB + `"`, authOK},
			sent, true, false,
			[]string{nonceA},
		},
		"after a lone CR": {[]string{
			viaOK, "Call-ID: x\rWWW-Authenticate: Digest nonce=\"" + nonceB + "\"", authOK,
		}, sent, true, false, []string{nonceA}},
		"after a lone LF": {[]string{
			viaOK, "Call-ID: x\nWWW-Authenticate: Digest nonce=\"" + nonceB + "\"", authOK,
		}, sent, true, false, []string{nonceA}},
		"in a folded line": {[]string{
			viaOK, "Call-ID: x", " WWW-Authenticate: Digest nonce=\"" + nonceB + "\"", authOK,
		}, sent, true, false, []string{nonceA}},
		"in the realm": {[]string{
			viaOK, `WWW-Authenticate: Digest realm="a\",nonce=\"x",nonce="` + nonceA + `"`,
		}, sent, true, false, []string{nonceA}},

		"no challenge": {[]string{viaOK}, sent, true, true, nil},
		"Basic": {
			[]string{viaOK, authOK, "WWW-Authenticate: Basic realm=x"},
			sent, true, true,
			[]string{nonceA},
		},
		"no nonce": {
			[]string{viaOK, `WWW-Authenticate: Digest realm="x"`},
			sent, true, true, nil,
		},
		"two in one": {
			[]string{viaOK, `WWW-Authenticate: Digest nonce="a",nonce="b"`},
			sent, true, true, nil,
		},
		"an open string": {
			[]string{viaOK, `WWW-Authenticate: Digest nonce="a`},
			sent, true, true, nil,
		},
		"of chan_sip": {
			[]string{viaOK, `WWW-Authenticate: Digest algorithm=MD5, realm="a", nonce="34d686f7"`},
			sent, true, false,
			[]string{"34d686f7"},
		},
		"nine of them": {
			append([]string{viaOK}, strings.Split(strings.Repeat(authOK+"\n", 9)[:9*len(authOK)+8], "\n")...),
			sent, true, true,
			[]string{nonceA, nonceA, nonceA, nonceA, nonceA, nonceA, nonceA, nonceA},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := ParseChallenge(refusalPacket(refusalOf(tt.headers...)))
			var got []string
			for _, n := range c.Nonces() {
				got = append(got, string(n))
			}
			if c.Cut || c.Received != tt.received || c.Plain != tt.plain || c.Odd != tt.odd ||
				strings.Join(got, " ") != strings.Join(tt.nonces, " ") {
				t.Errorf("cut %t, received %v, plain %t, odd %t, nonces %q", c.Cut, c.Received, c.Plain, c.Odd, got)
			}
			if c.From != netip.MustParseAddrPort("192.0.2.10:5060") ||
				c.To != netip.MustParseAddrPort("198.51.100.20:40000") {
				t.Errorf("from %v to %v", c.From, c.To)
			}
		})
	}
}

func TestParseCutChallenge(t *testing.T) {
	whole := refusalPacket(refusalOf(viaOK, authOK))
	if c := ParseChallenge(whole); c.Cut {
		t.Fatal("the whole packet is cut")
	}
	for n := range whole {
		if c := ParseChallenge(whole[:n]); !c.Cut {
			t.Errorf("%d of %d bytes are not cut", n, len(whole))
		}
	}
	if c := ParseChallenge(append(whole, 0)); !c.Cut {
		t.Error("a packet with more than its header says")
	}
	text := "SIP/2.0 401 Unauthorized\r\n" + viaOK + "\r\n" + authOK + "\r\n"
	if c := ParseChallenge(refusalPacket(text)); !c.Cut {
		t.Error("headers without an end")
	}
	tcp := refusalPacket(refusalOf(viaOK, authOK))
	tcp[9] = 6
	if c := ParseChallenge(tcp); !c.Cut {
		t.Error("a packet of TCP")
	}
}

func FuzzParseChallenge(f *testing.F) {
	f.Add(refusalPacket(refusalOf(viaOK, authOK)))
	f.Fuzz(func(t *testing.T, p []byte) {
		c := ParseChallenge(p)
		if c.Plain && !c.Received.IsValid() {
			t.Error("plain without received")
		}
	})
}

func TestParseChallengeAllocatesNothing(t *testing.T) {
	p := refusalPacket(refusalOf(viaOK, authOK))
	if n := testing.AllocsPerRun(100, func() { ParseChallenge(p) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkParseChallenge(b *testing.B) {
	p := refusalPacket(refusalOf(viaOK, authOK))
	for b.Loop() {
		ParseChallenge(p)
	}
}
