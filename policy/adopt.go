package policy

import (
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/amifend/amifend/policy/internal/table"
)

// Protect replaces the list of what must never be banned. It returns an unban for each running ban
// that now covers something protected.
func (e *Engine) Protect(now int64, p *Protected) []Verdict {
	e.begin(now)
	e.protected = p
	for _, list := range [...]banList{bansProven, bansSIP} {
		for r := e.bans.Newest(list); r != 0; {
			next := e.bans.Older(r)
			if k := e.bans.Key(r).key; e.bans.Val(r).until > e.now {
				if _, ok := p.Overlaps(k.prefix()); ok || e.allLearned(k) {
					e.lift(r, RuleProtected)
				}
			}

			r = next
		}
	}

	return e.done()
}

// Adopt takes over a ban that was found in the kernel, with the time that remains of it:
//
//   - If more than BanMax remains, it returns a shorter ban.
//   - If there is no room, it returns an alert.
//   - If the prefix is protected, it returns an unban of rule protected.
//   - If the prefix is invalid, it returns an unban of rule adopted. A remaining time of 0 or less
//     gives the same: nothing says when that ban ends.
//
// An adopted ban is a strike of its source, unless it is of scope sip and ends within ten minutes.
// If a prefix is adopted twice, the ban of larger scope stays.
func (e *Engine) Adopt(now int64, prefix netip.Prefix, scope Scope, remaining time.Duration) []Verdict {
	e.begin(now)

	// A short ban of the SIP ports may be one that anybody could have caused, which is no strike.
	strike := uint8(1)
	if scope == ScopeSIP && remaining <= shortBan {
		strike = 0
	}
	e.adopt(prefix, remaining, ban{from: e.now, rule: RuleAdopted, scope: scope, strike: strike})
	return e.done()
}

// AdoptBan takes over a ban of an earlier run with all that was known of it, as [Engine.Bans] gave
// it, and returns what Adopt does. Its source has at least the strikes of the ban. A ban of strike
// 0 (an operator's) counts no strike. If the prefix has a ban already, the one of larger scope
// stays. If both have the same scope, the new one replaces only a ban of rule adopted.
func (e *Engine) AdoptBan(now int64, b Ban) []Verdict {
	e.begin(now)
	rule := b.Rule
	if rule == RuleNone || rule >= ruleCount {
		rule = RuleAdopted // of a later version
	}

	// A wrong clock may have dated the ban too late. It lasts no longer than was decided.
	until := b.Until
	if b.From > e.now {
		until = min(until, e.now+max(until-b.From, 0))
	}

	e.adopt(b.Prefix, time.Duration(until-e.now), ban{
		from: min(b.From, e.now), lastSeen: min(b.LastSeen, e.now), seen: b.Seen, score: float32(b.Score),

		// checked
		attempts: uint16(min(max(b.Attempts, 0), math.MaxUint16)), rule: rule, scope: b.Scope,
		strike: uint8(min(max(b.Strike, 0), math.MaxUint8)), // checked
	})

	return e.done()
}

func (e *Engine) adopt(prefix netip.Prefix, remaining time.Duration, next ban) {
	k, ok := prefixKey(prefix)
	// What cannot go on is lifted, and the rule says why.
	rule := RuleNone
	if _, bad := e.protected.Overlaps(prefix); bad {
		rule = RuleProtected
	} else if !ok || !next.scope.ofBan() || remaining <= 0 {
		rule = RuleAdopted
	}
	if rule != RuleNone {
		e.emit(Verdict{
			Action: ActionUnban, Scope: next.scope, Prefix: prefix.Masked(), At: e.now, Rule: rule,
		})
		return
	}

	r := e.bans.Get(banKeyOf(k, next.scope))
	if r == 0 {
		if r = e.addBan(k, next.scope); r == 0 {
			e.bansFull(k, banCase{sentence: sentence{scope: next.scope}})
			return
		}
	}

	// Of two bans of a prefix, the one of larger scope stays; of one scope, the one that says more.
	b := e.bans.Val(r)
	knowsMore := b.rule != RuleAdopted || next.rule == RuleAdopted
	if b.until > e.now && (b.scope > next.scope || b.scope == next.scope && knowsMore) {
		return
	}

	capped := min(remaining, e.opt.BanMax)
	next.until = e.now + int64(capped)
	*b = next
	e.bans.Move(r, listOf(next.scope))
	if b.strike > 0 {
		e.adoptStrike(k, b)
	} else {
		e.relistBanned(k)
	}
	// Whoever enforces the ban must know that it ends sooner.
	if capped < remaining {
		e.emit(Verdict{
			Action: ActionBan, Scope: b.scope, Prefix: k.prefix(), At: e.now, Duration: capped,
			Rule: b.rule, Score: float64(b.score), Attempts: int(b.attempts), Strike: int(b.strike),
		})
	}
}

