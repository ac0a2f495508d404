package app

import (
	"log/slog"
	"maps"
	"net/netip"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/cmd/amifend/internal/observe"
	"github.com/amifend/amifend/policy"
)

// judge is the goroutine that owns the policy engine. It waits for nothing but its own input: not for the kernel, and
// not for the log, see [spool].
type judge struct {
	engine      *policy.Engine
	clock       clock
	log         *slog.Logger
	servers     []string
	threshold   float64
	in          <-chan sighting
	protected   <-chan *policy.Protected
	orders      *mailbox[netip.Prefix, order]
	ineffective *ineffective
	masked      *masked
	asks        asks
	news        *mailbox[key, news] // what others decided
	late        map[key]news        // of these, what is still to be told to the engine
	records     records
	tally       *tally
	saver       saver
	alerted     []alertSeen // the latest alerts, the last one at the end
	trial       trial
	minded      int64 // when the trial was last swept, in units of trialSweep
}

// run judges until in is closed.
func (j *judge) run() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	save := time.NewTimer(saveBeat)
	defer save.Stop()
	for {
		select {
		case s, ok := <-j.in:
			if !ok {
				return
			}
			j.observe(&s)
		case p := <-j.protected:
			j.masked.protected = p
			j.order(j.engine.Protect(j.clock.now(), p))
		case f := <-j.asks.in:
			f()
		case <-j.news.wake:
			j.learn()
		case <-j.ineffective.acks.wake:
			j.ineffective.settle()
		case <-tick.C:
			now := j.clock.now()
			j.order(j.engine.Advance(now))
			j.ineffective.sweep(now)
			j.tally.flush(now)
			j.mind(now)
		case <-save.C:
			save.Reset(j.saver.step(j.engine, j.servers, j.clock.now()))
		}
	}
}

func (j *judge) observe(s *sighting) {
	j.order(j.engine.Observe(s.Observation))
	j.ineffective.check(s)
	j.masked.check(s)
	j.tally.count(s)
}

// order hands verdicts on to the enforcer. They are the engine's until its next call, so what stays is copied.
func (j *judge) order(verdicts []policy.Verdict) {
	for _, v := range verdicts {
		switch v.Action {
		case policy.ActionBan:
			ban := newBan(v, j.servers, j.clock)
			j.ban(&ban)
		case policy.ActionUnban:
			j.lift(v.Prefix, v.Scope, byPolicy, j.why(v))
		case policy.ActionAlert:
			j.alert(v)
		case policy.ActionNone:
		}
	}
}

// ban orders a ban. The journal comes first, see [records]. It is false if there is a trial that is over: then the ban is only
// told of.
func (j *judge) ban(b *Ban) bool {
	if !j.trial.shorten(b, j.clock.now()) {
		j.watch(b)
		return false
	}
	j.records.ban(b)
	j.orders.put(b.Prefix, order{ban: b})
	return true
}

// lift orders that what a prefix has is lifted: at least a ban of that scope, policy.ScopeNone if nobody knows.
func (j *judge) lift(prefix netip.Prefix, scope policy.Scope, by, why string) {
	j.ineffective.forget(prefix)
	j.trial.forget(prefix)
	j.unlearn(prefix)
	j.records.lift(prefix, scopes[scope], by, why)
	j.orders.put(prefix, order{lift: true, why: why})
}

// learnMost is how many bans the engine is told of at a time: a tenth of a millisecond.
const learnMost = 256

// news is what became of a ban without the engine: it was found, or came back from the journal, or is lifted.
type news struct {
	ban    Ban
	lifted bool
}

// learn tells the engine of bans that it did not decide, some at a time: a journal that can be read late may have many.
func (j *judge) learn() {
	j.hear()
	now, n := j.clock.now(), learnMost
	for k, l := range j.late {
		if n--; n < 0 {
			break
		}
		delete(j.late, k)
		switch {
		case !l.lifted:
			j.trial.adopted(k, l.ban.until)
			j.order(j.adopt(&l.ban, now))
		default:
			j.pardon(k.prefix, byPolicy)
		}
	}
	if len(j.late) == 0 {
		j.late = nil // and its memory
		return
	}
	select {
	case j.news.wake <- struct{}{}:
	default:
	}
}

// hear takes in what others decided, to be told to the engine later.
func (j *judge) hear() {
	fresh := j.news.take()
	if j.late == nil {
		j.late = fresh
		return
	}
	maps.Copy(j.late, fresh)
}

// unlearn forgets what the engine was still to be told of a prefix that is lifted. Else it would take the ban to be in force, and
// not ban the source again.
func (j *judge) unlearn(prefix netip.Prefix) {
	j.hear()
	for _, scope := range scopes {
		if k := (key{prefix, scope}); !j.late[k].lifted {
			delete(j.late, k)
		}
	}
}

// adopt tells the engine of a ban that it does not know.
func (j *judge) adopt(b *Ban, now int64) []policy.Verdict {
	scope := scopeOf[b.Scope]
	if b.Rule == policy.RuleAdopted {
		return j.engine.Adopt(now, b.Prefix, scope, time.Duration(b.until-now))
	}
	return j.engine.AdoptBan(now, policy.Ban{
		Prefix: b.Prefix, Scope: scope, From: b.until - int64(b.Duration), Until: b.until, Rule: b.Rule, Score: b.Score, Attempts: b.Attempts,
		Strike: b.Strike,
	})
}

// why says why a ban is lifted: the rule, and what it found.
func (j *judge) why(v policy.Verdict) string {
	if v.Rule == policy.RuleProtected {
		if reason, ok := j.masked.protected.Overlaps(v.Prefix); ok {
			return v.Rule + ": " + reason
		}
	}
	return v.Rule
}

// alert tells of something that is no ban. What an alert is about stands in the log as attributes; which there are is an
// API.
func (j *judge) alert(v policy.Verdict) {
	a := journal.Alert{Kind: v.Rule, Source: source(v.Prefix), Text: observe.Reason(v, j.threshold, j.servers), Do: observe.Advice(v)}
	attrs := []any{"kind", a.Kind, "source", a.Source}
	if v.Account != (policy.Label{}) {
		a.Account = ami.Quote(v.Account.Bytes())
		attrs = append(attrs, "account", observe.Name(v.Account))
	}
	aboutServer := v.Account != (policy.Label{}) || v.Rule == policy.RuleServerAttacked
	if aboutServer && int(v.Server) < len(j.servers) {
		a.Server = j.servers[v.Server]
		attrs = append(attrs, "server", a.Server)
	}
	if v.Rule == policy.RuleBansFull {
		stats := j.engine.Stats()
		attrs = append(attrs, "bans", stats.Bans, "refused", stats.BansRefused)
	}
	attrs = append(attrs, "reason", a.Text, "do", a.Do)
	j.log.Error("alert", attrs...)
	j.records.alert(a)
	j.seen(a)
}
