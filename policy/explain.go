package policy

import (
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/amifend/amifend/policy/internal/table"
)

// Explanation is the state of an address: what is held against it, what speaks for it, and what
// would ban or free it. Times are nanoseconds since the Unix epoch, 0 for never.
type Explanation struct {
	Addr      netip.Addr
	At        int64
	Protected string // why it is never banned, "" if it may be
	Banned    bool
	Ban       Ban // that covers it

	Known    bool // anything at all is remembered of it
	Attempts int  // requests counted since its score was last zero
	Since    int64
	Scores   []ScorePart
	Evidence []Evidence // the latest attempts, oldest first
	Accounts []AccountPart
	// how many attempts on one unknown account would ban it now, 0 if it is banned or never will be
	MoreUnknown int
	MoreKnown   int   // how many wrong passwords on one account would
	CalmAt      int64 // when its attempts are forgotten, if there are no more

	Proved    bool // forgeable evidence is not held against it
	ProofAt   int64
	ProofEnds int64
	// but that proof came after failures from the same port: evidence from there counts
	Washed bool
	Owns   int // accounts that it authenticated as
	// of a shared source: how many accounts log in there, 0 if it is none; and some of their names
	Shared     int
	Users      []Label
	Trust      float64
	Strikes    int
	StrikeEnds int64 // when it will have one strike less

	Prefixes []PrefixPart
}

// ScorePart is a score that is compared with a limit.
type ScorePart struct {
	Rule      Rule // RuleScore or RuleLongMemory: the rule that looks at it
	Proven    float64
	Forgeable float64
	Limit     float64
}

// AccountPart is the part of an explanation about one account at the address.
type AccountPart struct {
	Account  Label // its name, as far as it is still remembered
	Server   uint16
	OKAt     int64 // the last success
	Fails    int   // failures since then that counted
	Excused  int   // failures since then that are a misconfigured endpoint's
	Shielded int   // failures since then that may be forged, while the address was proved
	FailedAt int64 // the first of them
}

// PrefixPart is the part of an explanation about a prefix that the address is in, or about the IPv4
// address that a Teredo or NAT64 address holds.
type PrefixPart struct {
	Prefix    netip.Prefix
	Proven    float64
	Forgeable float64
	Limit     float64
	Suspects  float64 // parts of it that failed lately
	Offenders int     // parts of it that were banned
	Proved    bool    // it holds a proved address, so only single addresses of it are banned
}

// maxExplained is the number of accounts that an explanation names: those with the latest events.
const maxExplained = 100

// Explain returns the state of an address as of the engine's time. It changes nothing. It looks
// through all accounts that are remembered: call it for people, not for packets.
func (e *Engine) Explain(addr netip.Addr) Explanation {
	k := hostKey(addr)
	x := Explanation{Addr: k.prefix().Addr(), At: e.now}
	x.Protected, _ = e.protected.Contains(x.Addr)
	x.Ban, x.Banned = e.Ban(addr)
	// Copies are brought to now, so that asking changes nothing.
	if r := e.sources.Get(k.host()); r != 0 {
		s := *e.sources.Val(r)
		e.decay(&s)
		e.explainSource(&x, k, &s)
	} else {
		e.explainMore(&x, &source{})
	}
	if r := e.trails.Get(k); r != 0 {
		x.Evidence = e.trails.Val(r).latest(nil, uint32(x.Attempts)) // a uint16
	}

	if shared, ok := e.sharedSource(k); ok {
		x.Shared, x.Users = shared.Accounts, slices.Clone(shared.Users)
		x.MoreUnknown, x.MoreKnown = 0, 0 // no attempt bans it
		if r := e.trails.Get(k.site()); r != 0 && x.Attempts == 0 {
			x.Evidence = e.trails.Val(r).latest(nil, uint32(shared.Guesses)) // a uint16
		}
	}

	x.Accounts = e.explainAccounts(k)
	for _, sp := range k.spreads() {
		nk := k.masked(sp.bits)
		e.explainPrefix(&x, nk, nk.prefix(), sp)
	}
	if nk, ok := k.embeddedNetwork(); ok {
		v4, _ := k.embedded()
		e.explainPrefix(&x, nk, v4.prefix(), embedding)
	}

	return x
}

