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
			e.bansFull(k, banCase{scope: scope})
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
	e.adoptStrike(k, b)
	if capped < remaining {
		e.emit(Verdict{
			Action: ActionBan, Scope: scope, Prefix: k.prefix(), At: e.now, Duration: capped, Rule: RuleAdopted,
			Strike: int(b.strike),
		})
	}
	return e.done()
}

// adoptStrike makes an adopted ban a strike of its source.
func (e *Engine) adoptStrike(k key, b *ban) {
	if k.bits == hostBits {
		s, r := e.touch(k)
		s.strikes = max(s.strikes, 1)
		s.strikeAt = secondOf(b.until)
		b.strike = s.strikes
		e.sources.move(r, listBanned)
		return
	}
	if e.networks.lists[listBanned].n >= e.networks.max/2 {
		return
	}
	n, r := e.touchNetwork(k)
	n.strikes = max(n.strikes, 1)
	n.strikeAt = secondOf(b.until)
	b.strike = n.strikes
	e.networks.move(r, listBanned)
}

// lift ends a ban early. What it was decided on is forgotten: a source that is lifted begins anew.
func (e *Engine) lift(r ref, rule string) {
	en := e.bans.at(r)
	k, b := en.key, en.val
	e.absolve(k)
	e.dropBan(r)
	e.emit(Verdict{
		Action: ActionUnban, Scope: b.scope, Prefix: k.prefix(), At: e.now, Rule: rule, Score: float64(b.score),
		Attempts: int(b.attempts), Strike: int(b.strike),
	})
}

// absolve forgets what is held against a host or prefix.
func (e *Engine) absolve(k key) {
	if k.bits != hostBits {
		if r := e.networks.get(k); r != 0 {
			n := &e.networks.at(r).val
			*n = network{at: n.at, proofAt: n.proofAt, flags: n.flags & hasProof}
		}
		return
	}
	if r := e.sources.get(k.host()); r != 0 {
		s := &e.sources.at(r).val
		s.proven, s.forgeable, s.slowProven, s.slowForgeable, s.guess, s.slowGuess = 0, 0, 0, 0, 0, 0
		s.attempts, s.strikes = 0, 0
		s.flags &^= washed
	}
	for _, sp := range k.spreads() {
		if r := e.networks.get(k.masked(sp.bits)); r != 0 {
			n, part := &e.networks.at(r).val, e.part(k, sp.bits)
			if n.banned.remove(part) && n.offenders > 0 {
				n.offenders--
			}
			if n.failed.remove(part) {
				n.suspects = max(0, n.suspects-1)
			}
		}
	}
}
