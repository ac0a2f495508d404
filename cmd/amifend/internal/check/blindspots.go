package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/pbxconf"
	"github.com/amifend/amifend/firewall"
)

// blindSpots reports the settings of the PBX that hide attacks, and ports that bans miss.
func (o Options) blindSpots(pbx *pbxconf.Config) section {
	s := section{title: "what hides attacks in " + o.PBXConfig}
	for _, r := range pbx.Risks {
		s.add(levelWarn, plain(r.Do), "%s: %s", plain(r.Where), plain(r.Text))
	}

	for _, l := range pbx.Listeners {
		s.checkPort(o.Config.Firewall.Ports(), l, pbx.Listeners)
	}

	// What is not read may hide attacks too.
	switch {
	case pbx.Realtime:
		s.note("not known in full: the PBX reads a part of its configuration from a database, as " +
			"the warnings above say")
	case len(s.lines) == 0:
		s.ok("nothing found")
	}
	return s
}

// checkPort reports a port of the PBX that the bans with scope sip, or for WebSocket those with
// scope stream, do not cover. The advice holds the ports of all listeners, since a key can be
// written only once.
func (s *section) checkPort(ports firewall.Ports, l pbxconf.Listener, all []pbxconf.Listener) {
	at := rangeOf(l)

	// Evidence over UDP earns a ban from the SIP ports only. A source where phones logged in earns
	// one from the TCP ports only.
	value, wsValue := MissingPorts(ports, all)
	scope, key := firewall.ScopeSIP, "sip_ports"
	what, ban := "calls arrive", "the SIP ports"
	if l.WebSocket {
		scope, key, value = firewall.ScopeStream, "ws_ports", wsValue
		what, ban = "calls over WebSocket arrive", "the TCP ports"
	}
	if ports.Cover(scope, at.Protocol, l.Port) {
		return
	}

	s.add(levelWarn,
		fmt.Sprintf("write into [firewall]: %s = %s", key, value),
		"%s: %s at port %d/%s, which is not in [firewall] %s: a ban from %s does not stop an "+
			"attacker there", plain(l.Where), what, l.Port, at.Protocol, key, ban)
}

// MissingPorts returns the values of [firewall] sip_ports and ws_ports that hold the ports of a PBX's
// listeners too, as the config writes them. A value is "" where no port is missing.
func MissingPorts(ports firewall.Ports, listeners []pbxconf.Listener) (sip, ws string) {
	more := firewall.Ports{SIP: slices.Clone(ports.SIP), WS: slices.Clone(ports.WS)}
	for _, l := range listeners {
		known := &more.SIP
		if l.WebSocket {
			known = &more.WS
		}
		if at := rangeOf(l); !known.Contains(at.Protocol, l.Port) {
			*known = append(*known, at)
		}
	}

	if len(more.SIP) > len(ports.SIP) {
		sip = portsText(more.SIP)
	}
	if len(more.WS) > len(ports.WS) {
		ws = portsText(more.WS)
	}
	return sip, ws
}

// rangeOf returns the port of a listener.
func rangeOf(l pbxconf.Listener) firewall.PortRange {
	at := firewall.PortRange{Protocol: firewall.UDP, First: l.Port, Last: l.Port}
	if l.Network == "tcp" {
		at.Protocol = firewall.TCP
	}
	return at
}

// portsText returns ports as the config writes them. Ranges that both protocols have are merged.
func portsText(ports firewall.PortRanges) string {
	var texts []string
	for i, r := range ports {
		text := fmt.Sprint(r.First)
		if r.Last != r.First {
			text = fmt.Sprintf("%d-%d", r.First, r.Last)
		}

		other := r
		other.Protocol = firewall.TCP + firewall.UDP - r.Protocol
		switch j := slices.Index(ports, other); {
		case j < 0:
			text += "/" + r.Protocol.String()
		case j < i:
			continue // written with the other protocol
		}
		texts = append(texts, `"`+text+`"`)
	}
	return "[" + strings.Join(texts, ", ") + "]"
}
