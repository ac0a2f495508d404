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

// These bounds keep an odd file from costing much; real ones have a few lines.
const (
	maxResolvFile  = 256 << 10
	maxResolvFiles = 64 // a pattern
)

// resolvConf is where the C library looks, resolv.conf(5).
const resolvConf = "/etc/resolv.conf"

var (
	nameserver = regexp.MustCompile(`^\s*nameserver\s+(\S+)`) // resolv.conf(5)
	// dnsmasq(8), --server: [/DOMAIN/]ADDRESS[#PORT][@SOURCE]
	dnsmasq = regexp.MustCompile(`^\s*server\s*=\s*(?:/[^=]*/)?(\S+)`)
	// unbound.conf(5): ADDRESS[@PORT][#NAME]
	unbound = regexp.MustCompile(`^\s*forward-addr:\s*"?([^\s"]+)`)
)

// upstreams are the files that name the resolvers behind a local stub. All are read whatever
// resolv.conf says: programs may ask systemd-resolved past it (nss-resolve), and a file of a stub
// that is not in use protects a resolver too many.
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

// addResolvers adds what the system's files under root name as DNS resolvers. Files that are
// missing name none. Only resolv.conf must be readable.
func addResolvers(b *builder, root string) error {
	err := readResolvers(b, filepath.Join(root, resolvConf), nameserver,
		"DNS resolver ("+resolvConf+")")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read DNS resolvers: %w", err)
	}

	for _, u := range upstreams {
		files, err := filepath.Glob(filepath.Join(root, u.pattern))
		if err != nil {
			continue // a root with a bad pattern in its name
		}

		for _, f := range files[:min(len(files), maxResolvFiles)] {
			// as far as readable: other users' files may not be
			_ = readResolvers(b, f, u.line, u.reason)
		}
	}

	return nil
}

func readResolvers(b *builder, path string, line *regexp.Regexp, reason string) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return nil // opening a pipe would wait
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
