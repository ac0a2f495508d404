package judge

import (
	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
	"github.com/amifend/amifend/policy"
)

// newBan makes a ban of a verdict. It copies the evidence, which the verdict has borrowed from the
// engine.
func newBan(v policy.Verdict, servers []string, c clock.Clock) bans.Ban {
	return bans.Ban{
		Prefix: v.Prefix, Scope: bans.FirewallScope(v.Scope), Rule: v.Rule.String(), Score: v.Score,
		Attempts: v.Attempts, Strike: v.Strike, Evidence: wording.Describe(v.Evidence, servers),
		Servers: wording.Servers(v.Evidence, servers), Accounts: wording.Accounts(v.Evidence),
		Decided: c.Wall(v.At), Duration: v.Duration, Expiry: v.At + int64(v.Duration),
	}
}
