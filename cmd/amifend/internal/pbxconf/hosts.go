package pbxconf

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// hostname matches names of hosts, with the underscore that some have.
var hostname = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?\.?$`)

// parseHost reads an address, a network (with a prefix length or a netmask) or a name, each with or
// without a port.
func parseHost(s string) (netip.Prefix, string, error) {
	host, mask, masked := strings.Cut(strings.TrimSpace(s), "/")
	host = withoutPort(host)
	addr, err := netip.ParseAddr(host)
	if err != nil {
		if masked || len(host) > 253 || !hostname.MatchString(host) || numeric(host) {
			return netip.Prefix{}, "", fmt.Errorf("%s is not an address, network or name", quote(s))
		}
		return netip.Prefix{}, strings.TrimSuffix(host, "."), nil
	}

	// Events name IPv4 sources as IPv4, so mapped addresses are unmapped.
	wasMapped := addr.Is4In6()
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()

	if masked {
		if bits, err = maskBits(mask, addr, wasMapped); err != nil {
			return netip.Prefix{}, "", fmt.Errorf("%s: %w", quote(s), err)
		}
	}

	// To allow every address would switch amifend off.
	if bits == 0 {
		return netip.Prefix{}, "", fmt.Errorf("%s is every address; it cannot be allowed", quote(s))
	}

	return netip.PrefixFrom(addr, bits).Masked(), "", nil
}

// maskBits returns the prefix length of a network's mask, which may be a length or a netmask.
func maskBits(mask string, addr netip.Addr, wasMapped bool) (int, error) {
	if n, err := strconv.Atoi(mask); err == nil {
		if wasMapped {
			n -= 96
		}
		if n < 0 || n > addr.BitLen() {
			return 0, errors.New("no such prefix length")
		}
		return n, nil
	}

	// Otherwise it is a netmask such as 255.255.255.0.
	m, err := netip.ParseAddr(mask)
	if err != nil || m.BitLen() != addr.BitLen() {
		return 0, errors.New("is not a netmask")
	}

	b := m.AsSlice()
	for bits := range m.BitLen() + 1 {
		if ones := netip.PrefixFrom(allOnes(len(b)), bits).Masked().Addr(); ones == m {
			return bits, nil
		}
	}

	return 0, errors.New("is a netmask with holes")
}

// allOnes returns the address of n bytes whose bits are all set.
func allOnes(n int) netip.Addr {
	a, _ := netip.AddrFromSlice([]byte(strings.Repeat("\xff", n))) // n is 4 or 16
	return a
}

// withoutPort removes :PORT, and the brackets of an IPv6 address.
func withoutPort(s string) string {
	if strings.HasPrefix(s, "[") {
		inner, _, _ := strings.Cut(s[1:], "]")
		return inner
	}
	if strings.Count(s, ":") == 1 {
		s, _, _ = strings.Cut(s, ":")
	}
	return s
}

// numeric reports whether a name can only be a misspelt address, such as 300.1.2.3.
func numeric(s string) bool { return strings.Trim(s, "0123456789.") == "" }

// uriHost returns the host of a SIP URI, with its port if there is one: "Name"
// <sip:user:password@host:port;params?headers>.
func uriHost(s string) (string, bool) {
	if _, inner, ok := strings.Cut(s, "<"); ok {
		s, _, _ = strings.Cut(inner, ">")
	}

	scheme, rest, ok := strings.Cut(s, ":")
	if !ok || !strings.EqualFold(scheme, "sip") && !strings.EqualFold(scheme, "sips") {
		return "", false
	}

	// The password may hold an @, so the last one counts. Parameters and headers follow the host.
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest = rest[i+1:]
	}
	if i := strings.IndexAny(rest, ";?"); i >= 0 {
		rest = rest[:i]
	}

	rest = strings.TrimSpace(rest)
	return rest, rest != ""
}

// registerHost returns the host of a register line of sip.conf:
// [peer?][transport://]user[@domain][:secret[:authuser]]@host[:port][/extension][~expiry]
// (sip.conf.sample).
func registerHost(s string) (string, bool) {
	i := strings.LastIndexByte(s, '@')
	if i < 0 {
		return "", false
	}

	// The secret may hold an @, so the last one counts.
	host := s[i+1:]
	if i := strings.IndexAny(host, "/~"); i >= 0 {
		host = host[:i]
	}

	host = strings.TrimSpace(host)
	return host, host != ""
}

// iaxRegisterHost returns the host of a register line of iax.conf: user[:secret]@host[:port]
// (chan_iax2.c, iax2_register). A secret may be the name of a key in brackets.
func iaxRegisterHost(s string) (string, bool) {
	parts := strings.Split(s, "@")
	if len(parts) < 2 {
		return "", false
	}

	host, _, _ := strings.Cut(parts[1], "?")
	host = strings.TrimSpace(host)
	return host, host != ""
}

// proxyHost returns the host of an outboundproxy of sip.conf: [transport://]host[:port][,force].
func proxyHost(s string) string {
	s, _, _ = strings.Cut(s, ",")
	if _, rest, ok := strings.Cut(s, "://"); ok {
		s = rest
	}
	if host, ok := uriHost(s); ok {
		return host
	}
	return strings.TrimSpace(s)
}

// quote returns a value of the files for a message: in one line, of bounded length.
func quote(s string) string {
	const most = 64
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}
