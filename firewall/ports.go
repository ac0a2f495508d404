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

// The protocols that SIP ports can have.
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

// SIPPorts are the ports that scope sip blocks. They are the ports on the wire, before DNAT.
type SIPPorts []PortRange

// DefaultSIPPorts are SIP (RFC 3261: 5060, 5061 for TLS) over both protocols, and IAX2 (RFC 5456:
// 4569).
func DefaultSIPPorts() SIPPorts {
	return SIPPorts{{UDP, 5060, 5061}, {TCP, 5060, 5061}, {UDP, 4569, 4569}}
}

// ParseSIPPorts reads ports as a config file writes them: "5060-5061" and "5060" are UDP and TCP,
// "4569/udp" and "8088-8089/tcp" one of them. The error names every text that is wrong.
func ParseSIPPorts(texts ...string) (SIPPorts, error) {
	var ports SIPPorts
	var problems []error
	for _, text := range texts {
		ranges, err := parsePorts(text)
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

func parsePorts(text string) ([]PortRange, error) {
	span, proto, single := strings.Cut(text, "/")
	protocols := []Protocol{UDP, TCP}
	if single {
		switch proto {
		case "udp":
			protocols = protocols[:1]
		case "tcp":
			protocols = protocols[1:]
		default:
			return nil, fmt.Errorf("parse ports %q: protocol must be udp or tcp", text)
		}
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
func (s SIPPorts) Contains(p Protocol, port uint16) bool {
	return slices.ContainsFunc(s, func(r PortRange) bool {
		return r.Protocol == p && r.First <= port && port <= r.Last
	})
}

func (s SIPPorts) validate() error {
	var problems []error
	for _, r := range s {
		if (r.Protocol != TCP && r.Protocol != UDP) || r.First == 0 || r.Last < r.First {
			problems = append(problems, fmt.Errorf("invalid SIP ports %d-%d/%s", r.First, r.Last,
				r.Protocol))
		}
	}
	return errors.Join(problems...)
}

// merged returns the ranges of one protocol, ascending and apart from each other: nftables refuses
// overlapping intervals.
func (s SIPPorts) merged(p Protocol) []PortRange {
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
