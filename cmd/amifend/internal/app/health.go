package app

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/policy"
)

// healthSpan is how far back the status looks for what went wrong, and healthEvery how often the counters are noted for it.
const (
	healthSpan  = time.Hour
	healthEvery = time.Minute
)

// pulse remembers what the engine counted, so that the status can tell of the last hour and not of a bad day long ago.
type pulse struct {
	mu      sync.Mutex
	samples []policy.Stats // the oldest first; one of each healthEvery in healthSpan
}

func (p *pulse) note(s policy.Stats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.samples) == int(healthSpan/healthEvery) {
		p.samples = append(p.samples[:0], p.samples[1:]...)
	}
	p.samples = append(p.samples, s)
}

// before returns what was counted at the beginning of the span; nothing if that was before the start.
func (p *pulse) before() policy.Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.samples) < int(healthSpan/healthEvery) {
		return policy.Stats{}
	}
	return p.samples[0]
}

// beat notes the engine's counters until ctx ends.
func (k *desk) beat(ctx context.Context) {
	for {
		sleep(ctx, healthEvery)
		if ctx.Err() != nil {
			return
		}
		short, cancel := context.WithTimeout(ctx, askTime)
		stats, err := ask(short, k.judge.asks, askJudge, k.judge.engine.Stats)
		cancel()
		if err == nil { // else the status says so itself
			k.pulse.note(stats)
		}
	}
}

// policyWarnings says what the policy could not do as it should in the last hour.
func policyWarnings(now, before policy.Stats) (out []control.Warning) {
	warn := func(n uint64, what, do string) {
		if n > 0 {
			out = append(out, control.Warning{About: "policy", What: fmt.Sprintf(what, n) + " (last hour)", Do: do})
		}
	}
	warn(now.BansRefused-before.BansRefused, "there was no room for a ban, %d times", "raise [firewall] max_bans and restart amifend")
	warn(now.Postponed-before.Postponed, "%d bans on evidence that can be forged were put off: more were due than forgeable_bans_per_minute",
		"nothing at once: somebody seems to forge packets in many names; put trunks that never log in into [allow] prefixes")
	warn(now.Evicted-before.Evicted, "%d sources were forgotten for want of room", "raise [policy] max_sources and say amifend reload")
	warn(now.AlertsDelayed-before.AlertsDelayed, "%d alerts were put off: more were due than can be read", "amifend alerts shows those that were told")
	return out
}

// maskedWarnings says which PBXs do not see the real sources.
func maskedWarnings(seen []maskedSeen, now int64) (out []control.Warning) {
	for _, m := range seen {
		if now > m.at+maskRepeat {
			continue
		}
		out = append(out, control.Warning{
			About: "server " + m.server,
			What: fmt.Sprintf("most failures come from %s, which is never banned (%s): the PBX does not see the real sources", m.addr,
				printable(m.reason)),
			Do: maskedAdvice,
		})
	}
	return out
}

// alertsSeen is how many alerts are remembered for the status, and alertsAge for how long it shows them.
const (
	alertsSeen = 100
	alertsAge  = int64(24 * time.Hour)
)

// alertSeen is an alert that was told.
type alertSeen struct {
	at int64
	journal.Alert
}

// seen remembers an alert, to be shown.
func (j *judge) seen(a journal.Alert) {
	if len(j.alerted) == alertsSeen {
		j.alerted = slices.Delete(j.alerted, 0, 1)
	}
	j.alerted = append(j.alerted, alertSeen{j.clock.now(), a})
}

// alertWarnings says which kinds of alerts there were in the last day, and of each the last one.
func alertWarnings(seen []alertSeen, now int64) (out []control.Warning) {
	counts := make(map[string]int)
	for i, a := range slices.Backward(seen) {
		if now > a.at+alertsAge {
			seen = seen[i+1:]
			break
		}
		counts[a.Kind]++
	}
	for _, a := range slices.Backward(seen) {
		n := counts[a.Kind]
		if n == 0 {
			continue
		}
		counts[a.Kind] = 0
		what := a.Source + ": " + a.Text
		if n > 1 {
			what += fmt.Sprintf(" (%d such alerts in the last day: amifend alerts)", n)
		}
		out = append(out, control.Warning{About: "alert " + a.Kind, What: what, Do: a.Do})
	}
	return out
}
