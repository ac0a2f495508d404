package policy

import (
	"iter"
	"math"
	"net/netip"
	"slices"
)

// A site is an address from which several accounts log in, or the /64 of one: a proxy, an office,
// a network behind one address of a provider. Times are seconds since the Unix epoch.
type site struct {
	users [siteUsers]siteUser // in no order; free ones have no account

	// Proven attempts of a shared site, which are reported and not held against it: their score on
	// both scales as of guessAt, their number, and when the first of them came.
	guess, slowGuess float32
	guessAt          uint32
	guessSince       uint32
	guesses          uint16

	failing  [siteFailing]siteFailure // accounts that log in here and failed lately
	bannedAt uint32                   // when it was last banned, see BanSharedSources
}

// siteUser is an account that logs in at a site.
type siteUser struct {
	account accountID // 0 if the place is free
	at      uint32    // the last success

	// The last success whose address nobody could have chosen, 0 if there was none that counts: see
	// sharer.
	provenAt uint32
}

// siteFailure is an account that logs in at a site and failed there since.
type siteFailure struct {
	account accountID
	at      uint32
}

const (
	// sharedFrom is how many accounts make a site a shared one, within ProofWindow.
	sharedFrom = 5

	// crowdedFrom is how many accounts within an hour keep a shared site from ever being banned.
	crowdedFrom = 20

	// failingFrom is how many accounts of a site must fail within an hour for an early alert.
	failingFrom = 4

	siteUsers   = 24 // the accounts that are remembered of a site: the latest
	siteFailing = 8
	siteNamed   = 8 // the accounts that a verdict names
	maxSites    = 1 << 13
)

// siteList names the lists of the table of sites.
type siteList uint8

// The lists, in the order in which they give up records.
const (
	sitesSingle  siteList = iota // one account
	sitesSeveral                 // several, too few to be shared
	sitesShared                  // shared, or was
)

// A sharer bounds the sites for which an account counts. Otherwise the owner of five accounts could
// shelter any number of addresses. Times are seconds since the Unix epoch.
type sharer struct {
	parts [sitesADay]uint32 // hashed; newest first, 0 is none
	at    [sitesADay]uint32 // when the account began to count for each
}

const (
	sitesADay  = 3
	maxSharers = 1 << 15 // accounts for which this is remembered
)

// site returns the key of the site that an address belongs to: its /64 where that is one link, and
// the address itself elsewhere.
func (k key) site() key {
	if !k.is4() && len(k.spreads()) > 0 {
		return k.masked(netBits)
	}
	return k
}

// siteOf returns the record of the site of an address or /64, nil if there is none.
func (e *Engine) siteOf(k key) *site {
	if e.sites.Len() == 0 {
		return nil
	}
	r := e.sites.Get(k.site())
	if r == 0 {
		return nil
	}
	return e.sites.Val(r)
}

// sharedSite returns the record of the site of an address or /64 if that is a shared one, else nil.
func (e *Engine) sharedSite(k key) *site {
	if t := e.siteOf(k); t != nil && t.proven(e.sec, e.proofWindow) >= sharedFrom {
		return t
	}
	return nil
}

// shared reports whether an address or /64 is a shared source: at least sharedFrom accounts
// authenticated from there within ProofWindow, by successes whose address nobody could have chosen.
func (e *Engine) shared(k key) bool { return e.sharedSite(k) != nil }

// proven returns how many accounts logged in within the last span seconds by successes whose
// address nobody could have chosen.
func (t *site) proven(now, span uint32) int {
	n := 0
	for i := range t.users {
		if at := t.users[i].provenAt; at != 0 && now-min(at, now) < span {
			n++
		}
	}
	return n
}

// loggedIn notes that an account authenticated at a source. before is the account that did so
// before it, 0 if none is known.
func (e *Engine) loggedIn(k key, s *source, id, before accountID, o *Observation) {
	nk := k.site()
	counts := e.sharesSite(nk, id, o)
	r := e.sites.Get(nk)
	if r == 0 {
		// Of one phone over UDP nothing needs to be known. In a /64 each may have its own address.
		if !counts && s.owns < 2 && nk.bits == hostBits {
			return
		}

		r = e.sites.Add(nk, sitesSingle)
		if pr := e.pairs.Get(pairKey{k.hi, k.lo, before}); before != 0 && pr != 0 {
			e.sites.Val(r).user(before).at = e.pairs.Val(pr).okAt
		}
	}

	t := e.sites.Val(r)
	u := t.user(id)
	u.at = max(e.sec, 1)
	if counts {
		u.provenAt = u.at
	}

	// What failed here was the account's own user, then.
	for i := range t.failing {
		if t.failing[i].account == id {
			t.failing[i] = siteFailure{}
		}
	}

	e.sites.Mark(r)
	e.sites.Move(r, t.list())
}

