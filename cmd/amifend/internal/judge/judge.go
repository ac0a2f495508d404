// Package judge owns the policy engine. One goroutine has all scores, proof, strikes and bans; it
// decides, and hands its decisions on.
//
//	stream  ── Sighting ───→ Judge    a channel: a full one makes the session wait
//	Judge   ── Orders ─────→ enforce  one for each prefix, merged; the judge never waits for the kernel
//	Judge   ←─ Acks ──────── enforce  the kernel has a ban
//	Judge   ── Doubts ─────→ enforce  events of a banned source still come
//	Judge   ←─ External ──── enforce  bans that were found, came back, or are lifted
//	Judge   ── Recorder ───→ journal  bans, lifts, counts: before the order to the enforcer
//	Judge   ── Book ───────→ alerts   events and conditions, on their way to log and journal
//	Judge   ── Store.Keep ─→ journal  the engine's state, a block at a time, when it has room
//	protect ── Protect ────→ Judge    the latest list of what must never be banned
//	operate ── calls ──────→ Judge    [Judge.Pardon], [Judge.Impose], [Judge.Explain], …
//
// The judge waits for its own input and for nothing else: not for the kernel, the disk, the network
// or the log, which is an asynclog. When the events end, it has judged all that was heard.
//
// The methods with a context are for operators. Each is answered by the judge's goroutine, or fails
// with an [owner.BusyError] when its context ends first.
package judge

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// MostServers limits how many servers there may have been since the start: events name them by a
// number of 16 bits.
const MostServers = 1 << 16

// callMost limits how many bans one call deals with: a list of all would hold up the judge.
const callMost = 256

// Options configure a [Judge].
type Options struct {
	Policy    policy.Options
	Servers   []string // names by number
	Ports     firewall.Ports
	Protected *policy.Protected
	Events    <-chan stream.Sighting
	Mail      *bans.Mail
	Recorder  bans.Recorder
	Alerts    *alerts.Book // nil: one that only logs
	Clock     clock.Clock
	Log       *slog.Logger // must not block
	// Login is called for each successful login but our own, with the name of the server. It must
	// neither block nor allocate. nil: nobody wants them.
	Login    func(o policy.Observation, server string)
	Store    Store  // nil: the engine's state is not kept
	StateDir string // of the store, for advice
	// Trial is a time after the start whose bans end with it, unless an operator keeps them; 0:
	// none.
	Trial time.Duration
	// Engine is the engine of a judge that ended, with its Servers; nil: there is none. Then nothing is
	// read from the store, which gets all of the engine's state.
	Engine *policy.Engine
}

// Judge is the goroutine that owns the policy engine.
type Judge struct {
	events   <-chan stream.Sighting
	mail     *bans.Mail
	recorder bans.Recorder
	alerts   *alerts.Book
	clock    clock.Clock
	log      *slog.Logger
	login    func(policy.Observation, string) // nil: nobody wants them
	calls    owner.Calls
	protect  *owner.Latest[Protected]
	stateDir string
	store    Store
	trialFor time.Duration
	// the engine is that of a judge before
	takenOver bool

	engine    *policy.Engine
	policy    policy.Options
	servers   []string // names by number; there are only ever more
	protected *policy.Protected

	ineffective *ineffective
	hidden      *hidden
	hourly      *hourly
	saver       saver
	trial       trial
	external    map[bans.Key]bans.External // received, and not yet handed to the engine
	all         uint64                     // how often all bans were lifted
	pulse       pulse
	meter       *meter
	turns       atomic.Uint64 // of Run
}

// New returns a judge with an empty engine. It does nothing before [Judge.Run].
func New(o Options) (*Judge, error) {
	engine, err := policy.New(o.Policy)
	if err != nil {
		return nil, fmt.Errorf("set up the policy: %w", err)
	}
	if o.Engine != nil {
		engine = o.Engine
		if _, err := engine.Tune(o.Clock.Now(), o.Policy); err != nil {
			return nil, fmt.Errorf("set up the policy: %w", err)
		}
	}

	if o.Alerts == nil {
		o.Alerts = alerts.New(alerts.Options{Log: o.Log})
	}

	// Protected addresses must be known before the first event, and before a ban is admitted.
	engine.Protect(o.Clock.Now(), o.Protected)

	return &Judge{
		events: o.Events, mail: o.Mail, recorder: o.Recorder, alerts: o.Alerts, clock: o.Clock,
		log:      o.Log,
		login:    o.Login,
		stateDir: o.StateDir, store: o.Store, trialFor: o.Trial, takenOver: o.Engine != nil,
		calls:     owner.NewCalls("the policy engine"),
		protect:   owner.NewLatest[Protected](),
		engine:    engine,
		policy:    o.Policy,
		servers:   o.Servers,
		protected: o.Protected,

		ineffective: newIneffective(o.Mail, o.Ports),
		hidden:      newHidden(o.Log, o.Alerts, o.Policy.Weights, len(o.Servers)),
		hourly:      newHourly(o.Recorder, o.Policy.Weights),
		saver:       saver{store: o.Store},
		meter:       newMeter(),
	}, nil
}

// Protect hands over what must never be banned from now on. It does not wait; [Judge.TakeProtected]
// does.
func (j *Judge) Protect(p Protected) { j.protect.Set(p) }

// Protected is what must never be banned, and what is spared because a server alone says so.
type Protected struct {
	Never   *policy.Protected
	Learned []protect.Learned
}

// list returns p in the form of the engine, which knows servers by their numbers.
func (p Protected) list(servers []string) *policy.Protected {
	if len(p.Learned) == 0 {
		return p.Never
	}

	var learned []policy.Learned
	for _, l := range p.Learned {
		if n := slices.Index(servers, l.Server); n >= 0 {
			learned = append(learned, policy.Learned{
				Addr: l.Addr, Server: uint16(n), Reason: l.Reason, // as bounded as MostServers is
			})
		}
	}
	return p.Never.WithLearned(learned)
}

