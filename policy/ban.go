package policy

import (
	"iter"
	"net/netip"
	"slices"
	"time"

	"github.com/amifend/amifend/policy/internal/table"
)

// banKey names a ban: a host or prefix may have one of scope stream beside its other one, since
// neither of the scopes sip and stream covers the other.
type banKey struct {
	key
	stream bool
}

// banKeyOf returns the key of a ban of a scope.
func banKeyOf(k key, scope Scope) banKey { return banKey{k, scope == ScopeStream} }

// ban is a running ban, or one that ended and was not swept yet.
type ban struct {
	from, until int64
	lastSeen    int64
	seen        uint64
	score       float32
	attempts    uint16
	rule        Rule
	scope       Scope
	strike      uint8
}

// banList names the lists of the table of bans. None of them gives up bans.
type banList uint8

const (
	bansProven banList = iota // scope all or stream
	bansSIP                   // scope sip; at most half of the table
)

// listOf returns the list of a ban's scope.
func listOf(scope Scope) banList {
	if scope == ScopeSIP {
		return bansSIP
	}
	return bansProven
}

// Ban is one running ban.
type Ban struct {
	Prefix   netip.Prefix
	Scope    Scope
	From     int64 // when it was decided or adopted, nanoseconds since the Unix epoch
	Until    int64 // when it ends
	Rule     Rule
	Score    float64
	Attempts int
	Strike   int
	// observations of its sources since it was decided; they are not counted against them
	Seen     uint64
	LastSeen int64 // of the last of them, 0 if there is none
}

func (b *ban) export(k key) Ban {
	return Ban{
		Prefix: k.prefix(), Scope: b.scope, From: b.from, Until: b.until, Rule: b.rule,
		Score: rounded(float64(b.score)), Attempts: int(b.attempts), Strike: int(b.strike),
		Seen: b.seen, LastSeen: b.lastSeen,
	}
}

// Bans iterates over the bans that run as of the engine's time, in no order that means anything.
// The engine must not be used while it does.
func (e *Engine) Bans() iter.Seq[Ban] {
	return func(yield func(Ban) bool) {
		for _, list := range [...]banList{bansProven, bansSIP} {
			for r := e.bans.Newest(list); r != 0; r = e.bans.Older(r) {
				if b := e.bans.Val(r); b.until > e.now && !yield(b.export(e.bans.Key(r).key)) {
					return
				}
			}
		}
	}
}

// Ban returns the ban that covers an address as of the engine's time. Of several, it is the one of
// the largest scope, and of these the one of the longest prefix.
func (e *Engine) Ban(addr netip.Addr) (Ban, bool) {
	k := hostKey(addr)
	r, _ := e.covering(k)
	if r == 0 {
		return Ban{}, false
	}
	return e.bans.Val(r).export(e.bans.Key(r).key), true
}

// BansOf returns all bans that cover an address as of the engine's time.
func (e *Engine) BansOf(addr netip.Addr) (out []Ban) {
	k := hostKey(addr)
	for _, bits := range slices.Backward(e.banBits) {
		if bits < v4Bits && k.is4() {
			break
		}
		part := k.masked(bits)
		for _, r := range e.bansOf(part) {
			if r != 0 {
				out = append(out, e.bans.Val(r).export(part))
			}
		}
	}
	return out
}

// covering returns the ban of the largest scope that covers a host, 0 if there is none, and the
// scopes of all that do.
func (e *Engine) covering(k key) (best table.Ref, scope Scope) {
	for _, bits := range slices.Backward(e.banBits) {
		if bits < v4Bits && k.is4() {
			break
		}

		for _, r := range e.bansOf(k.masked(bits)) {
			if r == 0 {
				continue
			}
			if b := e.bans.Val(r); best == 0 || b.scope > e.bans.Val(best).scope {
				best = r
			}
			scope |= e.bans.Val(r).scope
		}
	}

	return best, scope
}

// bansOf returns the running bans of exactly this host or prefix: the one of scope sip or all, and
// the one of scope stream, each 0 if there is none.
func (e *Engine) bansOf(k key) [2]table.Ref {
	refs := [2]table.Ref{e.bans.Get(banKey{k, false})}
	if e.streamBans > 0 {
		refs[1] = e.bans.Get(banKey{k, true})
	}

	for i, r := range refs {
		if r != 0 && e.bans.Val(r).until <= e.now {
			refs[i] = 0
		}
	}
	return refs
}

