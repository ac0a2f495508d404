package config

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
)

// Firewall says where and how bans are kept.
type Firewall struct {
	Backend  string // "nftables", or "log": only say what would be banned
	Table    string // of family inet; its name is also the lock's
	SIPPorts []PortRange
	MaxBans  int // elements a set
}

// PortRange is a range of SIP ports on the wire.
type PortRange struct {
	Protocol    string // "udp" or "tcp"
	First, Last uint16
}

// mostBans bounds max_bans: an element takes about 100 bytes of the kernel's memory, and there are several sets.
const mostBans = 16 << 20

var tableName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,63}$`)

func (l *loader) firewall(raw rawFirewall) Firewall {
	f := Firewall{
		Backend: get(l, "firewall.backend", raw.Backend, "nftables"),
		Table:   get(l, "firewall.table", raw.Table, "amifend"),
	}
	if f.Backend != "nftables" && f.Backend != "log" {
		l.problem("firewall.backend", "%s is no backend; write \"nftables\", or \"log\" to only be told what would be banned", quote(f.Backend))
	}
	if !tableName.MatchString(f.Table) {
		l.problem("firewall.table", "%s is no name for a table; write letters, digits and _, a letter first, 64 at most", quote(f.Table))
	}
	n := get(l, "firewall.max_bans", raw.MaxBans, 262144)
	if n < 1 || n > mostBans {
		l.problem("firewall.max_bans", "%d is out of range; write a number from 1 to %d", n, mostBans)
	}
	f.MaxBans = int(n)
	for _, s := range get(l, "firewall.sip_ports", raw.SIPPorts, ports{"5060-5061", "4569/udp"}) {
		r, err := parsePorts(s)
		if err != nil {
			l.problem("firewall.sip_ports", "%s %s", quote(s), err)
		}
		f.SIPPorts = append(f.SIPPorts, r...)
	}
	return f
}

// parsePorts reads FIRST[-LAST][/udp|/tcp]; without a protocol it means both.
func parsePorts(s string) ([]PortRange, error) {
	protocols := []string{"udp", "tcp"}
	span, protocol, ok := strings.Cut(s, "/")
	if ok {
		if protocol != "udp" && protocol != "tcp" {
			return nil, errors.New(`has no protocol that we know; write "5060/udp" or "5060/tcp", or "5060" for both`)
		}
		protocols = []string{protocol}
	}
	first, last, ok := strings.Cut(span, "-")
	if !ok {
		last = first
	}
	a, err1 := strconv.ParseUint(first, 10, 16)
	b, err2 := strconv.ParseUint(last, 10, 16)
	if err1 != nil || err2 != nil || a == 0 || a > b {
		return nil, errors.New(`is no range of ports; write one like "5060", "5060-5061" or "4569/udp"`)
	}
	var out []PortRange
	for _, p := range protocols {
		out = append(out, PortRange{p, uint16(a), uint16(b)})
	}
	return out, nil
}
