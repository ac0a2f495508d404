package bans

import (
	"net/netip"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/compact"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// ByPolicy names the policy in records of bans that no operator lifted.
const ByPolicy = "policy"

// Recorder writes to the journal what judge and enforcer decide. None of its methods ever waits.
// Its zero value writes nothing.
//
// The judge records a decision before it sends the order to the enforcer. So the journal knows all
// that the enforcer knows, which the comparison of kernel and journal relies on.
type Recorder struct {
	journal *journal.Journal
	clock   clock.Clock
}

// NewRecorder returns a recorder; j is nil for none.
func NewRecorder(j *journal.Journal, c clock.Clock) Recorder { return Recorder{j, c} }

// Writes reports whether there is a journal.
func (r Recorder) Writes() bool { return r.journal != nil }

// Ban records a ban. One that was found in the kernel does not replace what the journal knows
// better.
func (r Recorder) Ban(b *Ban) { r.ban(b, false) }

// Observed records a ban that is not made.
func (r Recorder) Observed(b *Ban) { r.ban(b, true) }

func (r Recorder) ban(b *Ban, observed bool) {
	if r.journal == nil {
		return
	}

	r.journal.Ban(journal.Ban{
		Key: b.Key().Journal(), Rule: b.Rule, Score: b.Score, Attempts: b.Attempts,
		Strike: b.Strike, Evidence: b.Evidence, Servers: b.Servers,
		From: r.clock.Deadline(b.DecidedAt()), Until: r.clock.Deadline(b.Expiry),
		Found: b.Rule == policy.RuleAdopted.String(), Observed: observed,
	})
}

// Lift records that the bans of a prefix are lifted. scope is that of a ban that is known to have
// run; 0 if none is known.
func (r Recorder) Lift(prefix netip.Prefix, scope firewall.Scope, by, why string) {
	if r.journal == nil {
		return
	}

	// The journal may know a ban of the other scope that nobody else knows.
	for _, s := range Scopes() {
		r.journal.Lift(journal.Lift{
			Key: journal.Key{Prefix: prefix, Scope: s}, At: time.Now(), By: by, Why: why,
			Known: s == scope,
		})
	}
}

// LiftAll records that all bans are lifted. block is one of the engine's state that knows of it.
func (r Recorder) LiftAll(by, why string, block []byte) {
	if r.journal != nil {
		r.journal.LiftAll(journal.LiftAll{At: time.Now(), By: by, Why: why, Block: block})
	}
}

// Count hands over what was counted. The journal calls totals later, on a goroutine of its own.
func (r Recorder) Count(totals func() []journal.Total) {
	if r.journal != nil {
		r.journal.Count(totals)
	}
}

// Journal returns the key in the form of the journal.
func (k Key) Journal() journal.Key { return journal.Key{Prefix: k.Prefix, Scope: k.Scope} }

// FromJournal returns a ban that the journal knows to run, with what is left of it at most.
func FromJournal(k compact.Key, o journal.Open, left time.Duration, now int64) Ban {
	return Ban{
		Prefix: k.Prefix(), Scope: k.Scope(), Rule: o.Rule, Score: o.Score, Attempts: int(o.Attempts),
		Strike: int(o.Strike), Servers: o.Servers, Decided: o.From(), Duration: o.Whole,
		Expiry: now + int64(left),
	}
}

// WallTime returns a time of the daemon's clock as the journal writes it.
func (r Recorder) WallTime(t int64) time.Time { return r.clock.Wall(t) }
