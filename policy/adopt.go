package policy

import (
	"net/netip"
	"time"
)

// Protect replaces the list of what must never be banned. It returns an unban for each running ban that now covers
// something protected.
func (e *Engine) Protect(now int64, p *Protected) []Verdict {
	e.begin(now)
	e.protected = p
	for _, list := range [...]uint8{listAll, listSIP} {
		for r := e.bans.lists[list].head; r != 0; {
			en := e.bans.at(r)
			next := en.next
			if en.val.until > e.now {
				if _, ok := p.Overlaps(en.key.prefix()); ok {
					e.lift(r, RuleProtected)
				}
			}
			r = next
		}
	}
	return e.done()
}

// Adopt takes over a ban that was found in the kernel, with what remains of it. It returns a ban that is shorter if more
// than BanMax remains, an alert if there is no room, and an unban if the prefix is protected (rule protected) or if it is
// invalid or nothing says when its ban ends, which is a remaining time of 0 or less (rule adopted). An adopted ban is a
// strike of its source. Of a prefix that is adopted twice the larger scope stays.
func (e *Engine) Adopt(now int64, prefix netip.Prefix, scope Scope, remaining time.Duration) []Verdict {
	e.begin(now)
	k, ok := prefixKey(prefix)
	rule := ""
	if _, bad := e.protected.Overlaps(prefix); bad {
		rule = RuleProtected
	} else if !ok || scope == ScopeNone || remaining <= 0 {
		rule = RuleAdopted
	}
	if rule != "" {
		e.emit(Verdict{Action: ActionUnban, Scope: scope, Prefix: prefix.Masked(), At: e.now, Rule: rule})
		return e.done()
	}
	r := e.bans.get(k)
	if r == 0 {
		if r = e.addBan(k, scope); r == 0 {
			e.alertBansFull(k, nil, scope)
			return e.done()
		}
	}
	b := &e.bans.at(r).val
	if b.until > e.now && b.scope >= scope {
		return e.done()
	}
	capped := min(remaining, e.opt.BanMax)
	*b = ban{from: e.now, until: e.now + int64(capped), rule: ruleAdopted, scope: scope, strike: 1}
	e.bans.move(r, listOf(scope))
	if k.bits == hostBits || k.bits == netBits {
		s, sr := e.touch(k)
		s.strikes = max(s.strikes, 1)
		s.strikeAt = b.until
		b.strike = s.strikes
		e.sources.move(sr, listBanned)
	}
	if capped < remaining {
		e.emit(Verdict{
			Action: ActionBan, Scope: scope, Prefix: k.prefix(), At: e.now, Duration: capped, Rule: RuleAdopted,
			Strike: int(b.strike),
		})
	}
	return e.done()
}

// lift ends a ban early. What it was decided on is forgotten: a source that is lifted begins anew.
func (e *Engine) lift(r ref, rule string) {
	en := e.bans.at(r)
	k, b := en.key, en.val
	if sr := e.sources.get(k); sr != 0 {
		s := &e.sources.at(sr).val
		s.proven, s.forgeable, s.attempts, s.strikes = 0, 0, 0, 0
		s.flags &^= hasFirst | hasOffender | several
	}
	if nk, ok := k.net(); ok {
		if nr := e.sources.get(nk); nr != 0 && e.sources.at(nr).val.offender == k.lo {
			e.sources.at(nr).val.flags &^= hasOffender
		}
	}
	e.dropBan(r)
	e.emit(Verdict{
		Action: ActionUnban, Scope: b.scope, Prefix: k.prefix(), At: e.now, Rule: rule, Score: b.score,
		Attempts: int(b.attempts), Strike: int(b.strike),
	})
}
