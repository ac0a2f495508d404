package app

import (
	"net/netip"
	"time"

	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// grace is how long after the kernel's acknowledgement the events of a banned source may still come: what Asterisk had
// received before.
const grace = 2 * time.Second

// patience is how long some packets may still come while the kernel drops others: a PBX that is flooded may tell late of
// what it received before the ban.
const patience = 15 * time.Second

// askMost is the longest time between two looks at the kernel for the same ban.
const askMost = 10 * time.Minute

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
	made   int64  // when the PBX told of what should not have reached it
	port   uint16 // of the PBX, where the banned source still got through; 0: unknown
	inPort bool   // the port is one that the ban covers
}

// covered is a ban in force, as the judge remembers it.
type covered struct {
	ack
	ask int64 // not to be doubted before
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
	bans     map[netip.Prefix]covered
	swept    int64
}

func newIneffective(e *enforcer, ports firewall.SIPPorts, servers []string) *ineffective {
	return &ineffective{
		acks: e.acks, doubts: e.doubts, sipPorts: ports, servers: servers,
		bits4: firewall.SupportedBits(false), bits6: firewall.SupportedBits(true), bans: make(map[netip.Prefix]covered),
	}
}

// settle takes in the kernel's acknowledgements.
func (w *ineffective) settle() {
	for prefix, a := range w.acks.take() {
		w.bans[prefix] = covered{a, a.at + int64(grace)}
	}
}

func (w *ineffective) forget(prefix netip.Prefix) { delete(w.bans, prefix) }

// sweep forgets the bans that have run out, once a minute.
func (w *ineffective) sweep(now int64) {
	if now < w.swept+int64(sweepEvery) {
		return
	}
	w.swept = now
	for prefix, c := range w.bans {
		if c.until <= now {
			delete(w.bans, prefix)
		}
	}
}

// check looks whether s should not have been possible. It asks again at ever longer intervals, as the answer may change.
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
		c, ok := w.bans[prefix]
		if !ok || s.made < c.ask || s.made >= c.until || !covers(c.scope, s) {
			continue
		}
		c.ask = s.made + min(s.made-c.at, int64(askMost))
		w.bans[prefix] = c
		w.doubts.put(prefix, doubt{
			source: s.Source, server: w.servers[s.Server], scope: c.scope, made: s.made, port: s.LocalPort,
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
