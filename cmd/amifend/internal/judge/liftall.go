package judge

import (
	"context"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/compact"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
	"github.com/amifend/amifend/policy"
)

// LiftAll lifts all bans, and has the engine forget what is held against anybody. It takes the same
// short time however many bans there are: nobody looks at them one by one. It returns how many bans
// a trial that is over would have made, which the enforcer does not have.
func (j *Judge) LiftAll(ctx context.Context, by string) (observed int, err error) {
	return owner.Do(ctx, j.calls, func() int { return j.liftAll(by) })
}

func (j *Judge) liftAll(by string) (observed int) {
	now := j.clock.Now()
	if j.trial.over(now) {
		observed = len(j.trial.bans)
	}

	// Verdicts that were due before are recorded first, and lifted with the rest.
	j.carryOut(j.engine.PardonAll(now))
	j.trial.forgetAll()
	j.ineffective.forgetAll()
	j.all++
	j.mail.External.Take()
	j.external = nil

	// The engine's block with the pardon is part of the record: both must be on the disk, or none.
	why := policy.RuleOperator.String() + ": " + by
	j.recorder.LiftAll(by, why, j.saver.pardon(j.engine, j.servers))
	j.mail.Orders.Replace(bans.Everybody(), bans.Order{All: j.all, Lift: true, Why: why})
	return observed
}

// forgetAll forgets all bans.
func (t *trial) forgetAll() {
	if t.bans != nil {
		t.bans = make(map[bans.Key]bans.Ban)
		t.older = make(map[bans.Key]int64)
	}
}

// forgetAll forgets all bans. Acknowledgements that wait are of these bans, too.
func (w *ineffective) forgetAll() {
	w.mail.Acks.Take()
	w.bans = make(map[compact.Key]inForce)
}
