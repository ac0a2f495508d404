package config

import (
	"regexp"

	"github.com/amifend/amifend/firewall"
)

// Firewall describes where and how bans are kept.
type Firewall struct {
	Backend  string // BackendNftables, or BackendLog to only log the bans
	Table    string // its name, in family inet; the lock has the same name
	SIPPorts firewall.PortRanges
	WSPorts  firewall.PortRanges
	MaxBans  int // elements in each set
}

// Ports returns the ports that the scopes sip and stream block.
func (f Firewall) Ports() firewall.Ports {
	return firewall.Ports{SIP: f.SIPPorts, WS: f.WSPorts}
}

// The backends.
const (
	BackendNftables = "nftables"
	BackendLog      = "log"
)

// defaultTable is the table of a file that names none.
const defaultTable = "amifend"

// mostBans bounds max_bans: an element takes about 100 bytes of kernel memory, and there are
// several sets.
const mostBans = 16 << 20

var tableName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,63}$`)

// firewall reads [firewall].
func (l *loader) firewall(raw rawFirewall) Firewall {
	f := Firewall{
		Backend: get(l, "firewall.backend", raw.Backend, BackendNftables),
		Table:   get(l, "firewall.table", raw.Table, defaultTable),
	}
	if f.Backend != BackendNftables && f.Backend != BackendLog {
		l.problem("firewall.backend",
			"is not a backend; write \"nftables\", or \"log\" to only log what would be banned")
	}

	// The name is part of commands that people type, and of a lock's name.
	if !tableName.MatchString(f.Table) {
		l.problem("firewall.table",
			"is not a valid name for a table; write letters, digits and _, a letter first, 64 at most")
	}

	// Each element takes memory of the kernel.
	n := get(l, "firewall.max_bans", raw.MaxBans, firewall.DefaultMaxBans)
	if n < 1 || n > mostBans {
		l.problem("firewall.max_bans", "%d is out of range; write a number from 1 to %d", n,
			mostBans)
	}

	// The scopes sip and stream block these ports.
	f.MaxBans = int(n)
	f.SIPPorts = l.ports("firewall.sip_ports", raw.SIPPorts, firewall.DefaultSIPPorts(),
		firewall.ParseSIPPorts,
		`write one like "5060", "5060-5061", "4569/udp" or "5080/tcp"`)
	f.WSPorts = l.ports("firewall.ws_ports", raw.WSPorts, firewall.DefaultWSPorts(),
		firewall.ParseWSPorts,
		`the protocol must be tcp: write one like "8088" or "8088-8089/tcp"`)
	return f
}

// ports reads a list of ports of [firewall]. usual is the default, and like completes an error with
// examples.
func (l *loader) ports(
	key string, raw value[ports], usual firewall.PortRanges,
	parse func(...string) (firewall.PortRanges, error), like string,
) firewall.PortRanges {
	texts := get(l, key, raw, nil)
	if texts == nil && (!raw.set || raw.wrong != "") {
		return usual
	}

	// The error of parse quotes the text, so it is not shown.
	var out firewall.PortRanges
	for i, s := range texts {
		p, err := parse(s)
		if err != nil {
			l.problem(key, "%s is not a port or a range from 1 to 65535; %s", entry(i), like)
		}
		out = append(out, p...)
	}

	// With an empty list, bans would drop nothing.
	if len(texts) == 0 {
		l.problem(key, "is empty; write the ports where phones reach the PBX, or delete the line")
	}

	return out
}
