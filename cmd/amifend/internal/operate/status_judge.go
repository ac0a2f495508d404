package operate

import (
	"fmt"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/judge"
	"github.com/amifend/amifend/policy"
)

// policyWarnings returns what the policy could not do in the last hour.
func policyWarnings(now, hourAgo policy.Stats) (out []control.Warning) {
	warn := func(n uint64, what, do string) {
		if n > 0 {
			out = append(out, control.Warning{
				About: "policy", What: fmt.Sprintf(what, n) + " (last hour)", Do: do,
			})
		}
	}

	// The counters run since the start: only their differences show what goes on now.
	warn(now.BansRefused-hourAgo.BansRefused, "there was no room for a ban, %d times",
		"raise [firewall] max_bans and restart amifend")
	warn(now.Postponed-hourAgo.Postponed,
		"%d bans on evidence that can be forged were put off: more were due than "+
			"forgeable_bans_per_minute",
		"nothing at once: somebody seems to forge packets in many names; put trunks that never "+
			"log in into [allow] prefixes")
	warn(now.Evicted-hourAgo.Evicted, "%d sources were forgotten because there was no room",
		"raise [policy] max_sources, then run: amifend reload")
	warn(now.EvictedPrefixes-hourAgo.EvictedPrefixes,
		"%d prefixes were forgotten because there was no room: attacks spread over them "+
			"may stay unseen",
		"raise [policy] max_sources, a twelfth of which is the room for prefixes, then run: "+
			"amifend reload")
	warn(now.AlertsDelayed-hourAgo.AlertsDelayed,
		"%d alerts were put off: more were due than can be read",
		"amifend alerts lists those that were reported")
	return out
}

// hiddenWarnings returns which PBXs do not see the real sources.
func hiddenWarnings(found []judge.Hidden) (out []control.Warning) {
	for _, h := range found {
		out = append(out, control.Warning{
			About: "server " + h.Server,
			What: fmt.Sprintf("most failures come from %s, which is never banned (%s): "+
				"the PBX does not see the real sources", h.Addr, bans.Printable(h.Reason)),
			Do: judge.HiddenAdvice,
		})
	}

	return out
}

// sharedSources returns the addresses that many users share.
func sharedSources(found []judge.Shared) []control.SharedSource {
	out := []control.SharedSource{} // JSON wants an array, not null
	for _, s := range found {
		out = append(out, control.SharedSource(s))
	}
	return out
}
