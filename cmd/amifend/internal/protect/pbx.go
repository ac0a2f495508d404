package protect

import (
	"net/netip"
	"slices"
)

// Own returns the addresses of this machine, as of the last look at the kernel.
func (w *Watcher) Own() []netip.Addr {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.kernel.own)
}

// AddressesOf returns the addresses of a server, as far as they are known: by its name, by the config
// and by its own events. Loopback may be among them.
func (w *Watcher) AddressesOf(server string) []netip.Addr {
	var out []netip.Addr
	for _, s := range w.listed.Load().Servers {
		if s.Name != server {
			continue
		}
		out = append(out, s.Addresses...)
		if a, err := netip.ParseAddr(s.Host); err == nil {
			out = append(out, plain(a))
		} else {
			out = append(out, w.names.of(s.Host)...)
		}
	}

	for k := range w.learned.Load().seen {
		if k.server == server && k.what == LocalAddress {
			out = append(out, k.addr)
		}
	}
	return out
}

// of returns the addresses of a name.
func (n *names) of(host string) (out []netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for a := range n.byHost[host] {
		out = append(out, a)
	}
	return out
}
