package daemon

import (
	"log/slog"
	"net/netip"
	"slices"

	"github.com/amifend/amifend/cmd/amifend/internal/allowlist"
	"github.com/amifend/amifend/cmd/amifend/internal/denylist"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce"
	"github.com/amifend/amifend/cmd/amifend/internal/judge"
	"github.com/amifend/amifend/cmd/amifend/internal/lockout"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
)

// protected hands the addresses that are never banned to the parts that must know them. The watcher
// calls it, once at a time.
type protected struct {
	log      *slog.Logger
	judge    *judge.Judge
	enforcer *enforce.Enforcer
	denier   *enforce.Denier
	feeder   *enforce.Feeder
	known    []netip.Prefix // as last logged
	learned  []protect.Learned
}

func newProtected(
	log *slog.Logger, set protect.Set, j *judge.Judge, e *enforce.Enforcer, d *enforce.Denier,
	f *enforce.Feeder,
) *protected {
	return &protected{
		log: log, judge: j, enforcer: e, denier: d, feeder: f, known: allowlist.ForKernel(set),
	}
}

// update hands on a new list. It logs only which addresses came and went: reasons and on-link
// prefixes may change too.
func (p *protected) update(set protect.Set) {
	next := allowlist.ForKernel(set)
	added := difference(next, p.known)
	gone := difference(p.known, next)

	if len(added)+len(gone) > 0 {
		p.log.Info("protected addresses changed", "added", added, "gone", gone,
			"protected", len(next))
	}
	p.known = next

	if !slices.Equal(set.Learned, p.learned) {
		var addrs []netip.Addr
		for _, l := range set.Learned {
			addrs = append(addrs, l.Addr)
		}
		p.log.Info("servers name these addresses as their own or ours: each is protected only from what "+
			"its server reports", "learned", addrs)
	}
	p.learned = set.Learned

	p.enforcer.SetAllow(next)
	p.denier.Protect()
	p.feeder.Protect()
	p.judge.Protect(judge.Protected{Never: allowlist.ForPolicy(set), Learned: set.Learned})
}

// difference returns the prefixes in a that are not in b.
func difference(a, b []netip.Prefix) []netip.Prefix {
	in := make(map[netip.Prefix]bool, len(b))
	for _, p := range b {
		in[p] = true
	}

	return slices.DeleteFunc(slices.Clone(a), func(p netip.Prefix) bool { return in[p] })
}

// admins returns how to find who administers the machine.
func admins(o Options) lockout.Options { return lockout.Options{NetNS: o.NetNS, Getenv: o.Getenv} }

// warnLockout warns of those who administer this machine now and could be cut off.
func warnLockout(o Options, never protect.Set) {
	lists := lockout.Lists{
		Allow: o.Config.Allow, Never: never, Deny: denylist.New(o.Config.Deny, never),
	}
	for _, f := range lockout.Findings(lockout.Sessions(admins(o)), lists) {
		log := o.Log.Warn
		if f.Cut {
			log = o.Log.Error
		}
		log(f.What, "do", f.Do)
	}
}
