package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Impose bans a prefix because an operator says so, from now on for d, at most for BanMax. It is no
// strike. An error says why it cannot be: the prefix is invalid or must never be banned, there is
// no room, or d is not positive. It replaces a running ban of the prefix, but the scope never gets
// smaller.
func (e *Engine) Impose(now int64, prefix netip.Prefix, scope Scope, d time.Duration) ([]Verdict, error) {
	e.begin(now)
	k, ok := prefixKey(prefix)
	if !ok || scope == ScopeNone || d <= 0 {
		return e.done(), errors.New("impose ban: no such prefix, scope or duration")
	}
	if reason, bad := e.protected.Overlaps(k.prefix()); bad {
		return e.done(), fmt.Errorf("impose ban of %s: never banned: %s", k.prefix(), reason)
	}

	r := e.bans.Get(banKeyOf(k, scope))
	if r == 0 {
		if r = e.addBan(k, scope); r == 0 {
			const full = "impose ban of %s: as many bans as max_bans allows run already"
			return e.done(), fmt.Errorf(full, k.prefix())
		}
	}

	// A ban from everything takes the place of one of scope stream too.
	if other := e.bans.Get(banKeyOf(k, ScopeStream)); scope == ScopeAll && other != 0 {
		e.removeBan(other)
	}

	// What an operator asks for never makes a running ban smaller, but may end it sooner.
	b := e.bans.Val(r)
	if b.until > e.now {
		scope |= b.scope
	}

	until := e.now + int64(min(d, e.opt.BanMax))
	*b = ban{from: e.now, until: until, rule: RuleOperator, scope: scope}
	e.bans.Move(r, listOf(scope))
	e.relistBanned(k)
	e.emit(Verdict{
		Action: ActionBan, Scope: scope, Prefix: k.prefix(), At: e.now,
		Duration: time.Duration(b.until - e.now), Rule: RuleOperator,
	})

	return e.done(), nil
}

// Pardon lifts the bans of a prefix and of all prefixes in it, and forgets what is held against the
// sources in it: their scores, strikes and failures. What they own and have proved stays. A ban of
// a larger prefix goes on, see [Engine.Ban]. Of a single address this takes microseconds; of a
// prefix it looks through all sources and bans, a million of them in some 50 ms.
func (e *Engine) Pardon(now int64, prefix netip.Prefix) []Verdict {
	e.begin(now)
	p, ok := prefixKey(prefix)
	if !ok {
		return e.done()
	}

	no := e.notePardon(tagPardon, p)
	if p.bits == hostBits {
		e.pardonKey(p, no)
		for _, r := range e.bansOf(p) {
			if r != 0 {
				e.liftBan(r, RuleOperator)
			}
		}

		return e.done()
	}

	// Pardons come before the lifting of bans, which sorts records by what is left of them.
	in := func(k key) bool { return k.in(p) }
	for r := range e.sources.All() {
		if k := e.sources.Key(r).key(); in(k) {
			e.pardonKey(k, no)
		}
	}

	for r := range e.networks.All() {
		if k := e.networks.Key(r); in(k) {
			e.pardonKey(k, no)
		}
	}

	for r := range e.bans.All() {
		if in(e.bans.Key(r).key) && e.bans.Val(r).until > e.now {
			e.liftBan(r, RuleOperator)
		}
	}

	return e.done()
}

// in reports whether a host or prefix is in another one. No IPv4 address is in a prefix of IPv6,
// though its key lies within ::/0.
func (k key) in(p key) bool {
	return k.bits >= p.bits && k.is4() == p.is4() && k.masked(p.bits) == p
}

// relistBanned moves the record of a host or prefix, if there is one, to where it belongs by its
// ban.
func (e *Engine) relistBanned(k key) {
	if k.bits == hostBits {
		if r := e.sources.Get(k.host()); r != 0 {
			e.renew(e.sources.Val(r))
			e.classify(k, r)
		}
	} else if r := e.networks.Get(k); r != 0 {
		e.renewNetwork(e.networks.Val(r))
		e.classifyNetwork(k, r)
	}
}
