package check

import (
	"github.com/amifend/amifend/cmd/amifend/internal/denylist"
	"github.com/amifend/amifend/cmd/amifend/internal/lockout"
	"github.com/amifend/amifend/cmd/amifend/internal/observe"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
)

// lockoutSection tells whether those who administer this machine now could be cut off.
func lockoutSection(o Options, never protect.Set) section {
	s := section{title: "your way in"}
	sessions := o.Sessions()
	found := lockout.Findings(sessions,
		lockout.Lists{
			Allow: o.Config.Allow, Never: never,
			Deny: denylist.New(o.Config.Deny, never),
		})
	for _, f := range found {
		level := levelWarn
		if f.Cut {
			level = levelFail
		}
		s.add(level, f.Do, "%s", f.What)
	}

	switch {
	case len(sessions) == 0:
		s.note("no SSH session from another machine is seen, so whether you could lock yourself " +
			"out is not known: allow the network from which you administer this machine")
	case len(found) == 0:
		s.ok("%s from other machines, and none can be cut off",
			observe.Count(len(sessions), "SSH session"))
	}

	return s
}
