// Package judge owns the policy engine. One goroutine has all scores, proof, strikes and bans; it
// decides, and hands its decisions on.
//
//	stream  ── Sighting ───→ Judge    a channel: a full one makes the session wait
//	Judge   ── Orders ─────→ enforce  one for each prefix, merged; the judge never waits for the kernel
//	Judge   ←─ Acks ──────── enforce  the kernel has a ban
//	Judge   ── Doubts ─────→ enforce  events of a banned source still come
//	Judge   ←─ External ──── enforce  bans that were found, came back, or are lifted
//	Judge   ── Recorder ───→ journal  bans, lifts, alerts, counts: before the order to the enforcer
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
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// MostServers limits how many servers there may have been since the start: events name them by a
// number of 16 bits.
const MostServers = 1 << 16

// callMost limits how many bans one call deals with: the judge must not be held up by a list of
// all.
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
	Clock     clock.Clock
	Log       *slog.Logger // must not block
	Store     Store        // nil: the engine's state is not kept
	StateDir  string       // of the store, for advice
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
	clock    clock.Clock
	log      *slog.Logger
	calls    owner.Calls
	protect  *owner.Latest[*policy.Protected]
	stateDir string
	store    Store
	trialFor time.Duration
	// the engine is that of a judge before
	takenOver bool

	engine    *policy.Engine
	policy    policy.Options
	servers   []string // names by number; there are only ever more
	protected *policy.Protected
	replaced  chan struct{} // closed when protected is replaced

	ineffective *ineffective
	hidden      *hidden
	hourly      *hourly
	saver       saver
	trial       trial
	external    map[bans.Key]bans.External // received, and not yet handed to the engine
	alerts      []Alert                    // the latest, the last one at the end
	pulse       pulse
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

	// Protected addresses must be known before the first event, and before a ban is admitted.
	engine.Protect(o.Clock.Now(), o.Protected)

	return &Judge{
		events: o.Events, mail: o.Mail, recorder: o.Recorder, clock: o.Clock, log: o.Log,
		stateDir: o.StateDir, store: o.Store, trialFor: o.Trial, takenOver: o.Engine != nil,
		calls:     owner.NewCalls("the policy engine"),
		protect:   owner.NewLatest[*policy.Protected](),
		engine:    engine,
		policy:    o.Policy,
		servers:   o.Servers,
		protected: o.Protected,
		replaced:  make(chan struct{}),

		ineffective: newIneffective(o.Mail, o.Ports),
		hidden:      newHidden(o.Log, o.Recorder, o.Policy.Weights, len(o.Servers)),
		hourly:      newHourly(o.Recorder, o.Policy.Weights),
		saver:       saver{store: o.Store},
	}, nil
}

// Protect hands over what must never be banned from now on. It does not wait.
func (j *Judge) Protect(p *policy.Protected) { j.protect.Set(p) }

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

// second does what time alone decides. It is called once a second.
func (j *Judge) second(now int64) {
	j.carryOut(j.engine.Advance(now))
	j.ineffective.sweep(now)
	j.hourly.flush(now, j.servers)
	j.minuteOfTrial(now)
	j.pulse.sample(j.engine, now)
}

// observe judges one event. It allocates nothing unless there is something to do.
func (j *Judge) observe(s *stream.Sighting) {
	j.carryOut(j.engine.Observe(s.Observation))
	j.ineffective.check(s, j.servers)
	j.hidden.check(s, j.servers, j.protected)
	j.hourly.count(s)
}

func (j *Judge) replaceProtected(p *policy.Protected) {
	j.protected = p
	j.carryOut(j.engine.Protect(j.clock.Now(), p))

	close(j.replaced)
	j.replaced = make(chan struct{})
}

// carryOut hands verdicts on. They are the engine's until its next call, so what stays is copied.
func (j *Judge) carryOut(verdicts []policy.Verdict) {
	for _, v := range verdicts {
		switch v.Action {
		case policy.ActionBan:
			ban := newBan(v, j.servers, j.clock)
			j.ban(&ban)
		case policy.ActionUnban:
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
	}
	return v.Rule.String()
}

// AwaitProtected waits until the judge knows that a prefix must not be banned. The channel that it
// waits on comes in the same answer as the list, so no replacement is missed.
func (j *Judge) AwaitProtected(ctx context.Context, prefix netip.Prefix) error {
	type answer struct {
		known    bool
		replaced <-chan struct{}
	}

	// The question is short each time: the judge never waits for the answer to be yes.
	for {
		a, err := owner.Do(ctx, j.calls, func() answer {
			_, ok := j.protected.Overlaps(prefix)
			return answer{ok, j.replaced}
		})
		if err != nil || a.known {
			return err
		}

		// The list may be replaced for another reason first, so it is looked at each time.
		select {
		case <-a.replaced:
		case <-ctx.Done():
			return j.calls.Busy()
		}
	}
}
