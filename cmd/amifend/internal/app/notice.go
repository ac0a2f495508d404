package app

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/observe"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// Ban is a ban as people are told of it: what, why, until when.
type Ban struct {
	Prefix   netip.Prefix
	Scope    firewall.Scope
	Rule     string // of the policy; "adopted" for one found in the kernel at start
	Score    float64
	Attempts int
	Strike   int
	Evidence string   // the latest attempts, the attacker's bytes quoted
	Servers  []string // that saw them
	Decided  time.Time
	Duration time.Duration // as decided

	until int64 // by the daemon's clock
}

// Until is when the ban runs out.
func (b Ban) Until() time.Time { return b.Decided.Add(b.Duration) }

// Source is the banned address, or the prefix where it is more than one.
func (b Ban) Source() string { return source(b.Prefix) }

func source(p netip.Prefix) string {
	if !p.IsValid() {
		return "" // an alert about an account or a server
	}
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// undo says how to lift the ban for good.
func (b Ban) undo() string {
	return "amifend unban " + b.Source()
}

// attrs are the ban's attributes in the log: an API, in this order.
func (b Ban) attrs() []any {
	return []any{
		slog.String("source", b.Source()),
		slog.String("scope", b.Scope.String()),
		slog.String("rule", b.Rule),
		slog.Float64("score", round(b.Score)),
		slog.Int("attempts", b.Attempts),
		slog.Int("strike", b.Strike),
		slog.String("for", b.Duration.Round(time.Second).String()),
		slog.String("until", b.Until().UTC().Format(time.RFC3339)),
		slog.String("evidence", b.Evidence),
		slog.String("undo", b.undo()),
	}
}

// newBan makes of a verdict what outlives it: the verdict's evidence is borrowed.
func newBan(v policy.Verdict, servers []string, c clock) Ban {
	return Ban{
		Prefix: v.Prefix, Scope: scopes[v.Scope], Rule: v.Rule, Score: v.Score, Attempts: v.Attempts, Strike: v.Strike,
		Evidence: observe.Describe(v.Evidence, servers), Servers: observe.Servers(v.Evidence, servers), Decided: c.wallTime(v.At), Duration: v.Duration,
		until: v.At + int64(v.Duration),
	}
}

// The libraries' scopes, translated.
var (
	scopes  = map[policy.Scope]firewall.Scope{policy.ScopeAll: firewall.ScopeAll, policy.ScopeSIP: firewall.ScopeSIP}
	scopeOf = map[firewall.Scope]policy.Scope{firewall.ScopeAll: policy.ScopeAll, firewall.ScopeSIP: policy.ScopeSIP}
)