// adoptStrike makes an adopted ban a strike of its source.
func (e *Engine) adoptStrike(k key, b *ban) {
	if k.bits == hostBits {
		old := e.sources.Get(k.host())
		saved := old != 0 && !e.sources.Changed(old)
		s, r := e.touch(k)
		saved = saved && s.strikes >= b.strike && near(s.strikeAt, secondOf(b.until))
		s.strikes = max(s.strikes, b.strike)
		s.strikeAt = secondOf(b.until)
		b.strike = s.strikes
		e.sources.Move(r, listBanned)
		if saved { // a start that takes over very many bans must not write all their sources again
			e.sources.Clean(r)
		}

		return
	}

	if e.networks.Count(listBanned) >= e.networks.Max()/2 {
		return
	}

	n, r := e.touchNetwork(k)
	n.strikes = max(n.strikes, b.strike)
	n.strikeAt = secondOf(b.until)
	b.strike = n.strikes
	e.networks.Move(r, listBanned)
}

// near reports whether two times are the same but for their rounding.
func near(a, b uint32) bool { return max(a, b)-min(a, b) <= 2 }

// lift ends a ban early and forgets its evidence: the source begins anew.
func (e *Engine) lift(r table.Ref, rule Rule) {
	k := e.bans.Key(r).key
	e.pardonKey(k, e.notePardon(tagLift, k))
	e.liftBan(r, rule)
}

// liftBan ends a ban early.
func (e *Engine) liftBan(r table.Ref, rule Rule) {
	k, b := e.bans.Key(r).key, *e.bans.Val(r)
	e.removeBan(r)
	e.emit(Verdict{
		Action: ActionUnban, Scope: b.scope, Prefix: k.prefix(), At: e.now, Rule: rule,
		Score: float64(b.score), Attempts: int(b.attempts), Strike: int(b.strike),
	})
}

// pardonKey forgets what is held against a host or prefix, by the pardon of a number.
func (e *Engine) pardonKey(k key, no uint8) {
	if k.bits != hostBits {
		if r := e.networks.Get(k); r != 0 {
			e.networks.Mark(r)
			n := e.networks.Val(r)
			n.forget()
		}

		return
	}

	if r := e.sources.Get(k.host()); r != 0 {
		e.pardonSource(r, no)
	}

	for _, sp := range k.spreads() {
		if r := e.networks.Get(k.masked(sp.bits)); r != 0 {
			e.pardonPart(r, e.part(k, sp.bits))
		}
	}
	e.pardonEmbedded(k)
}

// pardonSource forgets what is held against an address itself.
func (e *Engine) pardonSource(r table.Ref, no uint8) {
	e.sources.Mark(r)
	e.sources.Val(r).forget(e.sec, no)
	if q := e.silents.Get(e.sources.Key(r).key()); q != 0 {
		e.silents.Remove(q)
	}
}

// forget forgets what is held against an address, as of a time and by the pardon of a number.
func (s *source) forget(at uint32, no uint8) {
	s.proven, s.forgeable, s.slowProven, s.slowForgeable, s.guess, s.slowGuess = 0, 0, 0, 0, 0, 0
	s.attempts, s.strikes, s.failed, s.failedProven = 0, 0, 0, 0
	s.flags &^= washed | lateProof
	s.since, s.pardon = at, no
}

// forget forgets what is held against a prefix.
func (n *network) forget() {
	*n = network{at: n.at, proofAt: n.proofAt, flags: n.flags & flagProof, gen: n.gen}
}

// pardonPart forgets what a network has of one of its parts.
func (e *Engine) pardonPart(r table.Ref, part uint32) {
	n := e.networks.Val(r)
	if slices.Contains(n.failed[:], part|provenPart) {
		n.provenSuspects = max(0, n.provenSuspects-1)
	}

	banned, failed := n.banned.remove(part), n.failed.remove(part)
	if banned && n.offenders > 0 {
		n.offenders--
		n.provenOffenders -= min(n.provenOffenders, 1) // it may have been one
	}
	if failed {
		n.suspects = max(0, n.suspects-1)
	}
	if banned || failed {
		e.networks.Mark(r)
	}
}
