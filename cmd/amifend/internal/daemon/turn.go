package daemon

import (
	"context"
	"net/netip"
	"os"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/allowlist"
	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/denials"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce"
	"github.com/amifend/amifend/cmd/amifend/internal/notify"
	"github.com/amifend/amifend/cmd/amifend/internal/operate"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// A turn is a change from observing to banning, or back. Observing and banning have journals of
// their own, and an observing daemon has neither the kernel's table nor its lock. So all parts end
// as at a stop, and are built anew: no part has to change while it runs.
//
// The next run gets what happened: scores, failures, proof, and what operators allowed. It gets no
// bans, in either direction: bans that were only observed never existed, and those in the kernel
// stay there until they end. Sessions log in again, which takes about as long as a reload of
// Asterisk.
type turn struct {
	config *config.Config
	// trial is how long bans last at most, from observing to banning; 0: it is for good.
	trial time.Duration
	by    control.Peer
	what  string // for the journal: what the operator did; "": nobody did
}

// carried is what one run leaves to the next one in the same process.
type carried struct {
	clock     clock.Clock
	engine    *policy.Engine
	servers   []string // names by number
	allowed   map[allowlist.Subject]allowlist.Allowance
	addresses map[string][]netip.Addr // of names that were followed
	denied    map[netip.Prefix]denials.Denial
	observed  bool // it was an observing run

	administrators map[netip.Addr]time.Time
	notifications  *notify.Carried // that are not delivered yet
}

// begin is how a run begins.
type begin struct {
	turn
	carried *carried // nil: the process began
	failed  error    // of the turn before, which is taken back
}

// observesAfter reports whether the daemon observes again when the trial of this run ends.
func (b *begin) observesAfter() bool { return b.carried != nil && b.trial > 0 }

// serveAll runs the daemon, again after each turn, until ctx ends. A turn to banning that fails is
// taken back.
func serveAll(ctx context.Context, o Options, hangup <-chan os.Signal) error {
	now := begin{turn: turn{config: o.Config, trial: o.Trial}}
	for {
		before := now
		next, left, err := serve(ctx, o, now, hangup)
		switch {
		case ctx.Err() != nil, err != nil && (now.carried == nil || now.failed != nil):
			return err // asked to stop; or the first run, or the way back failed too
		case err == nil && next == nil:
			return nil
		case err == nil:
			now = begin{turn: *next, carried: left}
			continue
		}

		// Observing goes on. Banning must not: a trial may have ended, and nobody has kept it.
		if before.config.Dry() {
			return err
		}
		c := *before.config
		c.Observe = true
		o.Log.Error("amifend cannot begin to ban: it observes again", "err", err)
		now = begin{turn: turn{config: &c}, carried: before.carried, failed: err}
	}
}

// canBan returns an error unless the kernel's table can be had: then a turn to banning would fail.
func canBan(o Options, c *config.Config) error {
	t, err := enforce.OpenKernel(firewall.Options{
		Table: c.Firewall.Table, Ports: c.Firewall.Ports(), MaxBans: c.Firewall.MaxBans,
		NetNS: o.NetNS,
	})
	if err != nil {
		return control.Errorf(control.CodeFailed, "nothing was changed: %s", err).
			Advise("amifend check says what is missing")
	}
	return t.Close()
}

// unkeptText is about a config that does not say any more what the daemon does.
const unkeptText = "the config says observe = false, but the trial was not kept: amifend observes. " +
	"amifend keep begins to ban, amifend enforce --put-back writes observe = true again"

// Enforce ends observing for a trial. The config file is not read. The file says observe = false when
// the command line has changed it, but beside it is the record of the trial, as long as nobody keeps
// it: so a restart observes again. See [config.Trial].
func (r *reloader) Enforce(
	ctx context.Context, by control.Peer, trial time.Duration,
) (control.Enforced, error) {
	r.mu.Lock()
	defer r.mu.Unlock()

	old := r.live.Load()
	next := *old
	next.Observe = false
	switch {
	case r.turned():
		return control.Enforced{}, errTurning()
	case !old.Observe && r.onTrial():
		return control.Enforced{}, control.Errorf(control.CodeFailed, "a trial goes on already").
			Advise("amifend keep, or wait until it ends (amifend status)")
	case !old.Observe:
		return control.Enforced{}, control.Errorf(control.CodeFailed,
			"this daemon does not observe: it bans already")
	case next.Dry():
		return control.Enforced{}, control.Errorf(control.CodeFailed,
			`this daemon bans nobody: [firewall] backend = "log"`).
			Advise("delete that line, and restart amifend")
	}

	// The deny lists wait for the end of the trial. But the operator who begins it must not be cut
	// off when keeping it.
	if what, do := operate.CutOff(&next, r.denials.List(), r.watcher.Current(), r.admins); what != "" {
		return control.Enforced{}, control.Errorf(control.CodeFailed, "nothing was changed: %s", what).
			Advise("%s", do)
	}
	if err := canBan(r.options, &next); err != nil {
		return control.Enforced{}, err
	}

	r.turn(turn{config: &next, trial: trial, by: by, what: "enforce, for a trial of " + trial.String()})
	return control.Enforced{Ends: time.Now().Add(trial).Truncate(time.Second)}, nil
}

// errTurning is the error of a command that comes while the daemon changes over.
func errTurning() error {
	return control.Errorf(control.CodeBusy, "amifend is changing over between observing and banning").
		Advise("try again in a moment")
}

// turn ends this run, and begins the next one. It must be called with the lock, once.
func (s *shared) turn(t turn) {
	s.next.Store(&t)
	s.stop()
}

// turned reports whether this run is going to end by a turn.
func (s *shared) turned() bool { return s.next.Load() != nil }

// onTrial reports whether a trial goes on that began with the end of observing.
func (s *shared) onTrial() bool { return s.begin.observesAfter() && !s.kept.Load() }

// beforeKeep is called before a trial is kept. It refuses while the config still says to observe:
// otherwise amifend would silently observe again after the next restart.
func (r *reloader) beforeKeep() error {
	r.mu.Lock()
	defer r.mu.Unlock()

	switch {
	case r.turned():
		return control.Errorf(control.CodeNoTrial, "the trial is over, and amifend observes again").
			Advise("sudo amifend enforce begins another one")
	case !r.onTrial():
		return nil
	}

	if r.options.Reload != nil {
		// A file system that hangs must not keep the trial from its end, which needs the lock too.
		next, _, err := r.readInTime()
		if err != nil {
			return err // it says that nothing was changed, so the trial goes on
		}
		if next.Unkept != nil {
			return control.Errorf(control.CodeFailed, "the record of the trial is still beside the "+
				"config, so a restart would end the banning: the trial goes on").
				Advise("sudo amifend keep, which removes it")
		}
		if next.Observe {
			return control.Errorf(control.CodeFailed, "the config still says observe = true, so a "+
				"restart would end the banning: the trial goes on").
				Advise("sudo amifend keep, which changes that line")
		}
	}

	r.kept.Store(true)
	return nil
}

// endTrial waits until a trial ends that began with the end of observing. If nobody kept it, the
// daemon observes again.
func (r *reloader) endTrial(ctx context.Context) {
	if !r.begin.observesAfter() {
		return
	}
	clock.Sleep(ctx, r.begin.trial)

	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() != nil || !r.onTrial() || r.turned() {
		return
	}

	r.options.Log.Warn("the trial is over, and nobody has said amifend keep: its bans have ended, and "+
		"amifend observes again", "do", "sudo amifend enforce begins another one")
	c := *r.live.Load()
	c.Observe = true
	r.turn(turn{config: &c, what: "the trial ended and was not kept"})
}

// turnError returns why the turn before this run failed, for people.
func (s *shared) turnError() string {
	if s.begin.failed == nil {
		return ""
	}
	return "amifend could not begin to ban: " + s.begin.failed.Error()
}
