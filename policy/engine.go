package policy

import "fmt"

// Engine scores sources and decides bans. It is not safe for concurrent use: one goroutine owns it.
type Engine struct {
	opt       Options
	calm      float64 // a score below it is none
	limit     float64 // a score above it bans: the threshold, and a little for rounding
	now       int64
	protected *Protected

	sources  *table[key, source]
	requests *table[requestKey, request]
	trails   *table[key, trail]
	bans     *table[key, ban]
	banCount [hostBits + 1]int // running bans by prefix length
	banBits  []uint8           // the lengths that have any, shortest first

	fullAlertAt int64
	fullAlerted bool
	stats       Stats
	out         []Verdict
	evidenceOut []Evidence
}

// Stats counts what the engine did with the observations that it was given, and what it holds.
type Stats struct {
	Observed        uint64 // observations
	Invalid         uint64 // without a source address, or of loopback and the like
	Counted         uint64 // attempts that were added to a score
	Folded          uint64 // events that belong to an attempt that was counted already
	Protected       uint64 // attempts of sources that must never be banned: not counted
	Shielded        uint64 // forgeable attempts in the name of proved sources: not counted
	Covered         uint64 // attempts of sources that are banned: not counted
	Evicted         uint64 // sources forgotten for want of room
	EvictedRequests uint64 // request keys forgotten for want of room
	BansRefused     uint64 // bans due for which there was no room
	Sources         int    // addresses and /64s remembered now
	Bans            int    // bans that run now; some may have ended already and not been swept
}

// How many entries of a list are looked at for what has ended, so that no call takes long.
const (
	sweepBudget = 1024 // by an Advance
	fullBudget  = 4    // by an Observe that finds no room for a ban, which an attacker can make every one do
)

// rounding is how far above the threshold a score must be, in parts of it, so that sums of weights such as 0.1 do not
// pass it by a rounding error.
const rounding = 1e-6

// New returns an engine that remembers nothing and protects only what is built in; see [Engine.Protect].
func New(o Options) (*Engine, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("validate policy options: %w", err)
	}
	k0, k1 := seedKeys(o.Seed)
	return &Engine{
		opt:         o,
		calm:        o.calm(),
		limit:       o.Threshold * (1 + rounding),
		sources:     newTable[key, source](o.MaxSources, k0, k1),
		requests:    newTable[requestKey, request](maxRequests, k0, k1),
		trails:      newTable[key, trail](maxTrails, k0, k1),
		bans:        newTable[key, ban](o.MaxBans, k0, k1),
		banBits:     make([]uint8, 0, hostBits+1),
		out:         make([]Verdict, 0, 8),
		evidenceOut: make([]Evidence, 0, 8*evidenceKept),
	}, nil
}

// Observe takes in one observation and returns what it decides, nil almost always. The verdicts and their evidence are
// borrowed: valid until the engine's next call. Several may come at once, also ones about other sources, since held
// attempts of theirs may be due.
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
		return
	}
	if r := e.covering(k); r != 0 {
		b := &e.bans.at(r).val
		b.seen++
		b.lastSeen = e.now
	}
	if o.Injected {
		e.count(k, e.evidence(o))
		return
	}
	e.judge(k, o)
}

// judge turns an event into an attempt, a part of one, a proof, or nothing.
func (e *Engine) judge(k key, o *Observation) {
	rk := requestKey{source: k, session: o.Session, port: o.Source.Port(), server: o.Server, stream: o.Stream}
	switch {
	case o.Kind == KindSuccessfulAuth:
		e.succeeded(k, o)
	case o.Service == ServicePJSIP && (o.Kind == KindInvalidAccountID || o.Kind == KindFailedACL):
		e.unauthenticated(rk, o)
	case o.Service == ServicePJSIP && o.Kind == KindChallengeSent && o.Unknown:
		e.challenged(rk)
	case o.Service == ServicePJSIP && o.Kind == KindChallengeResponseFailed && o.Unknown:
		e.refused(rk, o)
	case o.Service == ServiceSIP && o.Kind == KindFailedACL:
		e.chanSIPACL(rk, o)
	default:
		e.count(k, e.evidence(o))
	}
}

// Advance decides what time alone decides, and forgets what is out of date. Call it about once a second.
func (e *Engine) Advance(now int64) []Verdict {
	e.begin(now)
	e.sweepBans(sweepBudget)
	e.sweepSources(sweepBudget)
	e.sweepRequests(sweepBudget)
	return e.done()
}

// Stats returns the counters since New.
func (e *Engine) Stats() Stats {
	s := e.stats
	s.Sources, s.Bans = e.sources.n, e.bans.n
	return s
}

// begin starts a call: it decides what was due until now. Time never steps back.
func (e *Engine) begin(now int64) {
	e.out = e.out[:0]
	e.evidenceOut = e.evidenceOut[:0]
	e.releaseDue(now)
	e.now = max(e.now, now)
}

func (e *Engine) emit(v Verdict) { e.out = append(e.out, v) }

func (e *Engine) done() []Verdict {
	if len(e.out) == 0 {
		return nil
	}
	return e.out
}
