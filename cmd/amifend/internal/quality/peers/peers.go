// Package peers judges events by the documented rules of other tools, read in their favour: each reacts at once, sees every
// failure that Asterisk tells, never errs about an address, and knows the same allowlist. None of them sees challenges,
// successes or what could be forged, and none alerts.
//
// They count events, as they do in life: a request without an account raises two events, of which one or both are failures.
package peers

import (
	"net/netip"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/recording"
	"github.com/amifend/amifend/policy"
)

// failure says whether an event is one that the peers count. fail2ban's filter.d/asterisk.conf (failregex, SecurityEvent) and
// AutoBan (doc/autoban.md) name the same four.
func failure(k policy.Kind) bool {
	switch k {
	case policy.KindFailedACL, policy.KindInvalidAccountID, policy.KindChallengeResponseFailed, policy.KindInvalidPassword:
		return true
	default:
		return false
	}
}

// rule is how a peer judges a failure of an address. It returns how long it bans from now on; 0 is not at all.
type rule interface {
	failed(a netip.Addr, now int64) time.Duration
}

// Peer is one such tool.
type Peer struct {
	rule  rule
	until map[netip.Addr]int64
	allow []netip.Prefix
	told  func(at int64, banned netip.Prefix)
}

// newPeer returns a peer that calls told with each ban.
func newPeer(r rule, allow []netip.Prefix, told func(int64, netip.Prefix)) *Peer {
	return &Peer{rule: r, until: make(map[netip.Addr]int64), allow: allow, told: told}
}

// Hear judges an event, unless a ban keeps its packet from the PBX: then it returns false. A ban covers every port.
func (p *Peer) Hear(ev *recording.Event) bool {
	a := ev.Source.Addr()
	if ev.At < p.until[a] {
		return false
	}
	if !failure(ev.Kind) || p.allowed(a) {
		return true
	}
	if d := p.rule.failed(a, ev.At); d > 0 {
		p.until[a] = ev.At + int64(d)
		p.told(ev.At, netip.PrefixFrom(a, a.BitLen()))
	}
	return true
}

func (p *Peer) allowed(a netip.Addr) bool {
	for _, prefix := range p.allow {
		if prefix.Contains(a) {
			return true
		}
	}
	return false
}

// forGood is how long a ban for ever is, as far as this suite goes.
const forGood = 10 * 365 * 24 * time.Hour
