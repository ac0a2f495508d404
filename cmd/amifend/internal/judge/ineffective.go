package judge

import (
	"net/netip"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/compact"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// doubtMost limits the time between two doubts about the same ban.
const doubtMost = 10 * time.Minute

// sweepEvery is the time between two looks for bans that have run out.
const sweepEvery = int64(time.Minute)

// ineffective notices bans that do nothing: events of a banned source that were made well after the
// kernel took its element. The enforcer then looks at the kernel's counters.
type ineffective struct {
	mail         *bans.Mail
	ports        firewall.Ports
	bits4, bits6 []int                   // lengths of prefixes that can be banned
	bans         map[compact.Key]inForce // very many, so in few bytes
	swept        int64
}

// inForce is a ban that the kernel has.
type inForce struct {
	bans.Ack
	ask int64 // events made before that are no doubt
}

func newIneffective(m *bans.Mail, ports firewall.Ports) *ineffective {
	return &ineffective{
		mail: m, ports: ports, bans: make(map[compact.Key]inForce),
		bits4: firewall.SupportedBits(false), bits6: firewall.SupportedBits(true),
	}
}

// takeAcks takes in the kernel's acknowledgements.
func (w *ineffective) takeAcks() {
	for k, a := range w.mail.Acks.Take() {
		w.bans[k.Compact()] = inForce{a, a.At + int64(bans.Grace)}
	}
}

func (w *ineffective) forget(prefix netip.Prefix) {
	for _, scope := range bans.Scopes() {
		delete(w.bans, compact.Of(prefix, scope))
	}
}

// sweep forgets the bans that have run out, once a minute.
func (w *ineffective) sweep(now int64) {
	if now < w.swept+sweepEvery {
		return
	}
	w.swept = now

	for k, b := range w.bans {
		if b.Until <= now {
			delete(w.bans, k)
		}
	}
}

// check doubts a ban that should have stopped what led to s. It does so again at ever longer
// intervals, as the answer may change.
func (w *ineffective) check(s *stream.Sighting, servers []string) {
	if len(w.bans) == 0 {
		return
	}

	// A ban covers the address by any length of prefix that the firewall has a set for.
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

		for _, scope := range bans.Scopes() {
			if w.covers(scope, s) {
				w.checkOne(bans.Key{Prefix: prefix, Scope: scope}, s, servers)
			}
		}
	}
}

// checkOne doubts one ban, if there is one and it is time.
func (w *ineffective) checkOne(k bans.Key, s *stream.Sighting, servers []string) {
	// Asterisk may report late what it received before the ban.
	b, ok := w.bans[k.Compact()]
	if !ok || s.Made < b.ask || s.Made >= b.Until {
		return
	}

	// The longer a ban has run, the less often it is doubted: the answer seldom changes.
	b.ask = s.Made + min(s.Made-b.At, int64(doubtMost))
	w.bans[k.Compact()] = b
	w.mail.Doubts.Put(k, bans.Doubt{
		Source: s.Source, Server: servers[s.Server], Made: s.Made, Port: s.LocalPort,
		InPort: w.ports.Cover(k.Scope, protocol(s), s.LocalPort),
	})
}

// covers reports whether a ban of that scope should have stopped what led to s. Scope sip is not
// meant for AMI and for WebSocket, scope stream not for UDP.
func (w *ineffective) covers(scope firewall.Scope, s *stream.Sighting) bool {
	switch scope {
	case firewall.ScopeAll:
		return true
	case firewall.ScopeSIP:
		p := protocol(s)
		return s.Service != policy.ServiceAMI &&
			(w.ports.SIP.Contains(p, s.LocalPort) || !w.ports.WS.Contains(p, s.LocalPort))
	case firewall.ScopeStream:
		return s.Stream
	}
	return false
}

// protocol returns the transport protocol of what led to s, as the firewall names it.
func protocol(s *stream.Sighting) firewall.Protocol {
	if s.Stream {
		return firewall.TCP
	}
	return firewall.UDP
}
