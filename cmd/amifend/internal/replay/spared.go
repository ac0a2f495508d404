package replay

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/recording"
	"github.com/amifend/amifend/policy"
)

// maxSpared is the largest number of addresses that are counted one by one.
const maxSpared = 256

// Spared is an address that fails and is never banned.
type Spared struct {
	Addr     netip.Addr
	Why      string // why it is never banned
	Failures uint64 // failed events

	sip bool // some of them were SIP requests
}

// Do returns advice, which depends on whose address it is.
func (s *Spared) Do() string {
	// No attacker reaches AMI by loopback.
	if s.Addr.IsLoopback() && !s.sip {
		return "a program on the PBX logs in to AMI with a wrong name or password"
	}

	// SIP requests from the PBX's own address mean that a proxy or NAT in front of it hides the
	// senders.
	if s.Addr.IsLoopback() || strings.HasPrefix(s.Why, "the PBX") ||
		strings.HasPrefix(s.Why, "server ") {
		return "the PBX does not see real sources: something in front of it hides them. Let it " +
			"pass them on (PROXY protocol, X-Forwarded-For, no masquerade)"
	}

	return "look at what fails there"
}

// spare counts a failure of a source that is never banned.
func (p *Player) spare(ev *recording.Event) {
	if !isFailure(ev) {
		return
	}
	addr := ev.Source.Addr()

	// The engine also ignores sources that are not protected, such as invalid ones.
	why, ok := p.protected.list().ContainsFrom(addr, ev.Server)
	if !ok {
		return
	}

	s := p.spared[addr]
	if s == nil {
		// A flood of forged sources must not fill the memory.
		if len(p.spared) >= maxSpared {
			return
		}
		s = &Spared{Addr: addr, Why: why}
		p.spared[addr] = s
	}

	s.Failures++
	s.sip = s.sip || ev.Service != policy.ServiceAMI
}

// isFailure reports whether an event is a failed request. The second event of one request does not
// count.
func isFailure(ev *recording.Event) bool {
	switch ev.Kind {
	case policy.KindNone, policy.KindChallengeSent, policy.KindSuccessfulAuth:
		return false
	case policy.KindChallengeResponseFailed:
		return !ev.Unknown
	default:
		return true
	}
}

// Spared returns the addresses that failed and are never banned, most failures first.
func (p *Player) Spared() []Spared {
	out := make([]Spared, 0, len(p.spared))
	for _, s := range p.spared {
		out = append(out, *s)
	}

	// The address decides a tie, so that two runs give the same bytes.
	slices.SortFunc(out, func(a, b Spared) int {
		return cmp.Or(cmp.Compare(b.Failures, a.Failures), a.Addr.Compare(b.Addr))
	})
	return out
}