// user returns the place of an account. An account without one takes that of the account that was
// quiet longest.
func (t *site) user(id accountID) *siteUser {
	oldest := 0
	for i := range t.users {
		if t.users[i].account == id {
			return &t.users[i]
		}
		if t.users[i].at < t.users[oldest].at {
			oldest = i
		}
	}

	t.users[oldest] = siteUser{account: id}
	return &t.users[oldest]
}

// latest returns when the last account logged in.
func (t *site) latest() uint32 {
	at := uint32(0)
	for i := range t.users {
		at = max(at, t.users[i].at)
	}
	return at
}

// list returns the list where a site belongs.
func (t *site) list() siteList {
	users, proven := 0, 0
	for i := range t.users {
		if t.users[i].account != 0 {
			users++
		}
		if t.users[i].provenAt != 0 {
			proven++
		}
	}

	switch {
	case proven >= sharedFrom:
		return sitesShared
	case users > 1:
		return sitesSeveral
	}
	return sitesSingle
}

// sharesSite reports whether a success makes its account count for the site. A manager of AMI is no
// user of it.
func (e *Engine) sharesSite(nk key, id accountID, o *Observation) bool {
	if !o.Password || !o.Chooser().Proven() || o.Service == ServiceAMI {
		return false
	}

	r := e.sharers.Get(id)
	if r == 0 {
		r = e.sharers.Add(id, only)
	} else {
		e.sharers.Move(r, only)
	}
	e.sharers.Mark(r)
	v := e.sharers.Val(r)
	return takePart(v.parts[:], v.at[:], e.vouchedPart(nk), e.sec, sitesADay)
}

// failedAtHome notes that an account failed at a site where it logs in. shared is the site if it is
// a shared one, else nil. When several such accounts fail and do not succeed again, somebody
// guesses, or their passwords were changed. A shared site then gets an alert; of others only
// a.failing is set, see [Engine.failsOn].
func (e *Engine) failedAtHome(shared *site, a *attempt) {
	t := e.siteOf(a.key)
	if t == nil {
		return
	}

	a.failing = t.noteFailing(a.account, e.sec)
	e.sites.Mark(e.sites.Get(a.key.site()))
	if shared != nil && a.failing >= failingFrom {
		e.tellShared(shared, a)
	}
}

// noteFailing notes that an account failed, and returns how many did within the hour and have not
// succeeded since. The new failure takes the place of the oldest.
func (t *site) noteFailing(id accountID, now uint32) int {
	place, failing := 0, 1
	for i, f := range t.failing {
		if f.account == id {
			place = i
			break
		}
		if f.at < t.failing[place].at {
			place = i
		}
	}

	t.failing[place] = siteFailure{id, now}
	for i := range t.failing {
		if i != place && t.failedLately(i, now) {
			failing++
		}
	}
	return failing
}

// failedLately reports whether an account that failed at a site did so within the last hour.
func (t *site) failedLately(i int, now uint32) bool {
	f := t.failing[i]
	return f.account != 0 && now-min(f.at, now) < hourly
}

// sharedGuessing judges proven evidence against a shared source. It alerts when a stranger would be
// banned for it. A ban would let one user cut off the others, so there is none unless the operator
// asks for it (BanSharedSources), and then for ten minutes in an hour at most.
func (e *Engine) sharedGuessing(t *site, a *attempt) {
	e.stats.Shared++
	a.pair.shielded = count16(a.pair.shielded)
	if !e.on(RuleSharedGuessing) {
		return
	}

	e.sites.Mark(e.sites.Get(a.key.site()))
	e.fadeGuess(t)
	if t.guesses == 0 {
		t.guessSince = e.sec
	}
	most := maxScore * float32(e.opt.Threshold)
	t.guess = min(t.guess+a.ev.Weight, most)
	t.slowGuess = min(t.slowGuess+a.ev.Weight, most)

	n := 1 + a.passedHere + a.passedElsewhere
	t.guesses = uint16(min(int(t.guesses)+n, math.MaxUint16)) // checked
	e.countPassed(a, a.key.site())
	e.recordEvidence(a.key.site(), a.evidence())
	if t.guess <= e.limit && t.slowGuess <= slowFactor*e.limit {
		return
	}

	e.tellShared(t, a)
	if e.opt.BanSharedSources {
		e.banShared(t, a)
	}
}

// fadeGuess brings the scores of the attempts that were reported of a site to now.
func (e *Engine) fadeGuess(t *site) {
	if e.sec > t.guessAt {
		t.guess *= fade(e.sec-t.guessAt, e.half)
		t.slowGuess *= fade(e.sec-t.guessAt, e.slowHalf)
		t.guessAt = e.sec
	}

	if t.guess < e.calm {
		t.guess = 0
		if t.slowGuess < e.slowCalm {
			t.slowGuess, t.guesses = 0, 0
		}
	}
}

