package app

import (
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/policy"
)

// How masked judges: a window, how many failures make it worth a word, and how often it repeats itself.
const (
	maskWindow = int64(10 * time.Minute)
	maskLeast  = 20
	maskRepeat = int64(24 * time.Hour)
	maskTold   = 1000 // how many addresses it remembers to have told of
)

// masked notices that a PBX does not see real sources: when most of its failures come from one protected address, that
// address is a docker-proxy, a masquerading router or a load balancer, and no ban can ever hit the attacker behind it.
type masked struct {
	log       *slog.Logger
	servers   []string
	protected *policy.Protected
	weights   policy.Weights
	records   records
	votes     []vote // of each server
	told      map[netip.Addr]int64
	seen      []maskedSeen // the latest of each server
}

// maskedSeen is an address that hides the real sources of a server.
type maskedSeen struct {
	at     int64
	server string
	addr   netip.Addr
	reason string // why it is never banned
}

// maskedAdvice is what to do about it.
const maskedAdvice = "let the PBX see the callers' addresses: host networking instead of docker-proxy, no masquerade for SIP, or run amifend " +
	"where the real addresses are seen; if it is a phone or a trunk of yours, correct its password; if it is neither, somebody " +
	"may be forging UDP packets in its name"

// vote finds the one address that most failures of a server come from, and needs to remember one only, whatever comes
// in: the majority vote of Boyer and Moore.
type vote struct {
	began     int64
	failures  int
	candidate netip.Addr
	lead      int
	own       int // failures of the candidate since it became one
}

func newMasked(log *slog.Logger, servers []string, protected *policy.Protected, weights policy.Weights) *masked {
	return &masked{
		log: log, servers: servers, protected: protected, weights: weights,
		votes: make([]vote, len(servers)), told: make(map[netip.Addr]int64),
	}
}

func (m *masked) check(s *sighting) {
	if m.weights[s.Kind] == 0 && !s.Injected {
		return
	}
	v := &m.votes[s.Server]
	v.count(s.At, s.Source.Addr())
	if v.own < maskLeast || 2*v.own <= v.failures {
		return
	}
	reason, ok := m.protected.Contains(v.candidate)
	last, before := m.told[v.candidate]
	if !ok || before && s.At < last+maskRepeat {
		return
	}
	if len(m.told) >= maskTold { // an allowlisted network may have more addresses than anyone can be told of
		clear(m.told)
	}
	m.told[v.candidate] = s.At
	m.note(maskedSeen{s.At, m.servers[s.Server], v.candidate, reason})
	m.log.Warn("most failures come from one address that is never banned: the PBX does not see real sources",
		"address", v.candidate.String(), "protected_as", reason, "server", m.servers[s.Server], "failures", v.own, "of", v.failures,
		"last_account", ami.Quote(s.Account.Bytes()),
		"do", maskedAdvice)
	m.records.alert(journal.Alert{
		Kind: kindMasked, Source: v.candidate.String(), Server: m.servers[s.Server], Do: maskedAdvice,
		Text: "most failures come from one address that is never banned (" + printable(reason) + "): the PBX does not see real sources",
	})
}

// kindMasked is the kind of the journal's alerts of PBXs that do not see real sources.
const kindMasked = "sources_hidden"

// note remembers what was told, to be shown.
func (m *masked) note(seen maskedSeen) {
	m.seen = slices.DeleteFunc(m.seen, func(old maskedSeen) bool { return old.server == seen.server })
	m.seen = append(m.seen, seen)
}

func (v *vote) count(at int64, addr netip.Addr) {
	if at >= v.began+maskWindow {
		*v = vote{began: at}
	}
	v.failures++
	switch {
	case v.lead == 0:
		v.candidate, v.lead, v.own = addr, 1, 1
	case addr == v.candidate:
		v.lead++
		v.own++
	default:
		v.lead--
	}
}
