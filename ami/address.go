package ami

import (
	"bytes"
	"net/netip"
)

// address is a parsed LocalAddress or RemoteAddress.
type address struct {
	transport Transport
	addrPort  netip.AddrPort
}

// parseAddress parses an address in the form of Asterisk's ast_json_ipaddr (main/json.c, 12.8.2 to
// 22.10.1): IPV4|IPV6/UDP|TCP|TLS|WS|WSS/addr/port. IPv6 has no brackets. IPv4-mapped addresses,
// which Asterisk prints as IPV4, are unmapped in any form. A link-local address has no zone. It
// allocates nothing.
func parseAddress(b []byte) (address, bool) {
	family, transport, host, port, ok := splitAddress(b)
	if !ok {
		return address{}, false
	}

	var ip netip.Addr
	if family == '4' {
		ip, ok = parseIPv4(host)
	} else {
		ip, ok = parseIPv6(host)
	}

	if !ok {
		return address{}, false
	}
	return address{transport, netip.AddrPortFrom(ip.Unmap(), port)}, true
}

// splitAddress parses all of an address but its host. The family is '4' or '6'.
func splitAddress(b []byte) (family byte, transport Transport, host []byte, port uint16, ok bool) {
	const prefix = len("IPV4/")
	if len(b) < prefix || string(b[:3]) != "IPV" || b[3] != '4' && b[3] != '6' || b[4] != '/' {
		return 0, 0, nil, 0, false
	}
	name, rest, _ := bytes.Cut(b[prefix:], slash)
	host, digits, _ := bytes.Cut(rest, slash)
	transport = parseTransport(name)

	port, ok = parsePort(digits)
	return b[3], transport, host, port, ok && transport != TransportUnknown
}

var slash = []byte{'/'}

// parsePort parses a decimal number from 0 to 65535 without leading zeros.
func parsePort(b []byte) (uint16, bool) {
	n, ok := parseDecimal(b, 65535)
	return uint16(n), ok
}

// parseDecimal parses a decimal number from 0 to limit, without sign, blanks or leading zeros.
func parseDecimal(b []byte, limit int) (int, bool) {
	if len(b) == 0 || len(b) > 1 && b[0] == '0' {
		return 0, false
	}

	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		if n = n*10 + int(c-'0'); n > limit {
			return 0, false
		}
	}

	return n, true
}

// parseIPv4 parses a dotted quad as netip.ParseAddr does. That takes a string, which would cost an
// allocation.
func parseIPv4(b []byte) (netip.Addr, bool) {
	var a [4]byte
	for i := range a {
		octet := b
		if dot := bytes.IndexByte(b, '.'); i < 3 {
			if dot < 0 {
				return netip.Addr{}, false
			}
			octet, b = b[:dot], b[dot+1:]
		}

		n, ok := parseDecimal(octet, 255)
		if !ok {
			return netip.Addr{}, false
		}
		a[i] = byte(n)
	}

	return netip.AddrFrom4(a), true
}

// parseIPv6 parses an IPv6 address without a zone, in the forms of RFC 4291, 2.2, as
// netip.ParseAddr does.
func parseIPv6(b []byte) (netip.Addr, bool) {
	var a [16]byte
	gap := -1 // where `::` stood
	n := 0    // bytes of a that are set
	if bytes.HasPrefix(b, doubleColon) {
		gap, b = 0, b[2:]
	}

	for len(b) > 0 {
		if n == 16 {
			return netip.Addr{}, false
		}

		// The next group ends at a colon or at the end.
		group, rest, more := bytes.Cut(b, doubleColon[:1])
		if bytes.IndexByte(group, '.') >= 0 { // the last 32 bits as a dotted quad
			v4, ok := parseIPv4(group)
			if !ok || more || n > 12 || n < 12 && gap < 0 {
				return netip.Addr{}, false
			}
			quad := v4.As4()
			n += copy(a[n:], quad[:])
			break
		}

		v, ok := parseHexGroup(group)
		if !ok {
			return netip.Addr{}, false
		}
		a[n], a[n+1] = byte(v>>8), byte(v)
		n += 2

		if more && len(rest) == 0 { // a single trailing colon
			return netip.Addr{}, false
		}

		if more && rest[0] == ':' {
			if gap >= 0 {
				return netip.Addr{}, false
			}
			gap, rest = n, rest[1:]
		}

		b = rest
	}

	// Move what followed the gap to the end, and fill the gap with zeros.
	if n < 16 {
		if gap < 0 {
			return netip.Addr{}, false
		}
		tail := n - gap
		copy(a[16-tail:], a[gap:n])
		clear(a[gap : 16-tail])
	} else if gap >= 0 { // `::` stands for one group at least
		return netip.Addr{}, false
	}

	return netip.AddrFrom16(a), true
}

var doubleColon = []byte("::")

func parseHexGroup(b []byte) (uint16, bool) {
	if len(b) == 0 || len(b) > 4 {
		return 0, false
	}

	var v uint16
	for _, c := range b {
		d, ok := hexDigit(c)
		if !ok {
			return 0, false
		}
		v = v<<4 | uint16(d)
	}

	return v, true
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	default:
		return 0, false
	}
}
