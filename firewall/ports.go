package firewall

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Protocol is a transport protocol, by its IANA number.
type Protocol uint8

// The protocols that ports can have.
const (
	TCP Protocol = 6
	UDP Protocol = 17
)

// String returns tcp or udp.
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	}
	return fmt.Sprintf("Protocol(%d)", uint8(p))
}

// PortRange is the ports First to Last, both included, of one protocol.
type PortRange struct {
	Protocol    Protocol
	First, Last uint16
}

// PortRanges are ports on the wire, before DNAT.
type PortRanges []PortRange

// Ports are the ports that the scopes sip and stream block.
type Ports struct {
	SIP PortRanges // scope sip blocks all of them, scope stream those of TCP
	WS  PortRanges // SIP over WebSocket, TCP only; scope stream blocks them
}

// DefaultSIPPorts are SIP (RFC 3261: 5060, 5061 for TLS) over both protocols, and IAX2 (RFC 5456:
// 4569).
func DefaultSIPPorts() PortRanges {
	return PortRanges{{UDP, 5060, 5061}, {TCP, 5060, 5061}, {UDP, 4569, 4569}}
}

// DefaultWSPorts are those of Asterisk's HTTP server, which serves WebSockets (8088, 8089 for TLS).
func DefaultWSPorts() PortRanges { return PortRanges{{TCP, 8088, 8089}} }

// amiPorts are those of AMI (5038, 5039 for TLS). Scope stream blocks them always: phones do not
// need them, and an attack on AMI must end also where the source's phones go on, which no other
// scope can do.
func amiPorts() PortRanges { return PortRanges{{TCP, 5038, 5039}} }

// ParseSIPPorts reads ports as a config file writes them: "5060-5061" and "5060" are UDP and TCP,
// "4569/udp" and "5080/tcp" one of them. The error names every text that is wrong.
func ParseSIPPorts(texts ...string) (PortRanges, error) {
	return parseAll(texts, UDP, TCP)
}

// ParseWSPorts reads ports of WebSocket servers as a config file writes them: "8088-8089/tcp",
// "8088-8089" and "8088" are TCP. UDP is an error. The error names every text that is wrong.
func ParseWSPorts(texts ...string) (PortRanges, error) { return parseAll(texts, TCP) }

// parseAll reads ports that can have certain protocols.
func parseAll(texts []string, protocols ...Protocol) (PortRanges, error) {
	var ports PortRanges
	var problems []error
	for _, text := range texts {
		ranges, err := parsePorts(text, protocols)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		ports = append(ports, ranges...)
	}

	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return ports, nil
}

// parsePorts reads one text. Without a protocol in it, it means all of protocols.
func parsePorts(text string, protocols []Protocol) ([]PortRange, error) {
	span, proto, single := strings.Cut(text, "/")
	if single {
		i := slices.IndexFunc(protocols, func(p Protocol) bool { return p.String() == proto })
		if i < 0 {
			var names []string
			for _, p := range protocols {
				names = append(names, p.String())
			}
			return nil, fmt.Errorf("parse ports %q: protocol must be %s", text,
				strings.Join(names, " or "))
		}
		protocols = protocols[i : i+1]
	}

	from, to, isRange := strings.Cut(span, "-")
	if !isRange {
		to = from
	}

	// Port 0 does not occur on the wire.
	first, err1 := strconv.ParseUint(from, 10, 16)
	last, err2 := strconv.ParseUint(to, 10, 16)
	if err1 != nil || err2 != nil || first == 0 {
		return nil, fmt.Errorf("parse ports %q: want a port or a range of 1 to 65535, "+
			"like 5060, 5060-5061 or 4569/udp", text)
	}
	if last < first {
		return nil, fmt.Errorf("parse ports %q: range ends before it begins", text)
	}

	var ranges []PortRange
	for _, p := range protocols {
		ranges = append(ranges, PortRange{p, uint16(first), uint16(last)})
	}
	return ranges, nil
}

// Contains reports whether a port of a protocol is among the ports.
func (s PortRanges) Contains(p Protocol, port uint16) bool {
	return slices.ContainsFunc(s, func(r PortRange) bool {
		return r.Protocol == p && r.First <= port && port <= r.Last
	})
}

// Cover reports whether a ban with that scope drops what is sent to a port of a protocol.
// It allocates nothing.
func (p Ports) Cover(scope Scope, protocol Protocol, port uint16) bool {
	switch scope {
	case ScopeAll:
		return true
	case ScopeSIP:
		return p.SIP.Contains(protocol, port)
	case ScopeStream:
		return protocol == TCP && (p.SIP.Contains(protocol, port) ||
			p.WS.Contains(protocol, port) || amiPorts().Contains(protocol, port))
	}
	return false
}

// of returns the ports of a scope. Scope all has none: it does not look at ports.
func (p Ports) of(scope Scope) PortRanges {
	switch scope {
	case ScopeAll:
	case ScopeSIP:
		return p.SIP
	case ScopeStream:
		all := slices.Concat(p.SIP, p.WS, amiPorts())
		return slices.DeleteFunc(all, func(r PortRange) bool { return r.Protocol != TCP })
	}
	return nil
}

// withDefaults returns the ports with the default of each field that is nil.
func (p Ports) withDefaults() Ports {
	if p.SIP == nil {
		p.SIP = DefaultSIPPorts()
	}
	if p.WS == nil {
		p.WS = DefaultWSPorts()
	}
	return p
}

func (p Ports) validate() error {
	var problems []error
	for _, r := range slices.Concat(p.SIP, p.WS) {
		if (r.Protocol != TCP && r.Protocol != UDP) || r.First == 0 || r.Last < r.First {
			problems = append(problems, fmt.Errorf("invalid ports %d-%d/%s", r.First, r.Last,
				r.Protocol))
		}
	}

	// Scope stream would leave them out, which nobody would notice.
	for _, r := range p.WS {
		if r.Protocol == UDP {
			problems = append(problems, fmt.Errorf("WebSocket ports %d-%d/%s: want TCP", r.First,
				r.Last, r.Protocol))
		}
	}
	return errors.Join(problems...)
}

// merged returns the ranges of one protocol, ascending and apart from each other: nftables refuses
// overlapping intervals.
func (s PortRanges) merged(p Protocol) []PortRange {
	var ranges []PortRange
	for _, r := range s {
		if r.Protocol == p {
			ranges = append(ranges, r)
		}
	}

	slices.SortFunc(ranges, func(a, b PortRange) int { return cmp.Compare(a.First, b.First) })
	var out []PortRange
	for _, r := range ranges {
		if n := len(out); n > 0 && int(r.First) <= int(out[n-1].Last)+1 {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}

	return out
}
