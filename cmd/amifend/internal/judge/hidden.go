package judge

import (
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
	"github.com/amifend/amifend/policy"
)

// When a PBX is reported to see one address for many sources.
const (
	hiddenWindow = int64(10 * time.Minute)
	hiddenLeast  = 20 // failures in a window
	hiddenRepeat = int64(24 * time.Hour)
	hiddenMost   = 1000 // addresses whose report is remembered
)

// hidden notices that a PBX does not see real sources. When most of its failures come from one
// protected address, that address is a docker-proxy, a masquerading router or a load balancer, and
// no ban can ever hit the attacker behind it.
type hidden struct {
	log      *slog.Logger
	alerts   *alerts.Book
	weights  policy.Weights
	votes    []vote // by server
	reported map[netip.Addr]int64
	latest   []Hidden // one for each server at most
}

// Hidden is an address that hides the real sources of a server.
type Hidden struct {
	At     int64 // by the daemon's clock
	Server string
	Addr   netip.Addr
	Reason string // why it is never banned
}

// HiddenAdvice says what to do about a PBX that does not see real sources.
const HiddenAdvice = "let the PBX see the callers' addresses: host networking instead of " +
	"docker-proxy, no masquerade for SIP, or run amifend where the real addresses are seen; if it " +
	"is a phone or a trunk of yours, correct its password; if it is neither, somebody may be " +
	"forging UDP packets in its name"

// vote finds the one address that most failures of a server come from. It remembers one address
// only, whatever comes in: the majority vote of Boyer and Moore.
type vote struct {
	began     int64
	failures  int
	candidate netip.Addr
	lead      int
	votes     int // failures of the candidate since it became one
	told      bool
}

func newHidden(log *slog.Logger, b *alerts.Book, w policy.Weights, servers int) *hidden {
	return &hidden{
		log: log, alerts: b, weights: w,
		votes: make([]vote, servers), reported: make(map[netip.Addr]int64),
	}
}

// grow makes room for more servers.
func (h *hidden) grow(servers int) {
	h.votes = append(h.votes, make([]vote, servers-len(h.votes))...)
}

// check counts s if it is a failure, and reports a server whose failures come from one address.
func (h *hidden) check(s *stream.Sighting, servers []string, protected *policy.Protected) {
	if h.weights[s.Kind] == 0 && !s.Injected {
		return
	}

	v := &h.votes[s.Server]
	v.count(s.At, s.Source.Addr())
	if v.votes < hiddenLeast || 2*v.votes <= v.failures {
		return
	}

	// Only a protected address is hopeless: any other one is simply banned.
	reason, ok := protected.ContainsFrom(v.candidate, s.Server)
	if !ok {
		return
	}

	// The condition goes on with each window; the line in the log comes once a day.
	found := Hidden{s.At, servers[s.Server], v.candidate, reason}
	if !v.told {
		v.told = true
		h.raise(found)
	}
	last, before := h.reported[v.candidate]
	if before && s.At < last+hiddenRepeat {
		return
	}

	// An allowlisted network may have more addresses than anyone can read.
	if len(h.reported) >= hiddenMost {
		clear(h.reported)
	}

	h.reported[v.candidate] = s.At
	h.report(found, v, s.Account)
}

// raise opens the condition, or notes that it goes on.
func (h *hidden) raise(found Hidden) {
	h.alerts.Raise(alerts.Key(alerts.SourcesHidden, found.Server, found.Addr.String()), alerts.Alert{
		Kind: alerts.SourcesHidden, Source: found.Addr.String(), Server: found.Server,
		Text: "most failures come from one address that is never banned (" +
			bans.Printable(found.Reason) +
			"): the PBX does not see real sources",
		Do: HiddenAdvice, Logged: true,
	}, alerts.Span{})
}

func (h *hidden) report(found Hidden, v *vote, account policy.Label) {
	h.keep(found)
	h.log.Warn("most failures come from one address that is never banned: the PBX does not see "+
		"real sources",
		"address", found.Addr.String(), "protected_as", found.Reason, "server", found.Server,
		"failures", v.votes, "of", v.failures, "last_account", ami.Quote(account.Bytes()),
		"do", HiddenAdvice)
}

// keep remembers a report for the status.
func (h *hidden) keep(found Hidden) {
	h.latest = slices.DeleteFunc(h.latest, func(old Hidden) bool {
		return old.Server == found.Server
	})
	h.latest = append(h.latest, found)
}

// now returns the reports of the last day.
func (h *hidden) now(now int64) []Hidden {
	return slices.DeleteFunc(slices.Clone(h.latest), func(l Hidden) bool {
		return now > l.At+hiddenRepeat
	})
}

func (v *vote) count(at int64, addr netip.Addr) {
	if at >= v.began+hiddenWindow {
		*v = vote{began: at}
	}

	// Each vote for another address cancels one for the candidate. What has more than half of all
	// votes cannot be cancelled.
	v.failures++
	switch {
	case v.lead == 0:
		v.candidate = addr
		v.lead = 1
		v.votes = 1
	case addr == v.candidate:
		v.lead++
		v.votes++
	default:
		v.lead--
	}
}
