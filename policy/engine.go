package policy

import (
	"fmt"
	"math"
	"time"

	"github.com/amifend/amifend/policy/internal/table"
)

// Engine scores sources and decides bans. It is not safe for concurrent use: one goroutine owns it.
type Engine struct {
	opt       Options
	k0, k1    uint64
	canaries  []uint64 // hashes of labels
	protected *Protected

	// Of the options, in the units of the records.
	calm, slowCalm float32 // a score below it is none
	limit          float32 // a score above it bans: the threshold, and a little for rounding
	half, slowHalf float64 // seconds
	proofWindow    uint32  // seconds

	now int64
	sec uint32 // now in seconds

	sources  *table.Table[host, source, standing]
	networks *table.Table[key, network, standing]
	pairs    *table.Table[pairKey, pair, usage]
	accounts *table.Table[accountID, account, usage]
	requests *table.Table[requestKey, request, requestList]
	spare    pair // of accounts beyond maxFailed, which are not remembered
	dialogs  *table.Table[dialogKey, dialog, single]
	silents  *table.Table[key, silent, silentList]
	trails   *table.Table[key, trail, trailList]
	bans     *table.Table[banKey, ban, banList]
	alerts   *table.Table[alertKey, uint32, single]
	vouchers *table.Table[accountID, voucher, single]
	attacks  *table.Table[accountID, attack, single]
	sites    *table.Table[key, site, siteList]
	sharers  *table.Table[accountID, sharer, single]
	passes   *table.Table[key, passed, single]

	tentatives *table.Table[tentativeKey, tentative, single]
	latest     tentative // of the attempt that was counted last

	columns [tagCount]coded // by tag; nil where there is no table
	save    saving
	general general

	banCount   [hostBits + 1]int // running bans by prefix length
	banBits    []uint8           // the lengths that have any, shortest first
	streamBans int               // of them, those of scope stream

	budget budget
	limits limiter

	blindAt uint32 // when a network that held a proved address was forgotten
	blind   bool

	conditions    *table.Table[alertKey, condition, conditionList]
	conditionsDue uint32 // no condition is over by time before
	conditionsOf  [len(conditionKinds)]conditionsOf

	stats       Stats
	out         []Verdict
	evidenceOut []Evidence
	labelsOut   []Label
}

// Stats counts what the engine did with the observations that it was given, and what it holds.
type Stats struct {
	Observed        uint64 // observations
	Invalid         uint64 // without a source address, or of loopback and the like
	Counted         uint64 // attempts that were added to a score
	Folded          uint64 // events that belong to an attempt that was counted already
	Protected       uint64 // attempts of sources that must never be banned: not counted
	Shielded        uint64 // forgeable attempts in the name of proved sources: not counted
	Shared          uint64 // proven attempts through shared sources: not counted
	Excused         uint64 // attempts of misconfigured endpoints: not counted
	Covered         uint64 // attempts of sources that are banned: not counted
	Confirmed       uint64 // attempts over UDP that turned out to be proven, whatever became of them
	Evicted         uint64 // addresses forgotten because there was no room
	EvictedPrefixes uint64 // prefixes forgotten because there was no room
	EvictedRequests uint64 // request keys forgotten because there was no room
	BansRefused     uint64 // bans due for which there was no room
	Postponed       uint64 // bans due on forgeable evidence beyond forgeable_bans_per_minute
	Alerts          uint64 // alerts given
	// alerts beyond the limit of a minute: they come later, if there is still a reason
	AlertsDelayed uint64
	Sources       int // addresses and prefixes remembered now
	Bans          int // bans that run now; some may have ended already and not been swept
}

// How many entries of a list are looked at for what has ended, so that no call takes long.
const (
	sweepBudget = 1024 // by an Advance
	// by an Observe that finds no room for a ban: an attacker can make every Observe do that
	fullBudget = 4
)

// rounding is the part of the threshold by which a score must exceed it. Otherwise sums of weights
// such as 0.1 would pass it by a rounding error.
const rounding = 1e-4

// offRound keeps the limits of calm away from the scores that whole weights have after whole
// half-lives: there, rounding would decide.
const offRound = 0.97

