package protect

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// These bounds limit the cost of an unusual file. Usual files have a few lines.
const (
	maxResolvFile  = 256 << 10
	maxResolvFiles = 64 // for each pattern
)

// resolvConf is the file of the C library, resolv.conf(5).
const resolvConf = "/etc/resolv.conf"

// Expressions for the lines that name resolvers.
var (
	nameserver = regexp.MustCompile(`^\s*nameserver\s+(\S+)`) // resolv.conf(5)
	// dnsmasq(8), --server: [/DOMAIN/]ADDRESS[#PORT][@SOURCE]
	dnsmasq = regexp.MustCompile(`^\s*server\s*=\s*(?:/[^=]*/)?(\S+)`)
	// unbound.conf(5): ADDRESS[@PORT][#NAME]
	unbound = regexp.MustCompile(`^\s*forward-addr:\s*"?([^\s"]+)`)
)

// upstreams holds the files that name the resolvers behind a local stub. All are read, even if
// resolv.conf names no stub: programs may ask systemd-resolved without it (nss-resolve). The file
// of an unused stub does no harm, since it only protects one more resolver.
var upstreams = []struct {
	pattern string
	line    *regexp.Regexp
	reason  string
}{
	{"/run/systemd/resolve/resolv.conf", nameserver, "DNS upstream of systemd-resolved"},
	{"/run/NetworkManager/resolv.conf", nameserver, "DNS upstream of NetworkManager"},
	{"/run/NetworkManager/no-stub-resolv.conf", nameserver, "DNS upstream of NetworkManager"},
	{"/run/resolvconf/interface/*", nameserver, "DNS upstream of resolvconf"},
	{"/run/resolvconf/interfaces/*", nameserver, "DNS upstream of resolvconf"},
	{"/run/dnsmasq/resolv.conf", nameserver, "DNS upstream of dnsmasq"},
	{"/etc/resolv.dnsmasq*", nameserver, "DNS upstream of dnsmasq"},
	{"/etc/dnsmasq.conf", dnsmasq, "DNS upstream of dnsmasq"},
	{"/etc/dnsmasq.d/*", dnsmasq, "DNS upstream of dnsmasq"},
	{"/etc/unbound/unbound.conf", unbound, "DNS upstream of unbound"},
	{"/etc/unbound/unbound.conf.d/*.conf", unbound, "DNS upstream of unbound"},
}

// addResolvers adds the DNS resolvers in the system's files under root. Any file may be missing. If
// resolv.conf is there and cannot be read, addResolvers returns an error.
func addResolvers(b *builder, root string) error {
	err := readResolvers(b, filepath.Join(root, resolvConf), nameserver,
		"DNS resolver ("+resolvConf+")")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read DNS resolvers: %w", err)
	}

	for _, u := range upstreams {
		files, err := filepath.Glob(filepath.Join(root, u.pattern))
		if err != nil {
			continue // the name of root is not a valid pattern
		}

		for _, f := range files[:min(len(files), maxResolvFiles)] {
			// A file that we may not read names no resolver for us either.
			_ = readResolvers(b, f, u.line, u.reason)
		}
	}

	return nil
}

// readResolvers adds the addresses in the lines of a file that match.
func readResolvers(b *builder, path string, line *regexp.Regexp, reason string) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return nil // opening a pipe would block
	}

	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()

	s := bufio.NewScanner(io.LimitReader(f, maxResolvFile))
	for s.Scan() {
		if m := line.FindStringSubmatch(s.Text()); m != nil {
			if i := strings.IndexAny(m[1], "#@%"); i > 0 { // a port, a name, a source or a zone
				m[1] = m[1][:i]
			}
			if a, err := netip.ParseAddr(m[1]); err == nil {
				b.addr(a, reason)
			}
		}
	}

	return s.Err()
}
