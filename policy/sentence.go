package policy

import "time"

// occupant is who is known to be at an address or in a prefix.
type occupant uint8

const (
	// occupantStranger never proved itself, as far as is remembered.
	occupantStranger occupant = iota

	// occupantProved has proved itself, or owns accounts, and is not a lateProof.
	occupantProved

	// occupantShared has the users of several accounts behind it, beyond doubt: see site.
	occupantShared

	occupantCount
)

// length is how long bans last, and whether they grow.
type length uint8

const (
	// lengthFull begins with BanTime and grows by BanGrowth up to BanMax.
	lengthFull length = iota

	// lengthForged begins with shortBan. Its second ban is the first of lengthFull. A ban of a prefix
	// lasts BanTime at most.
	lengthForged

	// lengthShort is shortBan each time. The ban is a strike.
	lengthShort

	// lengthBrief is the same, but the ban is no strike: others could have caused it.
	lengthBrief

	// lengthProved begins with shortBan and grows by BanGrowth up to longestProved.
	lengthProved
)

const (
	// shortBan is the duration of bans that may hit the innocent, and of the first ban of a source
	// on forgeable evidence, or of one that proved itself.
	shortBan = 10 * time.Minute

	// longestProved is the longest ban of a source that proved itself.
	longestProved = 4 * time.Hour
)

// sentence is the ban that a rule asks for: its traffic and its length. The scope is ScopeNone if
// nobody is banned.
type sentence struct {
	scope  Scope
	length length
}

// sentences says for each occupant, and for the class of the weakest evidence that a ban needs,
// what is banned for how long. Every rule that bans asks it.
//
//   - A stranger is banned from everything on proven evidence, from the SIP ports on forgeable.
//   - Others send from the address of a source that proved itself, too: a web page in a browser of
//     the office, an open proxy. So proven evidence bans it only from the transport over which the
//     attack came. What is proven comes over a connection, or over UDP by a nonce. The SIP phones of
//     most offices speak UDP, so that ban is always short.
//   - Forgeable evidence is not held against a source while its proof lasts: see count. This entry
//     is for a source whose proof is older.
//   - A shared source is banned only if BanSharedSources is set: an attacker among its users could
//     cut off the others.
var sentences = [occupantCount][NumChoosers]sentence{
	occupantStranger: {
		ChooserAnybody:            {ScopeSIP, lengthBrief},
		ChooserAnybodyWithAccount: {ScopeSIP, lengthBrief},
		ChooserSpoofer:            {ScopeSIP, lengthForged},
		ChooserSpooferWithAccount: {ScopeSIP, lengthForged},
		ChooserNobody:             {ScopeAll, lengthFull},
		ChooserRoundTrip:          {ScopeAll, lengthFull},
	},
	occupantProved: {
		ChooserAnybody:            {ScopeSIP, lengthBrief},
		ChooserAnybodyWithAccount: {ScopeSIP, lengthBrief},
		ChooserSpoofer:            {ScopeSIP, lengthShort},
		ChooserSpooferWithAccount: {ScopeSIP, lengthShort},
		ChooserNobody:             {ScopeStream, lengthProved},
		ChooserRoundTrip:          {ScopeSIP, lengthShort},
	},
	occupantShared: {
		ChooserAnybody:            {ScopeNone, lengthBrief},
		ChooserAnybodyWithAccount: {ScopeNone, lengthBrief},
		ChooserSpoofer:            {ScopeNone, lengthBrief},
		ChooserSpooferWithAccount: {ScopeNone, lengthBrief},
		ChooserNobody:             {ScopeStream, lengthBrief},
		ChooserRoundTrip:          {ScopeSIP, lengthBrief},
	},
}

// sentence returns the ban that evidence of a class asks for against an occupant.
func (e *Engine) sentence(o occupant, c Chooser) sentence {
	st := sentences[o][c]
	if o == occupantShared && !e.opt.BanSharedSources {
		st.scope = ScopeNone
	}
	return st
}

// brief reports whether the ban is no strike and no offence of the prefix.
func (s sentence) brief() bool { return s.length == lengthBrief }

// forgeable reports whether the ban rests on evidence that may be forged: such bans are limited in
// number.
func (c banCase) forgeable() bool { return c.scope == ScopeSIP && !c.chooser.Proven() }

// occupantOf returns who is at an address.
func (e *Engine) occupantOf(k key, s *source) occupant {
	switch {
	case e.shared(k):
		return occupantShared
	case e.knownUser(s):
		return occupantProved
	}

	if s4 := e.embeddedRecord(k); s4 != nil && e.knownUser(s4) {
		return occupantProved
	}
	return occupantStranger
}

// knownUser reports whether a source proved itself or owns accounts, before anything proven was held
// against it.
func (e *Engine) knownUser(s *source) bool {
	return (e.hasProof(s) || s.owns > 0) && s.flags&lateProof == 0
}

// occupantIn returns who is in a prefix.
func (e *Engine) occupantIn(nk key, n *network) occupant {
	switch {
	case e.shared(nk):
		return occupantShared
	case e.holdsProof(n):
		return occupantProved
	}
	return occupantStranger
}

// duration returns how long the ban of a strike lasts.
func (e *Engine) duration(strike uint8, c banCase) time.Duration {
	first := min(shortBan, e.opt.BanTime)
	if !e.on(RuleStrikes) {
		strike = 1
	}

	switch c.length {
	case lengthBrief, lengthShort:
		return first
	case lengthProved:
		return min(escalated(first, e.opt.BanGrowth, strike, e.opt.BanMax), longestProved)
	case lengthForged:
		d := e.opt.banDuration(strike)
		if e.on(RuleForgeableBudget) {
			d = first
			if strike > 1 {
				d = e.opt.banDuration(strike - 1)
			}
		}

		// The neighbours in a prefix may be innocent.
		if c.wide {
			d = min(d, e.opt.BanTime)
		}
		return d
	case lengthFull:
	}

	return e.opt.banDuration(strike)
}
