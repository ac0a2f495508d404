package pbxconf

import (
	"net/netip"
	"strconv"
	"strings"
)

// The ports of Asterisk's channel drivers where the files name none.
const (
	portSIP  = 5060
	portSIPS = 5061
	portIAX  = 4569
)

// ports adds the listeners of a file that names trunks.
func (f *finder) ports(file string, sections []*section) {
	switch file {
	case "pjsip.conf":
		for _, s := range sections {
			f.pjsipPort(s)
		}
	case "sip.conf":
		general, _ := general(sections)
		f.chanSIPPorts(general)
	case "iax.conf":
		general, _ := general(sections)
		f.iaxPort(general)
	}
}

// pjsipPort adds the listener of a transport. Transports for WebSocket use the HTTP server's port.
func (f *finder) pjsipPort(s *section) {
	bind, ok := s.last("bind")
	if !ok || s.kind() != "transport" {
		return
	}

	// Any other protocol is WebSocket, or unknown.
	protocol, _ := s.last("protocol")
	network, usual := "udp", uint16(portSIP)
	switch strings.ToLower(protocol.value) {
	case "", "udp":
	case "tcp":
		network = "tcp"
	case "tls":
		network, usual = "tcp", portSIPS
	default:
		return
	}

	f.listener(bind, s, network, usual)
}

// chanSIPPorts adds the listeners of chan_sip.
func (f *finder) chanSIPPorts(general *section) {
	f.udpPort(general, []string{"udpbindaddr", "bindaddr"}, portSIP)
	for _, l := range []struct {
		enable, bind string
		usual        uint16
	}{{"tcpenable", "tcpbindaddr", portSIP}, {"tlsenable", "tlsbindaddr", portSIPS}} {
		enable, _ := general.last(l.enable)
		if bind, ok := general.last(l.bind); ok && isTrue(enable.value) {
			f.listener(bind, general, "tcp", l.usual)
		}
	}
}

// iaxPort adds the listeners of chan_iax2. It listens on each bindaddr.
func (f *finder) iaxPort(general *section) {
	f.udpPort(general, []string{"bindaddr"}, portIAX)
}

// udpPort adds the UDP listeners of a driver: bindport counts for addresses without a port.
func (f *finder) udpPort(general *section, keys []string, usual uint16) {
	bindport, ok := general.last("bindport")
	usual = portOf(general, "bindport", usual)

	// The driver listens on each address that the section names.
	found := false
	for _, v := range general.vars {
		for _, key := range keys {
			if v.name == key {
				f.listener(v, general, "udp", usual)
				found = true
			}
		}
	}

	if !found && ok {
		f.add(Listener{Where: at(bindport, general, "bindport"), Network: "udp", Port: usual})
	}
}

// listener adds a listener at ADDRESS or ADDRESS:PORT, unless only this machine can reach it.
func (f *finder) listener(bind variable, s *section, network string, usual uint16) {
	if port, reachable := parseBind(bind.value, usual); reachable {
		f.add(Listener{Where: at(bind, s, bind.name), Network: network, Port: port})
	}
}

// portOf returns the port that a key names, or the usual one.
func portOf(general *section, key string, usual uint16) uint16 {
	v, ok := general.last(key)
	if n, err := strconv.ParseUint(v.value, 10, 16); ok && err == nil && n > 0 {
		return uint16(n)
	}
	return usual
}

// parseBind returns the port of ADDRESS or ADDRESS:PORT, and reports whether other machines can
// reach it.
func parseBind(bind string, usual uint16) (port uint16, reachable bool) {
	port = usual
	addr, err := netip.ParseAddr(strings.Trim(bind, "[]"))
	if err != nil {
		ap, err := netip.ParseAddrPort(bind)
		if err != nil {
			return 0, false // Asterisk does not listen there either
		}

		addr = ap.Addr()
		if ap.Port() != 0 {
			port = ap.Port()
		}
	}
	return port, !addr.Unmap().IsLoopback()
}

// add adds a listener unless the same port is known already.
func (f *finder) add(l Listener) {
	for _, known := range f.Listeners {
		if known.Network == l.Network && known.Port == l.Port {
			return
		}
	}
	f.Listeners = append(f.Listeners, l)
}
