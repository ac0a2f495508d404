package check

import (
	"fmt"

	"github.com/amifend/amifend/cmd/amifend/internal/denylist"
	"github.com/amifend/amifend/cmd/amifend/internal/lockout"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// lockoutSection reports whether the users who administer this machine now could be cut off. It
// returns the sessions that are not safe.
func lockoutSection(o Options, never protect.Set) (section, []lockout.Finding) {
	s := section{title: "your way in"}
	sessions := o.Sessions()
	found := lockout.Findings(sessions, lockout.Lists{
		Allow: o.Config.Allow, Never: never, Deny: denylist.New(o.Config.Deny, never),
	})
	for _, f := range found {
		level := levelWarn
		if f.Cut {
			level = levelFail
		}
		s.add(level, lockoutAdvice(f), "%s", f.What)
	}

	// No session says nothing about safety, which is not the same as all being safe.
	switch {
	case len(sessions) == 0:
		s.note("no SSH session from another machine is seen, so whether you could lock yourself " +
			"out is not known: allow the network from which you administer this machine")
	case len(found) == 0:
		s.ok("%s from other machines, and none can be cut off",
			wording.Count(len(sessions), "SSH session"))
	}
	return s, found
}

// lockoutAdvice returns what to do about an unsafe session. Its address is in the [allow] table
// that follows.
func lockoutAdvice(f lockout.Finding) string {
	if f.Network.IsValid() {
		return fmt.Sprintf("paste the [allow] below, which has %s; or, to keep your management "+
			"network with all who are in it, write %s there instead", f.Addr, f.Network)
	}
	return fmt.Sprintf("paste the [allow] below, which has %s; if your address changes, write the "+
		"prefix of your office or VPN there instead", f.Addr)
}
