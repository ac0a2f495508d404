package app

import (
	"slices"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/denylist"
	"github.com/amifend/amifend/cmd/amifend/internal/lockout"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
)

// cutOff tells of a login over SSH that new deny lists would cut off; "": of none. What is allowed now or then counts as allowed.
func (k *desk) cutOff(next *config.Config) (what, do string) {
	if len(next.Deny) == 0 {
		return "", ""
	}
	never := k.watcher.Current()
	never.Entries = slices.Clone(never.Entries)
	for _, p := range next.Allow {
		never.Entries = append(never.Entries, protect.Entry{Prefix: p, Reason: "allowlist"})
	}
	sessions := lockout.Sessions(lockout.Options{NetNS: k.NetNS, Getenv: k.Getenv})
	for _, f := range lockout.Findings(sessions, lockout.Lists{Allow: next.Allow, Never: never, Deny: denylist.New(next.Deny, never)}) {
		if f.Cut {
			return f.What, f.Do
		}
	}
	return "", ""
}

// warnLockout warns of those who administer this machine now and could be cut off.
func warnLockout(o Options, never protect.Set) {
	sessions := lockout.Sessions(lockout.Options{NetNS: o.NetNS, Getenv: o.Getenv})
	lists := lockout.Lists{Allow: o.Config.Allow, Never: never, Deny: denylist.New(o.Config.Deny, never)}
	for _, f := range lockout.Findings(sessions, lists) {
		log := o.Log.Warn
		if f.Cut {
			log = o.Log.Error
		}
		log(f.What, "do", f.Do)
	}
}
