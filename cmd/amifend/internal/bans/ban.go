// Package bans holds the vocabulary that the judge, the enforcer and the operators' service share:
// a ban, the key of an element in the kernel, the scopes of the libraries translated, the values
// that judge and enforcer send each other, and the way to the journal.
package bans

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/amifend/amifend/firewall"
)

// Ban is a decided ban with what people want to know of it: what, why, until when.
type Ban struct {
	Prefix   netip.Prefix
	Scope    firewall.Scope
	Rule     string // of the policy; "adopted" for one found in the kernel at start
	Score    float64
	Attempts int
	Strike   int
	Evidence string   // the latest attempts, the attacker's bytes quoted
	Servers  []string // that saw them
	Accounts []string // that were tried last, each once and quoted; 8 at most
	Decided  time.Time
	Duration time.Duration // as decided

	// Expiry is when it runs out by the daemon's clock, which a step of the system's clock does not
	// move.
	Expiry int64
}

// Until returns when the ban runs out, by the wall clock as it was when the ban was decided.
func (b Ban) Until() time.Time { return b.Decided.Add(b.Duration) }

// DecidedAt returns when the ban was decided or found, by the daemon's clock.
func (b Ban) DecidedAt() int64 { return b.Expiry - int64(b.Duration) }

// Replaces reports whether b, decided after the ban o of the same prefix, makes o needless: it has
// the same scope, or drops everything for as long.
func (b Ban) Replaces(o *Ban) bool {
	return b.Scope == o.Scope || b.Scope == firewall.ScopeAll && b.Expiry >= o.Expiry
}

// Source returns the banned address, or the prefix where it is more than one.
func (b Ban) Source() string { return Source(b.Prefix) }

// Undo returns the command that lifts the ban for good.
func (b Ban) Undo() string { return "amifend unban " + b.Source() }

// Attrs returns the ban's attributes in the log. They are an API, in this order.
func (b Ban) Attrs() []any {
	return []any{
		slog.String("source", b.Source()),
		slog.String("scope", b.Scope.String()),
		slog.String("rule", b.Rule),
		slog.Float64("score", Round(b.Score)),
		slog.Int("attempts", b.Attempts),
		slog.Int("strike", b.Strike),
		slog.String("for", b.Duration.Round(time.Second).String()),
		slog.String("until", b.Until().UTC().Format(time.RFC3339)),
		slog.String("evidence", b.Evidence),
		slog.String("undo", b.Undo()),
	}
}
