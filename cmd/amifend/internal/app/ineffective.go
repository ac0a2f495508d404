package app

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// grace is how long after the kernel's acknowledgement the events of a banned source may still come: what Asterisk had
// received before.
const grace = 2 * time.Second

// ack says that the kernel has a ban.
type ack struct {
	at, until int64
	scope     firewall.Scope
}

// doubt is a ban that does not seem to work.
type doubt struct {
	source netip.AddrPort
	server string
	scope  firewall.Scope
	port   uint16 // of the PBX, where the banned source still got through; 0: unknown
	events int    // since the grace was over
	inPort bool   // the port is one that the ban covers
}

// Causes of a ban that does nothing.
const (
	causePort = "port not in sip_ports"
	causePath = "traffic does not pass this machine"
	causePart = "some packets get through"
)

// toldKey is what is said once.
type toldKey struct {
	source netip.Addr
	cause  string
}

// toldMost bounds what the enforcer remembers to have said.
const toldMost = 10_000

// covered is a ban in force, as the judge remembers it.
type covered struct {
	ack
	events int
	asked  bool
}

// ineffective notices bans that do nothing: events of a banned source that were made well after the kernel took its
// element. The judge owns it; the kernel is asked by the enforcer.
type ineffective struct {
	acks     *mailbox[netip.Prefix, ack]
	doubts   *mailbox[netip.Prefix, doubt]
	sipPorts firewall.SIPPorts
	servers  []string
	bits4    []int // prefix lengths that can be banned
	bits6    []int
	bans     map[netip.Prefix]*covered
	swept    int64
}

// settle takes in the kernel's acknowledgements.
func (w *ineffective) settle() {
	for prefix, a := range w.acks.take() {
		w.bans[prefix] = &covered{ack: a}
	}
}

func (w *ineffective) forget(prefix netip.Prefix) { delete(w.bans, prefix) }

// sweep forgets the bans that have run out, once a minute.
func (w *ineffective) sweep(now int64) {
	if now < w.swept+int64(time.Minute) {
		return
	}
	w.swept = now
	for prefix, c := range w.bans {
		if c.until <= now {
			delete(w.bans, prefix)
		}
	}
}

// check looks whether s should not have been possible.
func (w *ineffective) check(s *sighting) {
	if len(w.bans) == 0 {
		return
	}
	addr := s.Source.Addr()
	bits := w.bits4
	if addr.Is6() {
		bits = w.bits6
	}
	for _, n := range bits {
		prefix, err := addr.Prefix(n)
		if err != nil {
			continue
		}
		c := w.bans[prefix]
		if c == nil || s.made < c.at+int64(grace) || s.made >= c.until || !covers(c.scope, s) {
			continue
		}
		c.events++
		if c.asked {
			continue
		}
		c.asked = true
		w.doubts.put(prefix, doubt{
			source: s.Source, server: w.servers[s.Server], scope: c.scope, port: s.LocalPort, events: c.events,
			inPort: c.scope == firewall.ScopeAll || w.sipPorts.Contains(protocol(s), s.LocalPort),
		})
	}
}

// covers tells whether a ban of that scope should have stopped what led to s: AMI is not on the SIP ports.
func covers(scope firewall.Scope, s *sighting) bool {
	return scope == firewall.ScopeAll || s.Service != policy.ServiceAMI
}

// protocol is the transport protocol of what led to s, as the firewall names it.
func protocol(s *sighting) firewall.Protocol {
	if s.Stream {
		return firewall.TCP
	}
	return firewall.UDP
}

// answer asks the kernel about the bans in doubt and says, once a source and cause, what is wrong and what to do.
func (e *enforcer) answer(ctx context.Context) {
	doubts := e.doubts.take()
	if len(doubts) == 0 || e.dry {
		return
	}
	elements, err := e.table.Bans(ctx)
	if err != nil {
		return // the next write to the kernel says why
	}
	dropped := make(map[netip.Prefix]uint64, len(doubts))
	for _, el := range elements {
		if _, ok := doubts[el.Prefix]; ok {
			dropped[el.Prefix] += el.Packets
		}
	}
	for prefix, d := range doubts {
		e.tellIneffective(prefix, d, dropped[prefix])
	}
}

// tellIneffective says what is wrong with a ban and what to do, once a source and cause.
func (e *enforcer) tellIneffective(prefix netip.Prefix, d doubt, dropped uint64) {
	why, do := causePart, "look for a second way to the PBX: another interface, a tunnel, a proxy, a port that is not in [firewall] sip_ports"
	switch {
	case !d.inPort && d.port != 0:
		why, do = causePort, fmt.Sprintf("add port %d, or the port that is forwarded to it, to [firewall] sip_ports", d.port)
	case dropped == 0:
		why, do = causePath, "run amifend on the PBX itself or on the gateway in front of it"
	}
	key := toldKey{d.source.Addr(), why}
	if e.told[key] {
		return
	}
	if len(e.told) >= toldMost {
		clear(e.told)
	}
	e.told[key] = true
	e.log.Warn("ban is ineffective", "source", d.source.Addr().String(), "ban", prefix.String(), "server", d.server,
		"cause", why, "port", d.port, "dropped", dropped, "do", do, "ineffective", len(e.told))
}
