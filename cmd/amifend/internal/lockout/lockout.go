// Package lockout finds who administers this machine over SSH now, and says whether a ban could cut
// them off.
//
// Only sessions that have logged in count: whoever guesses passwords at an SSH server has a
// connection too, and must not be recommended for the allowlist. It finds them by the environment
// of the own process (which a service does not have, and sudo drops), by what systemd-logind tells,
// and by the processes of OpenSSH and their sockets, as far as it may look at these. What it cannot
// see, it says nothing of. It changes nothing.
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
	Addr  netip.Addr // from where
	User  string     // "": not known
	Local netip.Addr // ours, at which it arrives; invalid: not known
	Own   bool       // the process that looks runs in it
}

// Options say where to look. The zero value is this system.
type Options struct {
	Getenv func(string) string // nil: os.Getenv
	// descriptor of the network namespace of the connections; 0: that of the calling thread
	NetNS int
	Root  string // put before /run and /proc
}

// Sessions returns the logins over SSH that it finds, by address, each address once. Those from
// loopback are left out.
func Sessions(o Options) []Session {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}

	connections, known := established(o.NetNS)
	found := fromProcesses(o.Root, connections)
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

	if s, ok := fromEnvironment(o.Getenv); ok {
		found = append(found, s)
	}

	return once(found)
}

// once merges what is known of an address.
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

// plain is an address as the rest of amifend writes it.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
