// Package lockout finds the users who administer this machine over SSH now, and reports whether a
// ban could cut them off.
//
// Only sessions that have logged in count: an attacker who guesses SSH passwords has a connection
// too, and must not be recommended for the allowlist. The sources are the environment of the
// process (which a service does not have, and sudo drops), systemd-logind, and the processes of
// OpenSSH with their sockets, as far as they can be read. Sessions that it cannot see are missing.
// It changes nothing.
package lockout

import (
	"cmp"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
)

// Session is a login over SSH.
type Session struct {
	Addr  netip.Addr // the far address
	User  string     // "": unknown
	Local netip.Addr // our address; invalid: unknown
	Own   bool       // this process runs in it
}

// Options select where to look. The zero value is this system.
type Options struct {
	Getenv func(string) string // nil: os.Getenv
	// NetNS is the descriptor of the network namespace of the connections; 0: that of the calling
	// thread.
	NetNS int
	Root  string // prepended to /run and /proc
}

// Sessions returns the SSH logins that it finds, sorted by address, each address once. It leaves
// out those from loopback.
func Sessions(o Options) []Session {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}

	connections, known := established(o.NetNS)
	found := fromProcesses(o.Root, connections)

	// logind may keep a session whose connection has ended, so it counts only with a connection.
	for _, s := range fromLogind(o.Root) {
		i := slices.IndexFunc(connections, func(c *netlink.Socket) bool {
			return remote(c) == s.Addr
		})
		if i >= 0 {
			s.Local = local(connections[i])
		}

		if i >= 0 || !known {
			found = append(found, s)
		}
	}

	// The environment shows the session of a user who starts amifend by hand, even one without
	// rights.
	if s, ok := fromEnvironment(o.Getenv); ok {
		found = append(found, s)
	}

	return once(found)
}

// once merges the sessions of each address.
func once(all []Session) (out []Session) {
	for _, s := range all {
		if !s.Addr.IsValid() || s.Addr.IsLoopback() || s.Addr.IsUnspecified() {
			continue
		}

		i := slices.IndexFunc(out, func(o Session) bool { return o.Addr == s.Addr })
		if i < 0 {
			out = append(out, s)
			continue
		}

		out[i].User = cmp.Or(out[i].User, s.User)
		out[i].Local = cmp.Or(out[i].Local, s.Local)
		out[i].Own = out[i].Own || s.Own
	}

	slices.SortFunc(out, func(a, b Session) int { return a.Addr.Compare(b.Addr) })
	return out
}

// plain returns an address as events name sources: without a zone, IPv4 as IPv4.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
