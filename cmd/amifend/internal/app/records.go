package app

import (
	"net/netip"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// byPolicy is who lifts what nobody asked for.
const byPolicy = "policy"

// records is how the stages tell the journal. None of its methods ever waits. Its zero value keeps nothing.
//
// The judge tells the journal of a decision before it tells the enforcer. So whatever the enforcer knows, the journal
// knows too, which is what [enforcer.reconcile] relies on.
type records struct {
	journal *journal.Journal
	clock   clock
}

// ban tells of a ban. One that was found in the kernel must not replace what the journal knows better.
func (r records) ban(b *Ban) { r.tell(b, false) }

// observed tells of a ban that is not made.
func (r records) observed(b *Ban) { r.tell(b, true) }

func (r records) tell(b *Ban, observed bool) {
	if r.journal == nil {
		return
	}
	r.journal.Ban(journal.Ban{
		Key: b.key().journal(), Rule: b.Rule, Score: b.Score, Attempts: b.Attempts, Strike: b.Strike, Evidence: b.Evidence, Servers: b.Servers,
		From: r.clock.deadline(b.until - int64(b.Duration)), Until: r.clock.deadline(b.until),
		Found: b.Rule == policy.RuleAdopted, Observed: observed,
	})
}

// lift tells that the bans of a prefix are lifted. That there was one of the scope is known; 0: it is not.
func (r records) lift(prefix netip.Prefix, scope firewall.Scope, by, why string) {
	if r.journal == nil {
		return
	}
	for _, s := range [...]firewall.Scope{firewall.ScopeAll, firewall.ScopeSIP} {
		r.journal.Lift(journal.Lift{
			Key: journal.Key{Prefix: prefix, Scope: s}, At: time.Now(), By: by, Why: why, Known: s == scope,
		})
	}
}

// alert tells of an alert, as of now.
func (r records) alert(a journal.Alert) {
	if r.journal != nil {
		a.At = time.Now()
		r.journal.Alert(a)
	}
}

func (r records) count(totals func() []journal.Total) {
	if r.journal != nil {
		r.journal.Count(totals)
	}
}

func (k key) journal() journal.Key { return journal.Key{Prefix: k.prefix, Scope: k.scope} }

func keyOf(k journal.Key) key { return key{k.Prefix, k.Scope} }

// remembered is a ban that the journal knows, with what is left of it at most.
func remembered(k journal.Key, o journal.Open, left time.Duration, now int64) Ban {
	return Ban{
		Prefix: k.Prefix, Scope: k.Scope, Rule: o.Rule, Score: o.Score, Attempts: o.Attempts, Strike: o.Strike, Servers: o.Servers,
		Decided: o.From, Duration: o.Whole, until: now + int64(left),
	}
}