// tellShared alerts that somebody guesses through a shared source, or that several of its own
// accounts fail.
func (e *Engine) tellShared(t *site, a *attempt) {
	if !e.on(RuleSharedGuessing) {
		return
	}

	nk := a.key.site()
	since := t.guessSince
	if t.guesses == 0 {
		since = e.sec // accounts of its own fail, and nobody guesses
	}
	v := Verdict{
		Rule: RuleSharedGuessing, About: AboutSource, Prefix: nk.prefix(), Server: a.ev.Server,
		Account: a.ev.Account,
		Score:   float64(t.guess), Attempts: int(t.guesses), Chooser: a.ev.Chooser,
		Rate: perMinuteSince(t.guesses, e.sec-since), Owns: t.proven(e.sec, e.proofWindow),
		Users: e.usersOf(t), Evidence: e.exportEvidence(nk, t.guesses),
	}

	start := len(e.labelsOut)
	for i := range t.failing {
		if t.failedLately(i, e.sec) {
			e.nameAccount(t.failing[i].account)
		}
	}
	if failing := e.labelsOut[start:]; len(failing) >= failingFrom {
		v.Failing = failing
	}

	e.lasting(lasting{
		verdict: v, about: aboutPrefix(nk), bits: nk.bits, since: since,
		count: uint32(t.guesses), size: max(1, int(t.guesses), len(v.Failing)), certain: true,
	})
}

// banShared bans a shared source, unless it was banned within the hour or very many users would be
// cut off.
func (e *Engine) banShared(t *site, a *attempt) {
	if t.bannedAt != 0 && e.sec-t.bannedAt < hourly || t.proven(e.sec, hourly) >= crowdedFrom {
		return
	}

	nk := a.key.site()
	c := banCase{
		sentence: e.sentence(occupantShared, a.ev.Chooser), rule: RuleSharedGuessing, score: t.guess,
		attempts: t.guesses, chooser: a.ev.Chooser,
	}
	made := false
	if nk.bits == hostBits {
		made = e.banHost(nk, a.src, a.srcRef, c)
	} else if n, r := e.touchNetwork(nk); e.mayBan(nk) {
		made = e.ban(nk, &n.strikes, &n.strikeAt, c)
		if made {
			e.networks.Move(r, listBanned)
		}
	}
	if made {
		t.bannedAt = max(e.sec, 1)
	}
}

// usersOf returns the names of the accounts that log in at a site, the latest first, as far as they
// are remembered. They are valid until the engine's next call.
func (e *Engine) usersOf(t *site) []Label {
	users := t.users
	slices.SortStableFunc(users[:], func(a, b siteUser) int { return int(b.at) - int(a.at) })

	start := len(e.labelsOut)
	for _, u := range users {
		if u.account != 0 && len(e.labelsOut)-start < siteNamed {
			e.nameAccount(u.account)
		}
	}
	return e.labelsOut[start:len(e.labelsOut):len(e.labelsOut)]
}

// nameAccount adds the name of an account to those of this call's verdicts, if it is remembered.
func (e *Engine) nameAccount(id accountID) {
	if r := e.accounts.Get(id); r != 0 {
		e.labelsOut = append(e.labelsOut, e.accounts.Val(r).label())
	}
}

// namesAt returns the names of the accounts that log in at an address: see usersOf. An address
// without a site has one at most.
func (e *Engine) namesAt(k key, s *source) []Label {
	if t := e.siteOf(k); t != nil {
		return e.usersOf(t)
	}

	start := len(e.labelsOut)
	if l := e.ownedBy(k, s); l.n > 0 {
		e.labelsOut = append(e.labelsOut, l)
	}
	return e.labelsOut[start:len(e.labelsOut):len(e.labelsOut)]
}

// SharedSource is an address through which many users reach a PBX.
type SharedSource struct {
	Prefix   netip.Prefix // a host, or a /64 of IPv6
	Accounts int          // that logged in within ProofWindow, beyond doubt; 24 means so many or more
	Users    []Label      // some of them, the latest first
	Guesses  int          // attempts through it since its scores were last zero, only reported
}

// SharedSources iterates over the shared sources as of the engine's time. The engine must not be
// used while it does. The names are valid until the next step.
func (e *Engine) SharedSources() iter.Seq[SharedSource] {
	return func(yield func(SharedSource) bool) {
		for r := e.sites.Newest(sitesShared); r != 0; r = e.sites.Older(r) {
			if x, ok := e.sharedSource(e.sites.Key(r)); ok && !yield(x) {
				return
			}
		}
	}
}

// sharedSource describes the site of an address or /64 if that is a shared one.
func (e *Engine) sharedSource(k key) (SharedSource, bool) {
	t := e.sharedSite(k)
	if t == nil {
		return SharedSource{}, false
	}

	e.labelsOut = e.labelsOut[:0]
	return SharedSource{
		Prefix: k.site().prefix(), Accounts: t.proven(e.sec, e.proofWindow), Users: e.usersOf(t),
		Guesses: int(t.guesses),
	}, true
}
