package main

import (
	"fmt"
	"net/netip"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/quality/traffic"
	"github.com/amifend/amifend/cmd/amifend/internal/recording"
	"github.com/amifend/amifend/cmd/amifend/internal/replay"
	"github.com/amifend/amifend/policy"
)

// amifend is the engine with its defaults, as `amifend replay` plays it.
type amifend struct{ player *replay.Player }

func newAmifend(allow []netip.Prefix, decided decider) (traffic.Tool, error) {
	o := policy.DefaultOptions()
	o.Canaries = traffic.Canaries
	c := &config.Config{Policy: o, Allow: allow}

	p, err := replay.NewPlayer(c, func(v policy.Verdict) {
		switch v.Action {
		case policy.ActionBan:
			decided(traffic.Decision{
				At: v.At, Prefix: v.Prefix, Rule: v.Rule.String(),
				Everything: v.Scope == policy.ScopeAll, Lasts: v.Duration, Evidence: accountsOf(v),
			})
		case policy.ActionAlert:
			if v.Phase == policy.PhaseEnd || v.Phase == policy.PhaseYield {
				return
			}
			decided(traffic.Decision{
				At: v.At, Prefix: v.Prefix, Alert: v.Rule.String(),
				Server: v.Server, Account: accountOf(v),
				Again: v.Phase == policy.PhaseUpdate,
			})
		case policy.ActionNone, policy.ActionUnban:
		}
	})
	if err != nil {
		return nil, fmt.Errorf("set up amifend: %w", err)
	}
	return amifend{p}, nil
}

// Hear plays an event.
func (a amifend) Hear(ev *recording.Event, source netip.Addr) bool {
	_, leftOut := a.player.PlayFrom(ev, source)
	return !leftOut
}

// finish lets the time pass until the end.
func (a amifend) finish(end int64) { a.player.Finish(end) }

// accountsOf returns the accounts in the evidence of a ban.
func accountsOf(v policy.Verdict) []traffic.Target {
	out := make([]traffic.Target, len(v.Evidence))
	for i, e := range v.Evidence {
		out[i] = traffic.Target{Server: e.Server, Account: string(e.Account.Bytes())}
	}
	return out
}

// accountOf returns the account that an alert is about, or "".
func accountOf(v policy.Verdict) string { return string(v.Account.Bytes()) }
