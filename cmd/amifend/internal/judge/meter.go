package judge

import (
	"context"
	"sync/atomic"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/histogram"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// meter counts for the metrics what [policy.Stats] does not. The judge counts, and others read at
// any time.
type meter struct {
	verdicts []atomic.Uint64                         // by rule
	observed [firewall.ScopeStream + 1]atomic.Uint64 // bans that were not made, by scope
	way      histogram.Batch                         // from an event's arrival to its verdict
}

func newMeter() *meter {
	most := policy.RuleNone
	for _, r := range policy.Rules() {
		most = max(most, r.Rule)
	}
	return &meter{verdicts: make([]atomic.Uint64, most+1)}
}

func (m *meter) verdict(r policy.Rule) {
	if int(r) < len(m.verdicts) {
		m.verdicts[r].Add(1)
	}
}

// Counts is what the judge counted since it was made.
type Counts struct {
	Verdicts map[policy.Rule]uint64    // verdicts of each rule: bans, lifts and alerts
	Observed map[firewall.Scope]uint64 // bans that a trial that is over did not make
	// Attempts counts the events of failed attempts.
	Attempts uint64
	// Way is the time from the arrival of an event to its verdict.
	Way histogram.Counts
}

// Counts returns what was counted until now. It never waits.
func (j *Judge) Counts() Counts {
	out := Counts{
		Verdicts: make(map[policy.Rule]uint64), Observed: make(map[firewall.Scope]uint64),
		Attempts: j.hourly.attempts.Load(), Way: j.meter.way.Counts(),
	}
	for _, r := range policy.Rules() {
		out.Verdicts[r.Rule] = j.meter.verdicts[r.Rule].Load()
	}
	for _, s := range bans.Scopes() {
		out.Observed[s] = j.meter.observed[s].Load()
	}
	return out
}

// Stats returns the counters of the engine.
func (j *Judge) Stats(ctx context.Context) (policy.Stats, error) {
	return owner.Do(ctx, j.calls, func() policy.Stats { return j.engine.Stats() })
}
