package traffic

import (
	"net/netip"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/policy"
)

// An attacker can make a PBX name somebody else (measured on Asterisk 22 and 16, see
// ami/testdata/captures/proof):
//
//   - chan_sip believes `Via: …;rport;maddr=V`, over UDP, TCP and TLS. The packet comes from the
//     attacker's own address, the answer goes there, and every event names V.
//   - PJSIP over UDP names the packet's source, which a spoofer forges. With maddr the answers
//     come to the spoofer; without it they go to V.
//
// PJSIP over a stream ignores maddr and names the peer.

// mask describes how an attacker sends in another's name.
type mask struct {
	pbx       *PBX
	transport ami.Transport
	deaf      bool // no answer comes back: there is no maddr in the Via
}

// spoofs reports whether the source address of the packets must be forged.
func (m mask) spoofs() bool { return m.pbx.service != policy.ServiceSIP }

// loginAs logs in, or tries to, in the name of a victim. A spoofer who hears no answer has no nonce
// and makes one up.
func (a *Actor) loginAs(m mask, victim netip.AddrPort, r request) answer {
	r.transport = m.transport
	send := func(r request) answer { return a.sendAs(m, victim, r) }

	if m.deaf {
		r.credentials = true
		return send(r)
	}
	return a.answerChallenge(r, send)
}

// sendAs sends a request in the name of a victim, and returns the answer. A script of a deaf
// attacker must not use the answer.
func (a *Actor) sendAs(m mask, victim netip.AddrPort, r request) answer {
	if a.ended {
		return dropped
	}
	a.world.name(a.party, victim.Addr())

	source := victim.Addr()
	if !m.spoofs() {
		source = a.from.Addr()
	}
	return a.world.raise(a.party, m.pbx, packet{source, victim}, r)
}

// name notes that a party made a PBX name an address.
func (w *World) name(by *Party, victim netip.Addr) {
	w.forged[victim] = true

	if by.named == nil {
		by.named = make(map[netip.Addr]bool)
		w.namers = append(w.namers, by)
	}
	by.named[victim] = true
}
