// Package peers judges events by the documented rules of other tools, read in their favour: each
// reacts at once, gets every failure event of Asterisk, never misreads an address, and has the same
// allowlist. None of them uses challenges or successes, considers that an address may be forged, or
// raises alerts.
//
// They count events, as the real ones do: a request for an unknown account raises two events, of
// which one or both are failures.
package peers

import (
	"net/netip"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/recording"
	"github.com/amifend/amifend/policy"
)

// failure reports whether the peers count an event. fail2ban's filter.d/asterisk.conf (failregex,
// SecurityEvent) and AutoBan (doc/autoban.md) name the same four.
func failure(k policy.Kind) bool {
	switch k {
	case policy.KindFailedACL, policy.KindInvalidAccountID, policy.KindChallengeResponseFailed,
		policy.KindInvalidPassword:
		return true
	default:
		return false
	}
}

// rule decides on a failure of an address. It returns how long the peer bans the address from now
// on; 0 is no ban.
type rule interface {
	failed(a netip.Addr, now int64) time.Duration
}

// Peer is one such tool.
type Peer struct {
	rule  rule
	until map[netip.Addr]int64
	allow []netip.Prefix
	told  Told
}

// Told is called with each ban: when it begins, of whom, and how long it lasts. It covers every
// port.
type Told func(at int64, banned netip.Prefix, lasts time.Duration)

// newPeer returns a peer that calls told with each ban.
func newPeer(r rule, allow []netip.Prefix, told Told) *Peer {
	return &Peer{rule: r, until: make(map[netip.Addr]int64), allow: allow, told: told}
}

// Hear judges an event, unless a ban of the packet's source keeps it from the PBX: then it returns
// false.
func (p *Peer) Hear(ev *recording.Event, source netip.Addr) bool {
	if ev.At < p.until[source] {
		return false
	}

	// The peer bans the address that Asterisk names, even if the packet came from another one.
	a := ev.Source.Addr()
	if ev.At < p.until[a] || !failure(ev.Kind) || p.allowed(a) {
		return true
	}

	if d := p.rule.failed(a, ev.At); d > 0 {
		p.ban(ev.At, a, d)
	}
	return true
}

// ban bans an address from a time on.
func (p *Peer) ban(at int64, a netip.Addr, d time.Duration) {
	p.until[a] = at + int64(d)
	p.told(at, netip.PrefixFrom(a, a.BitLen()), d)
}

func (p *Peer) allowed(a netip.Addr) bool {
	for _, prefix := range p.allow {
		if prefix.Contains(a) {
			return true
		}
	}
	return false
}

// forGood is the length of a ban that has no end. It is longer than any traffic of this suite.
const forGood = 10 * 365 * 24 * time.Hour
