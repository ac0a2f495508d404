package config

import (
	"regexp"

	"github.com/amifend/amifend/firewall"
)

// Firewall describes where and how bans are kept.
type Firewall struct {
	Backend  string // BackendNftables, or BackendLog: only log what would be banned
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
			"is not a backend; write \"nftables\", or \"log\" to only be told what would be banned")
	}

	// The name is part of commands that people type, and of a lock's name.
	if !tableName.MatchString(f.Table) {
		l.problem("firewall.table",
			"is not a valid name for a table; write letters, digits and _, a letter first, 64 at most")
	}

	// The kernel's memory sets the bound.
	n := get(l, "firewall.max_bans", raw.MaxBans, firewall.DefaultMaxBans)
	if n < 1 || n > mostBans {
		l.problem("firewall.max_bans", "%d is out of range; write a number from 1 to %d", n,
			mostBans)
	}

	f.MaxBans = int(n)
	f.SIPPorts = l.ports("firewall.sip_ports", raw.SIPPorts, firewall.DefaultSIPPorts(),
		firewall.ParseSIPPorts)
	f.WSPorts = l.ports("firewall.ws_ports", raw.WSPorts, firewall.DefaultWSPorts(),
		firewall.ParseWSPorts)
	return f
}

// ports reads a list of ports of [firewall].
func (l *loader) ports(
	key string, raw value[ports], usual firewall.PortRanges,
	parse func(...string) (firewall.PortRanges, error),
) firewall.PortRanges {
	texts := get(l, key, raw, nil)
	if texts == nil && (!raw.set || raw.wrong != "") {
		return usual
	}

	var out firewall.PortRanges
	for i, s := range texts {
		p, err := parse(s)
		if err != nil { // it quotes the text
			l.problem(key, "%s is not a port or a range from 1 to 65535, with /udp or /tcp (ws_ports: "+
				"/tcp alone) or without; write one like \"5060\", \"5060-5061\" or \"4569/udp\"", entry(i))
		}
		out = append(out, p...)
	}

	// With an empty list, bans would drop nothing.
	if len(texts) == 0 {
		l.problem(key, "is empty; write the ports where phones reach the PBX, or delete the line")
	}

	return out
}