// explainPrefix adds the record of a prefix, if there is one. nk is its key and prefix its name.
func (e *Engine) explainPrefix(x *Explanation, nk key, prefix netip.Prefix, sp spread) {
	r := e.networks.Get(nk)
	if r == 0 {
		return
	}

	n := *e.networks.Val(r)
	e.decayNetwork(&n)
	x.Prefixes = append(x.Prefixes, PrefixPart{
		Prefix: prefix, Proven: rounded(float64(n.proven)),
		Forgeable: rounded(float64(n.forgeable)), Limit: float64(sp.factor) * e.opt.Threshold,
		Suspects: rounded(float64(n.suspects)), Offenders: int(n.offenders),
		Proved: e.holdsProof(&n),
	})
}

func (e *Engine) explainSource(x *Explanation, k key, s *source) {
	x.Known = true
	x.Attempts = int(s.attempts)
	if s.attempts > 0 {
		x.Since = nanos(s.since)
	}

	x.Scores = []ScorePart{
		{
			Rule: RuleScore, Limit: e.opt.Threshold,
			Proven: rounded(float64(s.proven)), Forgeable: rounded(float64(s.forgeable)),
		},
		{
			Rule: RuleLongMemory, Limit: slowFactor * e.opt.Threshold,
			Proven: rounded(float64(s.slowProven)), Forgeable: rounded(float64(s.slowForgeable)),
		},
	}

	proof := s
	if s4 := e.embeddedRecord(k); s4 != nil && e.hasProof(s4) && !e.hasProof(s) {
		proof = s4
	}
	x.Proved = e.hasProof(proof)
	x.Washed = s.flags&washed != 0
	if proof.flags&flagProof != 0 {
		x.ProofAt = nanos(proof.proofAt)
		x.ProofEnds = x.ProofAt + int64(e.opt.ProofWindow)
	}

	x.Owns, x.Trust, x.Strikes = int(s.owns), rounded(float64(s.trust)), int(s.strikes)
	if s.strikes > 0 {
		x.StrikeEnds = nanos(s.strikeAt) + int64(strikeFade)
	}
	// A score is calm after as many half-lives as it is powers of two above the limit.
	if s.attempts > 0 {
		fast := e.half * math.Log2(float64((s.proven+s.forgeable)/e.calm))
		slow := e.slowHalf * math.Log2(float64((s.slowProven+s.slowForgeable)/e.slowCalm))
		x.CalmAt = e.now + int64(max(fast, slow, 0)*float64(time.Second))
	}

	e.explainMore(x, s)
}

// explainMore adds how many more attempts would ban the address.
func (e *Engine) explainMore(x *Explanation, s *source) {
	if x.Protected == "" && !x.Banned && !x.Proved {
		x.MoreUnknown = e.more(s, e.opt.Weights[KindInvalidAccountID])
		x.MoreKnown = e.more(s, e.opt.Weights[KindChallengeResponseFailed])
	}
}

// more returns how many attempts of a weight, all at once, would ban a source. It returns 0 if none
// would.
func (e *Engine) more(s *source, weight float64) int {
	if weight <= 0 {
		return 0
	}
	missing := func(limit, score float32) int { return max(1, int(float64(limit-score)/weight)+1) }
	fast := missing(e.limit, s.proven+s.forgeable)
	slow := missing(slowFactor*e.limit, s.slowProven+s.slowForgeable)
	return min(fast, slow)
}

func (e *Engine) explainAccounts(k key) []AccountPart {
	var refs []table.Ref
	for _, list := range [...]usage{listOwned, listGuessed, listTried} {
		for r := e.pairs.Newest(list); r != 0; r = e.pairs.Older(r) {
			if e.pairs.Key(r).host() == k.host() {
				refs = append(refs, r)
			}
		}
	}

	slices.SortStableFunc(refs, func(a, b table.Ref) int {
		return int(e.pairs.Val(b).touched) - int(e.pairs.Val(a).touched)
	})
	var out []AccountPart
	for _, r := range refs[:min(len(refs), maxExplained)] {
		v := *e.pairs.Val(r)
		// What came before a pardon means nothing.
		v.applyPardon(e.recordOr(k))

		p := AccountPart{
			Fails: int(v.fails), Excused: int(v.excused), Shielded: int(v.shielded), OKAt: nanos(v.okAt),
		}
		if p.Fails+p.Excused+p.Shielded > 0 {
			p.FailedAt = nanos(v.failAt)
		}
		if ar := e.accounts.Get(e.pairs.Key(r).account); ar != 0 {
			a := e.accounts.Val(ar)
			p.Account, p.Server = a.label(), a.server
		}

		out = append(out, p)
	}

	return out
}

// nanos returns a record's time in nanoseconds since the Unix epoch.
func nanos(sec uint32) int64 { return int64(sec) * int64(time.Second) }
