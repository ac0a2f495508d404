package config

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// The ports of the AMI in configs/samples/manager.conf.sample: port, tlsbindaddr.
const (
	portPlain = "5038"
	portTLS   = "5039"
)

const smallest = `amifend needs at least one Asterisk to listen to. The smallest file:

    [[server]]
    address = "127.0.0.1"
    username = "amifend"
    secret_file = "ami-secret"

The user and the secret are those of a section in Asterisk's manager.conf that has "read = security".`

// servers reads the [[server]] tables. Names and addresses must be unique.
func (l *loader) servers(raw rawConfig) []Server {
	if len(raw.Servers) == 0 && !raw.serverGiven && !l.policyOnly {
		l.problem("", "no [[server]]: %s", smallest)
	}

	// Two servers with one address would count each attempt twice.
	var out []Server
	seen, where := map[string]string{}, map[string]string{}
	for i, r := range raw.Servers {
		key := fmt.Sprintf("server[%d]", i+1)
		s := l.server(key, r)
		out = append(out, s)
		at := strings.ToLower(s.Address)

		if first, ok := where[at]; ok && at != "" {
			l.problem(key+".address", "is that of %s, too; delete one of the two, as each "+
				"attempt at this PBX would count twice", first)
			continue
		}

		where[at] = key
		if s.Name == "" {
			continue // it has no address either, which was reported
		}

		if first, ok := seen[s.Name]; ok {
			l.problem(key+".name",
				"is that of %s, too; give each server a name = \"…\" of its own", first)
			continue
		}

		seen[s.Name] = key
	}

	return out
}

// server reads one [[server]] table.
func (l *loader) server(key string, r rawServer) Server {
	s := Server{
		Username: l.text(key+".username", r.Username, true),
		Secret:   l.secret(key, r),
		TLS:      l.tls(key+".tls", r.TLS),
	}

	// Asterisk has another port for TLS.
	port := portPlain
	if r.TLS != nil {
		port = portTLS
	}

	if address := l.text(key+".address", r.Address, true); address != "" {
		host, p, err := splitAddress(address, port)
		if err != nil {
			l.problem(key+".address", "%s", err)
		} else {
			s.Host, s.Address = host, net.JoinHostPort(host, p)
		}
	}

	s.Name = l.text(key+".name", r.Name, false)
	if s.Name == "" {
		s.Name = s.Host
	}

	// A PBX may send events and calls from other addresses than that of its AMI.
	for i, a := range get(l, key+".addresses", r.Addresses, nil) {
		addr, err := netip.ParseAddr(a)
		if err != nil || addr.Zone() != "" || addr.IsUnspecified() {
			l.problem(key+".addresses",
				"%s is not an address; write one like \"192.0.2.7\" (a whole "+
					"network goes into [allow] prefixes)", entry(i))
			continue
		}

		s.Addresses = append(s.Addresses, addr.Unmap())
	}

	return s
}

// text returns a text that fits into one line of AMI. For any other value it records a problem and
// returns "".
func (l *loader) text(key string, f value[string], required bool) string {
	s := get(l, key, f, "")
	switch {
	case f.wrong != "":
	case f.set && strings.TrimSpace(s) == "":
		l.problem(key, "is empty")
	case required && !f.set:
		l.problem(key, "is missing")
	case strings.ContainsFunc(s, unicode.IsControl):
		l.problem(key, "holds a line break or another control character")
	case len(s) > 255:
		l.problem(key, "is longer than 255 bytes")
	default:
		return s
	}

	return ""
}

var hostname = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_.])?$`)

// splitAddress reads host, host:port, an IPv6 address alone or [address]:port. The text of an error
// continues a sentence that begins with the key.
func splitAddress(s, defaultPort string) (host, port string, err error) {
	if strings.Contains(s, "://") {
		return "", "", fmt.Errorf("is a URL; write the host and port alone, like "+
			"\"pbx.example:%s\"", defaultPort)
	}

	// An address alone may have colons, so it is tried before host:port.
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return a.String(), defaultPort, nil
	}

	host, port = s, defaultPort
	if strings.Contains(s, ":") {
		if host, port, err = net.SplitHostPort(s); err != nil {
			return "", "", fmt.Errorf("is not a host and port; write \"pbx.example:%s\" or "+
				"\"[2001:db8::1]:%[1]s\"", defaultPort)
		}
	}

	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "", fmt.Errorf("has no port between 1 and 65535; the AMI's is %s", defaultPort)
	}

	if _, err := netip.ParseAddr(host); err != nil && !hostname.MatchString(host) {
		return "", "", fmt.Errorf("has no host name or address; write \"pbx.example\" or " +
			"\"192.0.2.10\"")
	}

	return host, port, nil
}
