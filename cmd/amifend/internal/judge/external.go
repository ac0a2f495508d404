package judge

import (
	"maps"
	"net/netip"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/policy"
)

// The engine must know of bans that it did not decide. Otherwise it would ban their sources again,
// or not know that they were lifted.

// learnMost limits how many external bans the engine learns at a time: these take a tenth of a
// millisecond.
const learnMost = 256

// learnExternal tells the engine of bans that it did not decide, learnMost at a time: a journal
// that could not be read at the start may have many.
func (j *Judge) learnExternal() {
	j.receiveExternal()
	now := j.clock.Now()
	n := learnMost

	for k, x := range j.external {
		if n--; n < 0 {
			break
		}

		delete(j.external, k)
		if x.All != j.all {
			continue // all bans were lifted since
		}
		if x.Lifted {
			j.pardonOne(k.Prefix, bans.ByPolicy)
			continue
		}

		// A trial must not end a ban that was made before it.
		j.trial.noteOlder(k, x.Ban.Expiry)
		j.carryOut(j.adopt(&x.Ban, now))
	}

	if len(j.external) == 0 {
		j.external = nil // and its memory
		return
	}
	j.mail.External.Wake() // events come first, then the next part
}

// receiveExternal empties the mailbox.
func (j *Judge) receiveExternal() {
	fresh := j.mail.External.Take()
	if j.external == nil {
		j.external = fresh
		return
	}
	maps.Copy(j.external, fresh)
}

// forgetExternal drops the bans of a lifted prefix that the engine has still to learn. Otherwise it
// would take them to be in force, and not ban the source again.
func (j *Judge) forgetExternal(prefix netip.Prefix) {
	j.receiveExternal()
	for _, scope := range bans.Scopes() {
		if k := (bans.Key{Prefix: prefix, Scope: scope}); !j.external[k].Lifted {
			delete(j.external, k)
		}
	}
}

// adopt adds one ban to the engine, and returns what the engine decides about it.
func (j *Judge) adopt(b *bans.Ban, now int64) []policy.Verdict {
	scope := bans.PolicyScope(b.Scope)
	rule, _ := policy.ParseRule(b.Rule) // one of a later version counts as adopted
	if rule == policy.RuleAdopted {
		return j.engine.Adopt(now, b.Prefix, scope, time.Duration(b.Expiry-now))
	}

	return j.engine.AdoptBan(now, policy.Ban{
		Prefix: b.Prefix, Scope: scope, From: b.DecidedAt(), Until: b.Expiry, Rule: rule,
		Score: b.Score, Attempts: b.Attempts, Strike: b.Strike,
	})
}

// Admit tells the engine of a ban of an earlier run, and shortens one that is longer than ban_max.
// Admit returns the reason why the ban must not exist, or "". It must be called before Run.
func (j *Judge) Admit(b *bans.Ban, now int64) string {
	left := time.Duration(b.Expiry - now)

	for _, v := range j.adopt(b, now) {
		switch v.Action {
		case policy.ActionUnban:
			return j.whyLifted(v)
		case policy.ActionAlert:
			j.alert(v)
		case policy.ActionBan, policy.ActionNone: // the same as below
		}
	}

	// The config may have a smaller ban_max than it had in the earlier run.
	if most := j.policy.BanMax; left > most {
		b.Expiry = now + int64(most)
		b.Decided = j.clock.Wall(now)
		b.Duration = most
		j.log.Info("a ban of a run before is longer than ban_max: shortened", "source", b.Source(),
			"scope", b.Scope.String(), "until", b.Until().UTC().Format(time.RFC3339))
		j.recorder.Ban(b)
	}

	return ""
}
