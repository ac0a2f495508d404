package main

import (
	"net/netip"
	"slices"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/quality/peers"
	"github.com/amifend/amifend/cmd/amifend/internal/quality/traffic"
)

// contender is a tool that is judged.
type contender struct {
	name string
	make func(allow []netip.Prefix, decided decider) (traffic.Tool, error)
}

// decider is called with each decision of a tool.
type decider = func(traffic.Decision)

// contenders returns amifend, first, and its peers.
func contenders() []contender {
	// The peers ban addresses from every port.
	ban := func(decided decider) peers.Told {
		return func(at int64, p netip.Prefix, lasts time.Duration) {
			decided(traffic.Decision{At: at, Prefix: p, Everything: true, Lasts: lasts})
		}
	}

	return []contender{
		{"amifend", newAmifend},
		{"fail2ban", func(allow []netip.Prefix, decided decider) (traffic.Tool, error) {
			return peers.NewFail2ban(allow, ban(decided)), nil
		}},
		{"AutoBan", func(allow []netip.Prefix, decided decider) (traffic.Tool, error) {
			return peers.NewAutoBan(allow, ban(decided)), nil
		}},
		{"classic", func(allow []netip.Prefix, decided decider) (traffic.Tool, error) {
			return peers.NewClassic(allow, ban(decided)), nil
		}},
	}
}

// result is one run of the traffic against a contender.
type result struct {
	name    string
	world   *traffic.World
	events  int
	elapsed time.Duration
}

// tracer is called with each decision of a tool, before the truth about it is noted.
type tracer = func(*traffic.World, traffic.Decision)

// run plays the traffic against a contender. If trace is not nil, it is called with each decision.
func run(c contender, o traffic.Options, trace tracer) (result, error) {
	w := traffic.New(o)
	decided := w.Decided
	if trace != nil {
		decided = func(d traffic.Decision) {
			trace(w, d)
			w.Decided(d)
		}
	}

	// The operator has allowed one trunk, as the documentation advises, and nothing else.
	trunk := netip.PrefixFrom(traffic.Trunk, traffic.Trunk.BitLen())
	tool, err := c.make([]netip.Prefix{trunk}, decided)
	if err != nil {
		return result{}, err
	}

	start := time.Now()
	n := w.Run(tool)
	if a, ok := tool.(amifend); ok {
		a.finish(w.End())
	}
	return result{c.name, w, n, time.Since(start)}, nil
}

// falseAlerts returns the alerts that are not true, without those about classes that are not
// judged.
func falseAlerts(r result) []traffic.Decision {
	out := r.world.FalseAlerts
	for _, c := range r.world.Classes {
		if c.Judged() {
			out = append(slices.Clip(out), c.FalseAlerts...)
		}
	}
	return out
}