// The sizes of the tables, as parts of MaxSources. An address takes 96 bytes, a prefix 112, an
// account at a source 80, an account 96, and the index of each 5 to 11. That makes 125 bytes a
// source, 128 at most.
const (
	sourcesPerNetwork = 12
	sourcesPerPair    = 13
	sourcesPerAccount = 32
)

func (o Options) networks() int { return max(minTable, o.MaxSources/sourcesPerNetwork) }
func (o Options) pairs() int    { return max(minTable, o.MaxSources/sourcesPerPair) }
func (o Options) accounts() int { return max(minTable, o.MaxSources/sourcesPerAccount) }

// New returns an engine that remembers nothing and protects only what is built in; see
// [Engine.Protect].
func New(o Options) (*Engine, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("validate policy options: %w", err)
	}
	return newEngine(o), nil
}

// newEngine is New with options that are valid.
func newEngine(o Options) *Engine {
	o = o.seeded()
	k0, k1 := seedKeys(o.Seed)
	e := &Engine{
		k0: k0, k1: k1,
		sources: table.New[host, source](o.MaxSources, k0, k1,
			listCalm, listActive, listStruck, listProved,
		),
		networks: table.New[key, network](o.networks(), k0, k1,
			listCalm, listActive, listStruck, listProved,
		),
		pairs: table.New[pairKey, pair](o.pairs(), k0, k1, listTried, listGuessed, listOwned),
		accounts: table.New[accountID, account](o.accounts(), k0, k1,
			listTried, listGuessed, listOwned,
		),
		requests:    table.New[requestKey, request](maxRequests, k0, k1, requestsPlain, requestsHeld),
		dialogs:     table.New[dialogKey, dialog](maxDialogs, k0, k1, only),
		silents:     table.New[key, silent](maxSilent, k0, k1, silentsFew, silentsWaiting),
		trails:      table.New[key, trail](maxTrails, k0, k1, trailsSingle, trailsSeveral),
		bans:        table.New[banKey, ban, banList](o.MaxBans, k0, k1),
		alerts:      table.New[alertKey, uint32](maxAlerts, k0, k1, only),
		vouchers:    table.New[accountID, voucher](maxVouchers, k0, k1, only),
		attacks:     table.New[accountID, attack](maxAttacks, k0, k1, only),
		sites:       table.New[key, site](maxSites, k0, k1, sitesSingle, sitesSeveral, sitesShared),
		sharers:     table.New[accountID, sharer, single](maxSharers, k0, k1, only),
		passes:      table.New[key, passed, single](maxPassed, k0, k1, only),
		tentatives:  table.New[tentativeKey, tentative, single](maxTentatives, k0, k1, only),
		conditions:  newConditions(k0, k1),
		banBits:     make([]uint8, 0, hostBits+1),
		out:         make([]Verdict, 0, 8),
		evidenceOut: make([]Evidence, 0, 8*evidenceKept),
		labelsOut:   make([]Label, 0, 8*siteNamed),
	}

	// The rest depends on the tables.
	e.setOptions(o)
	e.setColumns()
	return e
}

// setOptions takes over options, except those for the sizes of tables.
func (e *Engine) setOptions(o Options) {
	e.opt = o
	e.calm = float32(o.calm() * offRound)
	e.slowCalm = float32(o.Threshold * slowCalm * offRound)
	e.limit = float32(o.Threshold * (1 + rounding))
	e.half = o.HalfLife.Seconds()
	e.slowHalf = max(slowHalfLife, o.HalfLife).Seconds()
	e.proofWindow = seconds(o.ProofWindow)
	h := e.Hasher()
	e.canaries = make([]uint64, len(o.Canaries))
	for i, name := range o.Canaries {
		e.canaries[i] = h.Label([]byte(name)).hash
	}
}

// Observe takes in one observation and returns what it decides, nil almost always. The verdicts and
// their evidence are borrowed: valid until the engine's next call. Several may come at once, also
// ones about other sources, since held attempts of theirs may be due.
func (e *Engine) Observe(o Observation) []Verdict {
	e.begin(o.At)
	e.observe(&o)
	return e.done()
}

