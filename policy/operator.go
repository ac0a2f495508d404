package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Impose bans a prefix because an operator says so, from now on for d, at most for BanMax. It is no strike. An error says why
// it cannot be: the prefix is invalid or must never be banned, there is no room, or d is not positive. A running ban of the
// prefix is replaced, its scope never by a smaller one.
func (e *Engine) Impose(now int64, prefix netip.Prefix, scope Scope, d time.Duration) ([]Verdict, error) {
	e.begin(now)
	k, ok := prefixKey(prefix)
	if !ok || scope == ScopeNone || d <= 0 {
		return e.done(), errors.New("impose ban: no such prefix, scope or duration")
	}
	if reason, bad := e.protected.Overlaps(k.prefix()); bad {
		return e.done(), fmt.Errorf("impose ban of %s: never banned: %s", k.prefix(), reason)
	}
	r := e.bans.get(k)
	if r == 0 {
		if r = e.addBan(k, scope); r == 0 {
			return e.done(), fmt.Errorf("impose ban of %s: as many bans as max_bans allows run already", k.prefix())
		}
	}
	b := &e.bans.at(r).val
	if b.until > e.now {
		scope = max(scope, b.scope)
	}
	*b = ban{from: e.now, until: e.now + int64(min(d, e.opt.BanMax)), rule: ruleOperator, scope: scope}
	e.bans.move(r, listOf(scope))
	e.relistBanned(k)
	e.emit(Verdict{
		Action: ActionBan, Scope: scope, Prefix: k.prefix(), At: e.now, Duration: time.Duration(b.until - e.now), Rule: RuleOperator,
	})
	return e.done(), nil
}

// Pardon lifts the bans of a prefix and of all prefixes in it, and forgets what is held against the sources in it: their
// scores, their strikes and how often they failed on which account. It looks through everything that is remembered. A ban of a larger prefix goes on, see [Engine.Ban].
func (e *Engine) Pardon(now int64, prefix netip.Prefix) []Verdict {
	e.begin(now)
	p, ok := prefixKey(prefix)
	if !ok {
		return e.done()
	}
	e.forgiven(tagPardon, p)
	in := func(k key) bool { return k.bits >= p.bits && k.masked(p.bits) == p }
	for r := range e.sources.oldestFirst() {
		if k := e.sources.at(r).key.key(); in(k) {
			e.absolve(k)
		}
	}
	for r := range e.networks.oldestFirst() {
		if k := e.networks.at(r).key; in(k) {
			e.absolve(k)
		}
	}
	for r := range e.pairs.oldestFirst() {
		if en := e.pairs.at(r); in(en.key.host().key()) {
			e.acquit(en.key.host(), &en.val)
		}
	}
	for _, list := range [...]uint8{listAll, listSIP} {
		for r := e.bans.lists[list].head; r != 0; {
			en := e.bans.at(r)
			next := en.next
			if in(en.key) && en.val.until > e.now {
				e.lift(r, RuleOperator)
			}
			r = next
		}
	}
	return e.done()
}

// acquit forgets that an account failed at a source. Else the phone whose password was corrected would be taken for a guesser
// who has found it, and be banned anew by its very first success.
func (e *Engine) acquit(h host, p *pair) {
	p.debt, p.slowDebt, p.fails, p.excused, p.shielded, p.failAt, p.rate, p.excusedProven = 0, 0, 0, 0, 0, 0, 0, 0
	p.flags &^= pairProven | pairTold
	if r := e.sources.get(h); r != 0 {
		e.sources.at(r).val.unfail(p)
	}
	p.flags &^= pairFailed | pairFailedProven
}

// relistBanned moves the record of a host or prefix, if there is one, to where it belongs by its ban.
func (e *Engine) relistBanned(k key) {
	if k.bits == hostBits {
		if r := e.sources.get(k.host()); r != 0 {
			e.classify(k, r)
		}
	} else if r := e.networks.get(k); r != 0 {
		e.classifyNetwork(k, r)
	}
}