// banScope returns the scopes of the running bans of exactly this host or prefix.
func (e *Engine) banScope(k key) Scope {
	scope := ScopeNone
	for _, r := range e.bansOf(k) {
		if r != 0 {
			scope |= e.bans.Val(r).scope
		}
	}
	return scope
}

// banCase is the reason for a ban.
type banCase struct {
	sentence
	rule     Rule
	score    float32
	attempts uint16
	chooser  Chooser
	patient  bool // its evidence, if it is forgeable, spans two minutes
	// it is a prefix: on forgeable evidence it lasts BanTime at most, and takes as much of the
	// budget as forgeablePrefix bans
	wide bool
}

// ban bans a host or prefix, or enlarges its running ban. An enlarged ban is no new strike, and
// never ends earlier than the one that it replaces. False means that the ban was not made: there is
// no room, or the budget of forgeable bans is used up.
func (e *Engine) ban(k key, strikes *uint8, strikeAt *uint32, c banCase) bool {
	br := e.bans.Get(banKeyOf(k, c.scope))
	running := br != 0 && e.bans.Val(br).until > e.now
	if !running && c.forgeable() && !e.affordable(k, c) {
		return false
	}
	if br == 0 {
		if br = e.addBan(k, c.scope); br == 0 {
			e.bansFull(k, c)
			return false
		}
	}

	b := e.bans.Val(br)
	if !running {
		*b = ban{from: e.now}
	}

	// A ban that takes the place of one without a strike is a strike.
	strike := uint8(0)
	if !c.brief() {
		if b.strike == 0 {
			*strikes = bump(*strikes, 1)
		}

		strike = *strikes
	}

	b.until = max(b.until, e.now+int64(e.duration(strike, c)))
	if !c.brief() {
		*strikeAt = secondOf(b.until)
	}

	b.scope, b.rule, b.attempts, b.strike, b.score = c.scope, c.rule, c.attempts, strike, c.score
	e.bans.Move(br, listOf(c.scope))
	e.emit(Verdict{
		Action: ActionBan, Scope: c.scope, Prefix: k.prefix(), At: e.now,
		Duration: time.Duration(b.until - e.now), Rule: c.rule, Score: float64(c.score),
		Attempts: int(c.attempts), Strike: int(strike),
		Chooser: c.chooser, Evidence: e.exportEvidence(k, c.attempts),
	})

	return true
}

// addBan makes room for a ban. It returns 0 if there is no room. Bans on forgeable evidence get at
// most half of it, so that a flood of forged packets cannot keep an attacker from being banned on
// proven evidence.
func (e *Engine) addBan(k key, scope Scope) table.Ref {
	full := func() bool {
		return e.bans.Full() || scope == ScopeSIP && e.bans.Count(bansSIP) >= max(1, e.bans.Max()/2)
	}
	if full() {
		e.sweepBans(fullBudget)
		if full() {
			return 0
		}
	}

	e.banCount[k.bits]++
	if e.banCount[k.bits] == 1 {
		e.listBanBits()
	}
	if scope == ScopeStream {
		e.streamBans++
	}

	return e.bans.Add(banKeyOf(k, scope), listOf(scope))
}

// removeBan forgets a ban.
func (e *Engine) removeBan(r table.Ref) {
	k := e.bans.Key(r)
	e.bans.Remove(r)
	e.banCount[k.bits]--
	if e.banCount[k.bits] == 0 {
		e.listBanBits()
	}
	if k.stream {
		e.streamBans--
	}
	e.relistBanned(k.key)
}

// listBanBits notes which prefix lengths have bans, shortest first.
func (e *Engine) listBanBits() {
	e.banBits = e.banBits[:0]
	for bits, n := range e.banCount {
		if n > 0 {
			e.banBits = append(e.banBits, uint8(bits)) // at most 128
		}
	}
}

// bansFull alerts, at most once a minute, that a ban was due and has no room.
func (e *Engine) bansFull(k key, c banCase) {
	e.stats.BansRefused++
	e.alert(Verdict{
		Rule: RuleBansFull, Scope: c.scope, Prefix: k.prefix(), Score: float64(c.score),
		Attempts: int(c.attempts),
	}, aboutAll, minutely)
}

// sweepBans looks at some bans of each scope and forgets those that have ended.
func (e *Engine) sweepBans(budget int) {
	for _, list := range [...]banList{bansProven, bansSIP} {
		for range min(budget, e.bans.Count(list)) {
			r := e.bans.Oldest(list)
			if e.bans.Val(r).until <= e.now {
				e.removeBan(r)
				continue
			}

			e.bans.Move(r, list)
		}
	}
}
