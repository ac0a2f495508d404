package app

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/policy"
)

// How masked judges: a window, how many failures make it worth a word, and how often it repeats itself.
const (
	maskWindow = int64(10 * time.Minute)
	maskLeast  = 20
	maskRepeat = int64(24 * time.Hour)
)

// masked notices that the PBX does not see real sources: when most failures come from one protected address, that
// address is a docker-proxy, a masquerading router or a load balancer, and no ban can ever hit the attacker behind it.
// It needs one candidate only, whatever comes in: the majority vote of Boyer and Moore.
type masked struct {
	log       *slog.Logger
	servers   []string
	protected *policy.Protected
	weights   policy.Weights

	began     int64
	failures  int
	candidate netip.Addr
	votes     int
	own       int // failures of the candidate since it became one
	told      map[netip.Addr]int64
}

func (m *masked) check(s *sighting) {
	if m.weights[s.Kind] == 0 || m.protected == nil {
		return
	}
	if s.At >= m.began+maskWindow {
		m.began, m.failures, m.votes, m.own = s.At, 0, 0, 0
	}
	addr := s.Source.Addr()
	m.failures++
	switch {
	case m.votes == 0:
		m.candidate, m.votes, m.own = addr, 1, 1
	case addr == m.candidate:
		m.votes++
		m.own++
	default:
		m.votes--
	}
	if m.own < maskLeast || 2*m.own <= m.failures {
		return
	}
	reason, ok := m.protected.Contains(m.candidate)
	if !ok || s.At < m.told[m.candidate]+maskRepeat {
		return
	}
	m.told[m.candidate] = s.At // at most one entry a protected address
	m.log.Warn("most failures come from one address that is never banned: the PBX does not see real sources",
		"address", m.candidate.String(), "protected_as", reason, "server", m.servers[s.Server], "failures", m.own, "of", m.failures,
		"last_account", ami.Quote(s.Account.Bytes()),
		"do", "let the PBX see the callers' addresses: host networking instead of docker-proxy, no masquerade for SIP, or run amifend where the real addresses are seen")
}
