package operate

import (
	"slices"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/denylist"
	"github.com/amifend/amifend/cmd/amifend/internal/lockout"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
)

// CutOff returns an SSH login that the deny lists of a config, or what is also denied by command,
// would cut off, and what to do; "" if there is none. What is allowed now, or by that config, counts
// as allowed.
func CutOff(
	next *config.Config, also []config.Denied, never protect.Set, o lockout.Options,
) (what, do string) {
	denied := slices.Concat(next.Deny, also)
	if len(denied) == 0 {
		return "", ""
	}

	// The caller's set stays as it is: the config is not in force yet.
	never.Entries = slices.Clone(never.Entries)
	for _, p := range next.Allow {
		never.Entries = append(never.Entries, protect.Entry{Prefix: p, Reason: "allowlist"})
	}

	lists := lockout.Lists{Allow: next.Allow, Never: never, Deny: denylist.New(denied, never)}

	for _, f := range lockout.Findings(lockout.Sessions(o), lists) {
		if f.Cut {
			return f.What, f.Do
		}
	}

	return "", ""
}