// Turns returns a number that grows while the judge works, by one a second at least. It does not
// wait.
func (j *Judge) Turns() uint64 { return j.turns.Load() }

// Run judges until the channel of events is closed. A trial begins with it.
func (j *Judge) Run() {
	if j.trialFor > 0 {
		j.beginTrial(j.clock.Now(), j.trialFor)
	}

	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	save := time.NewTimer(saveBeat)
	defer save.Stop()

	// No case may wait for anything: while one is served, all events wait.
	for {
		j.turns.Add(1)
		select {
		case s, ok := <-j.events:
			if !ok { // the sessions have ended, and what they heard is judged
				return
			}
			j.observe(&s)
		case p := <-j.protect.C():
			j.replaceProtected(p)
		case f := <-j.calls.C():
			f()
		case <-j.mail.External.C():
			j.learnExternal()
		case <-j.mail.Acks.C():
			j.ineffective.takeAcks()
		case <-tick.C:
			j.second(j.clock.Now())
		case <-save.C:
			save.Reset(j.saver.step(j.engine, j.servers, j.clock.Now()))
		}
	}
}

// second does what depends on time alone. It is called once a second.
func (j *Judge) second(now int64) {
	j.carryOut(j.engine.Advance(now))
	j.ineffective.sweep(now)
	j.hourly.flush(now, j.servers)
	j.minuteOfTrial(now)
	j.pulse.sample(j.engine, now)
}

// observe judges one event. It allocates nothing unless there is something to do.
func (j *Judge) observe(s *stream.Sighting) {
	if s.Confirm { // it was observed before
		j.carryOut(j.engine.Confirm(j.clock.Now(), s.Observation))
		return
	}

	j.carryOut(j.engine.Observe(s.Observation))
	j.ineffective.check(s, j.servers)
	j.hidden.check(s, j.servers, j.protected)
	j.hourly.count(s)
	if s.Kind == policy.KindSuccessfulAuth && j.login != nil && !s.Own &&
		int(s.Server) < len(j.servers) {
		j.login(s.Observation, j.servers[s.Server])
	}

	// Events that wait already share one reading of the clock.
	if full := j.meter.way.Add(s.At); full || len(j.events) == 0 {
		j.meter.way.End(j.clock.Now())
	}
}

func (j *Judge) replaceProtected(p Protected) {
	j.protected = p.list(j.servers)
	j.carryOut(j.engine.Protect(j.clock.Now(), j.protected))
}

// carryOut hands verdicts on. The engine reuses them at its next call, so what is kept is copied.
func (j *Judge) carryOut(verdicts []policy.Verdict) {
	for _, v := range verdicts {
		j.meter.verdict(v.Rule)

		switch v.Action {
		case policy.ActionBan:
			ban := newBan(v, j.servers, j.clock)
			j.ban(&ban)
		case policy.ActionUnban:
			j.warnLearned(v)
			j.lift(v.Prefix, v.Scope, bans.ByPolicy, j.whyLifted(v))
		case policy.ActionAlert:
			j.alert(v)
		case policy.ActionNone:
		}
	}
}

// ban orders a ban. It returns false after a trial that nobody kept: then the ban is only logged.
// The journal comes before the enforcer, see [bans.Recorder].
func (j *Judge) ban(b *bans.Ban) bool {
	if !j.trial.shorten(b, j.clock.Now()) {
		j.logObserved(b)
		return false
	}

	j.recorder.Ban(b)
	j.mail.Orders.Put(b.Prefix, bans.OrderOf(b))
	return true
}

// lift orders that the bans of a prefix are lifted. scope is that of a ban that is known to run;
// [policy.ScopeNone] if none is known.
func (j *Judge) lift(prefix netip.Prefix, scope policy.Scope, by, why string) {
	j.ineffective.forget(prefix)
	j.trial.forget(prefix)
	j.forgetExternal(prefix)
	j.recorder.Lift(prefix, bans.FirewallScope(scope), by, why)
	j.mail.Orders.Put(prefix, bans.Order{Lift: true, Why: why})
}

// whyLifted returns why the engine lifts a ban: the rule, and what it found.
func (j *Judge) whyLifted(v policy.Verdict) string {
	if v.Rule == policy.RuleProtected {
		if reason, ok := j.protected.Overlaps(v.Prefix); ok {
			return v.Rule.String() + ": " + reason
		}
		if reason, ok := j.protected.LearnedFrom(v.Prefix); ok {
			return v.Rule.String() + ": " + reason
		}
	}
	return v.Rule.String()
}

// warnLearned warns of a ban that is lifted because a server alone says so.
func (j *Judge) warnLearned(v policy.Verdict) {
	_, never := j.protected.Overlaps(v.Prefix)
	if reason, ok := j.protected.LearnedFrom(v.Prefix); ok && !never && v.Rule == policy.RuleProtected {
		j.log.Warn("a ban is lifted since the server that reported the attempts names the address as "+
			"its own or ours", "source", bans.Source(v.Prefix), "protected_as", bans.Printable(reason),
			"do", "if it is right, write the address into addresses of that [[server]]; if not, see "+
				"who sends there in its name")
	}
}

// TakeProtected waits until the judge uses the latest list that was handed over by [Judge.Protect]:
// no ban within it is decided afterwards, and the lifts of such bans are ordered.
func (j *Judge) TakeProtected(ctx context.Context) error {
	_, err := owner.Do(ctx, j.calls, func() struct{} {
		select {
		case p := <-j.protect.C():
			j.replaceProtected(p)
		default:
		}
		return struct{}{}
	})
	return err
}
