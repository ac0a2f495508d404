package judge

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
	"github.com/amifend/amifend/policy"
)

// The pulse looks back an hour, and notes the counters once a minute.
const (
	pulseSpan  = time.Hour
	pulseEvery = time.Minute
)

// pulse remembers the engine's counters, so that the status shows the last hour only.
type pulse struct {
	samples []policy.Stats // the oldest first; one of each minute of the hour
	next    int64          // when to note the next one
}

// sample notes the counters once a minute, for the first time a minute after the start.
func (p *pulse) sample(e *policy.Engine, now int64) {
	if now < p.next {
		return
	}
	if p.next != 0 {
		p.note(e.Stats())
	}
	p.next = now + int64(pulseEvery)
}

func (p *pulse) note(s policy.Stats) {
	if len(p.samples) == int(pulseSpan/pulseEvery) {
		p.samples = append(p.samples[:0], p.samples[1:]...)
	}
	p.samples = append(p.samples, s)
}

// hourAgo returns what was counted an hour ago; nothing if that was before the start.
func (p *pulse) hourAgo() policy.Stats {
	if len(p.samples) < int(pulseSpan/pulseEvery) {
		return policy.Stats{}
	}
	return p.samples[0]
}

// Status is the state of the judge, for operators.
type Status struct {
	Stats      policy.Stats
	HourAgo    policy.Stats // what was counted then
	Hidden     []Hidden     // of the last day
	Shared     []Shared     // the sources that many users share, the busiest first
	SharedMore int          // of them, how many are left out
	Trial      *Trial       // nil: there is none
}

// Shared is a source that many users share.
type Shared struct {
	Source   string
	Accounts int
	Users    []string // some of them, see [wording.Name]
	Guesses  int      // attempts through it that were reported and not held against it
}

// sharedMost limits how many shared sources the status names.
const sharedMost = 20

// shared returns the shared sources that the status names, and how many it leaves out.
func (j *Judge) shared() ([]Shared, int) {
	var out []Shared
	for s := range j.engine.SharedSources() {
		out = append(out, Shared{
			Source: bans.Source(s.Prefix), Accounts: s.Accounts, Users: wording.NameAll(s.Users),
			Guesses: s.Guesses,
		})
	}

	slices.SortStableFunc(out, func(a, b Shared) int {
		return cmp.Or(cmp.Compare(b.Guesses, a.Guesses), cmp.Compare(b.Accounts, a.Accounts))
	})
	n := min(len(out), sharedMost)
	return out[:n], len(out) - n
}

// Trial is the state of a trial, for operators.
type Trial struct {
	Ends time.Time
	Over bool
	Bans int // that were made in it, or would have been after it
}

// Status returns the state of the judge.
func (j *Judge) Status(ctx context.Context) (Status, error) {
	return owner.Do(ctx, j.calls, func() Status {
		shared, more := j.shared()
		return Status{
			Shared: shared, SharedMore: more,
			Stats: j.engine.Stats(), HourAgo: j.pulse.hourAgo(),
			Hidden: j.hidden.now(j.clock.Now()), Trial: j.trialStatus(),
		}
	})
}

// trialStatus returns the state of the trial; nil if there is none.
func (j *Judge) trialStatus() *Trial {
	t := &j.trial
	if t.ends == 0 {
		return nil
	}
	return &Trial{
		Ends: j.clock.Wall(t.ends).Truncate(time.Second), Over: t.over(j.clock.Now()),
		Bans: len(t.bans),
	}
}

// Explained holds what the engine knows of an address.
type Explained struct {
	policy.Explanation
	Servers []string // names by number
	Trial   *Trial   // nil: there is none
}

// Scores returns the scores of addresses, which are at most some hundred.
func (j *Judge) Scores(ctx context.Context, addrs []netip.Addr) ([]policy.Scored, error) {
	return owner.Do(ctx, j.calls, func() []policy.Scored {
		scores := make([]policy.Scored, 0, len(addrs))
		for _, addr := range addrs {
			scores = append(scores, j.engine.Score(addr))
		}
		return scores
	})
}

// Explain returns what the engine knows of an address.
func (j *Judge) Explain(ctx context.Context, addr netip.Addr) (Explained, error) {
	return owner.Do(ctx, j.calls, func() Explained {
		return Explained{j.engine.Explain(addr), j.servers, j.trialStatus()}
	})
}