func (e *Engine) observe(o *Observation) {
	e.stats.Observed++
	if !o.Source.Addr().IsValid() {
		e.stats.Invalid++
		return
	}

	k := hostKey(o.Source.Addr())
	if isBuiltin(k) {
		e.stats.Invalid++
		if !o.Injected {
			ev := e.evidenceOf(o)
			e.behindName(k, &ev)
		}
		return
	}

	// A ban counts the events of its sources, whatever they mean.
	if r, _ := e.covering(k); r != 0 {
		b := e.bans.Val(r)
		b.seen++
		b.lastSeen = e.now
	}

	// chan_sip may name the number that was dialled. That must be known before the account is
	// judged.
	if o.Service == ServiceSIP && !o.Injected {
		e.chanSIP(k, o)
	}
	if !e.trapped(k, o) {
		e.judge(k, o)
	}
}

// judge turns an event into an attempt, a part of one, a proof, or nothing.
func (e *Engine) judge(k key, o *Observation) {
	rk := keyOf(k, o)
	switch {
	case o.Kind == KindSuccessfulAuth:
		e.succeeded(k, o)
	case o.Kind == KindChallengeSent && !o.Unknown:
		e.asked(k, o)
	case !e.on(RuleRequests):
		e.countTentative(k, o)
	case o.Service == ServicePJSIP && (o.Kind == KindInvalidAccountID || o.Kind == KindFailedACL):
		e.unauthenticated(rk, o)
	case o.Service == ServicePJSIP && o.Kind == KindChallengeSent && o.Unknown:
		e.challenged(rk)
	case o.Service == ServicePJSIP && o.Kind == KindChallengeResponseFailed && o.Unknown:
		e.refused(rk, o)
	case o.Service == ServiceSIP && o.Kind == KindFailedACL:
		e.chanSIPACL(rk, o)
	default:
		e.countTentative(k, o)
	}
}

// Advance decides what time alone decides, and forgets what is out of date. Call it about once a
// second.
func (e *Engine) Advance(now int64) []Verdict {
	e.begin(now)
	e.sweepBans(sweepBudget)
	e.sweepSources(sweepBudget)
	e.sweepNetworks(sweepBudget)
	e.relistFreed(relistBudget)
	e.relistFreedNetworks(relistBudget)
	e.sweepRequests(sweepBudget)
	return e.done()
}

// Seed returns the seed of the engine's hashes.
func (e *Engine) Seed() uint64 { return e.opt.Seed }

// Hasher returns the hasher that the names in the engine's observations must be hashed with.
func (e *Engine) Hasher() Hasher { return Hasher{e.k0, e.k1} }

// Stats returns the counters since New.
func (e *Engine) Stats() Stats {
	s := e.stats
	s.Sources, s.Bans = e.sources.Len()+e.networks.Len(), e.bans.Len()
	return s
}

// begin starts a call. It decides what was due until now, in the order of time, so that verdicts do
// not depend on when the engine is called. Each decision was caused by at least one observation, so
// this costs no more than observing did. Time never steps back.
func (e *Engine) begin(now int64) {
	e.out = e.out[:0]
	e.evidenceOut = e.evidenceOut[:0]
	e.labelsOut = e.labelsOut[:0]
	for {
		held, heldAt := e.nextHeld()
		silent, silentAt := e.nextUnanswered()
		over, overAt := e.nextOver(now)
		due := min(heldAt, silentAt, overAt)
		if due >= now {
			break
		}

		e.setNow(due)
		switch due {
		case heldAt:
			e.releaseLate(held)
		case silentAt:
			e.unanswered(silent)
		default:
			e.conditionOver(over)
		}
	}

	e.setNow(now)
}

// setNow lets time pass, and forgets what is out of date by then.
func (e *Engine) setNow(now int64) {
	if now <= e.now {
		return
	}
	e.now, e.sec = now, secondOf(now)
	e.expirePairs()
}

// secondOf returns a time, in nanoseconds since the Unix epoch, in seconds. Times from 2106 on are
// 2106.
func secondOf(at int64) uint32 {
	return uint32(min(max(at/int64(time.Second), 0), math.MaxUint32)) // checked
}

// emit adds a verdict to those of this call. Scores are rounded, so that they do not depend on how
// often a record was updated.
func (e *Engine) emit(v Verdict) {
	v.Score = rounded(v.Score)
	e.out = append(e.out, v)
}

func rounded(score float64) float64 { return math.Round(score*1e4) / 1e4 }

func (e *Engine) done() []Verdict {
	if len(e.out) == 0 {
		return nil
	}
	return e.out
}
