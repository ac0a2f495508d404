// Package operate answers operators: it implements the control API by the exported methods of those
// who own the data. It owns no data of the daemon itself, and it may be as slow as the slowest of
// those whom it asks; nobody waits for it.
//
//	control ──→ Service ── Flush, Covering, Each, … ──→ enforce   answered within the request's time,
//	            Service ── Pardon, Impose, Explain, … ─→ judge     or the answer is "busy"
//	            Service ── Sync, History, … ───────────→ journal
//	            Service ── Add, Remove ────────────────→ allowlist
//
// A command that changes something answers when kernel and disk have it, or says what does not.
package operate

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/allowlist"
	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/denials"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce"
	"github.com/amifend/amifend/cmd/amifend/internal/feed"
	"github.com/amifend/amifend/cmd/amifend/internal/geo"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/cmd/amifend/internal/judge"
	"github.com/amifend/amifend/cmd/amifend/internal/limiter"
	"github.com/amifend/amifend/cmd/amifend/internal/lockout"
	"github.com/amifend/amifend/cmd/amifend/internal/notify"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/cmd/amifend/internal/sensor"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
)

// How long an operator waits, at most.
const (
	askTime  = time.Second     // for the status of one part, before it is called busy
	diskTime = 2 * time.Second // for the disk
)

// retryControl is the pause before a control socket that could not be served is tried again.
const retryControl = 30 * time.Second

// Options configure a [Service].
type Options struct {
	Version   string                // of the program, to show
	Config    func() *config.Config // returns the config in force
	Log       *slog.Logger
	Clock     clock.Clock
	Judge     *judge.Judge
	Enforcer  *enforce.Enforcer
	Denier    *enforce.Denier
	Denials   *denials.Keeper
	Feeder    *enforce.Feeder // nil: there are no feeds, nor can there be any
	Keeper    *feed.Keeper    // nil: as above
	Firewall  string          // as people call it
	Sessions  func() []*stream.Session
	Watcher   *protect.Watcher
	Allowlist *allowlist.Keeper
	Journal   *journal.Journal // nil: there is none
	Book      *alerts.Book     // nil: an empty one
	Atlas     *geo.Atlas       // nil: no address has a name
	Feed      *control.Feed
	Notifier  *notify.Notifier // nil: there is none
	Lockout   lockout.Options  // how to find who administers the machine
	// Reload reads the config again; nil: it cannot be.
	Reload func(ctx context.Context, by control.Peer) (control.Reloaded, error)
	// Enforce ends observing for a trial.
	Enforce func(ctx context.Context, by control.Peer, trial time.Duration) (control.Enforced, error)
	// BeforeKeep is called before a trial is kept; an error refuses that. nil: nothing does.
	BeforeKeep    func() error
	ObservesAfter bool   // the daemon observes again when the trial ends
	TurnError     string // why the last change between observing and banning failed; "": it did not
	// MetricsProblem returns why the metrics cannot be served, "": they can; nil: there are none.
	MetricsProblem func() string
	// Restart returns the keys of the config file that wait for a restart; nil: there are none.
	Restart  func() []string
	Confined *control.Confined // how the process is confined; nil: it is not
	// Sensor returns the state of the kernel sensor; nil: there is none.
	Sensor  func() sensor.Status
	Limiter *limiter.Limiter // nil: there is none
}

// Service answers operators.
type Service struct {
	Options
	started time.Time
	opened  chan struct{} // closed when the control socket is open, or cannot be opened
	past    chan struct{} // holds a token while the journal is asked for the past
	watched watched
	undo    undoList
}

// New returns a service. It answers by its methods at once, and on the control socket with
// [Service.Run].
func New(o Options) *Service {
	if o.Book == nil {
		o.Book = alerts.New(alerts.Options{Log: o.Log})
	}
	return &Service{
		Options: o, started: time.Now(), opened: make(chan struct{}), past: make(chan struct{}, 1),
	}
}

// Opened returns a channel that is closed when the control socket is open, or cannot be opened.
func (s *Service) Opened() <-chan struct{} { return s.opened }

// Run serves the control socket until ctx ends. Without one the daemon goes on banning: that is
// logged, and tried again.
func (s *Service) Run(ctx context.Context) {
	opened := sync.OnceFunc(func() { close(s.opened) })
	defer opened()

	c := s.Config().Control
	if c.Socket == "" {
		return
	}

	// Only operators look at the last hour.
	var counting sync.WaitGroup
	counting.Go(func() { s.watchMinutes(ctx) })
	defer counting.Wait()

	logged := ""
	// A start does not wait for a socket that cannot be opened: banning goes on without it.
	for ctx.Err() == nil {
		server, err := control.Listen(s.controlOptions())
		opened()

		if err == nil {
			logged = ""
			s.Log.Info("control socket is open", "socket", c.Socket)
			err = server.Serve(ctx)
			server.Close()
		}
		if ctx.Err() != nil {
			return
		}

		// The same error is logged once, however often it is tried again.
		if err != nil && err.Error() != logged {
			logged = err.Error()
			s.Log.Error("control socket cannot be served: no command can ask this daemon",
				"err", err, "retry", retryControl.String())
		}
		clock.Sleep(ctx, retryControl)
	}
}

func (s *Service) controlOptions() control.Options {
	c := s.Config().Control
	o := control.Options{
		Socket: c.Socket, ReadGroup: c.ReadGroup, AdminGroup: c.AdminGroup, Log: s.Log,
		Read: s, Ban: s, Allow: s, Deny: s, Undo: s, Past: s, Silence: s, Explain: s.Explain,
		Scores: s.Scores, Live: s.Live, Keep: s.Keep, Reload: s.Reload, Enforce: s.Enforce,
		Reconcile:   s.Reconcile,
		Acknowledge: s.Acknowledge, Events: s.Feed,
	}
	if s.Notifier != nil {
		o.Notify = s
	}
	if s.Keeper != nil {
		o.Feeds = s
	}
	if s.Limiter != nil {
		o.Limited = s.Limited
	}
	if s.Journal != nil {
		o.Backup = s.Backup
	}
	return o
}

// changeTime limits how long a change that was begun may take.
const changeTime = time.Minute

// Outlasting returns the context of a change that must not stop halfway when the one who asked for
// it goes.
func Outlasting(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), changeTime)
}

// Refusal returns an error of the judge or the enforcer as the API has it: one that did not answer
// in time is busy.
func Refusal(err error) error {
	if busy, ok := errors.AsType[*owner.BusyError](err); ok {
		return control.Errorf(control.CodeBusy, "%s", busy).
			Advise("try again; amifend status says what is wrong")
	}
	return err
}

// Record writes to j what an operator did. A nil j records nothing.
func Record(j *journal.Journal, by control.Peer, what, object, reason string) {
	if j == nil {
		return
	}
	if reason != "" {
		reason = ami.Quote([]byte(reason))
	}

	j.Operation(journal.Operation{
		At: time.Now(), UID: int(by.UID), Says: by.Says, What: what, Object: object,
		Reason: reason,
	})
}

func (s *Service) record(by control.Peer, what, object, reason string) {
	Record(s.Journal, by, what, object, reason)
}
