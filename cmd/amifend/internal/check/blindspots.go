package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/pbxconf"
	"github.com/amifend/amifend/firewall"
)

// blindSpots reports the settings of the PBX that hide attacks, and ports that scope sip misses.
func (o Options) blindSpots(pbx *pbxconf.Config) section {
	s := section{title: "what hides attacks in " + o.PBXConfig}
	for _, r := range pbx.Risks {
		s.add(levelWarn, plain(r.Do), "%s: %s", plain(r.Where), plain(r.Text))
	}

	// A ban with scope sip drops packets to these ports only. Evidence over UDP earns no other.
	ports := o.Config.Firewall.SIPPorts
	for _, l := range pbx.Listeners {
		protocol := firewall.UDP
		if l.Network == "tcp" {
			protocol = firewall.TCP
		}
		if ports.Contains(protocol, l.Port) {
			continue
		}

		more := append(slices.Clone(ports),
			firewall.PortRange{Protocol: protocol, First: l.Port, Last: l.Port})
		s.add(levelWarn, "write into [firewall]: sip_ports = "+portsText(more),
			"%s: calls arrive at port %d/%s, which is not in [firewall] sip_ports: a ban from the "+
				"SIP ports does not stop an attacker there", plain(l.Where), l.Port, protocol)
	}

	if len(s.lines) == 0 {
		s.ok("nothing found")
	}
	return s
}

// portsText returns ports as the config writes them. Ranges that both protocols have are merged.
func portsText(ports firewall.SIPPorts) string {
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
