package daemon

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/amifend/amifend/cmd/amifend/internal/allowlist"
	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/denials"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce"
	"github.com/amifend/amifend/cmd/amifend/internal/feed"
	"github.com/amifend/amifend/cmd/amifend/internal/geo"
	"github.com/amifend/amifend/cmd/amifend/internal/judge"
	"github.com/amifend/amifend/cmd/amifend/internal/metrics"
	"github.com/amifend/amifend/cmd/amifend/internal/operate"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/cmd/amifend/internal/sensor"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// queue limits how many sightings may wait for the judge before the sessions wait too: a tenth of a
// second of the worst flood that one Asterisk can raise is 1,300.
const queue = 8192

// daemon holds the parts that run.
type daemon struct {
	*shared
	table     enforce.WatchedTable
	watcher   *protect.Watcher
	protected *protected
	denier    *enforce.Denier
	denials   *denials.Keeper
	feeder    *enforce.Feeder
	keeper    *feed.Keeper
	enforcer  *enforce.Enforcer
	judge     *judge.Judge
	fleet     *stream.Fleet
	plan      *stream.Plan // of the sessions of the first config
	allowlist *allowlist.Keeper
	reloader  *reloader
	service   *operate.Service
	metrics   *metrics.Server
	sensor    *sensor.Sensor
	hangup    <-chan os.Signal
}

// serve builds the parts of the daemon, each after those that it needs, and runs them. One function
// shows the order. No part is changed after it was made. serve returns the turn that ended the run,
// or nil if ctx ended, and the values that the next run takes over.
func serve(
	ctx context.Context, o Options, b begin, hangup <-chan os.Signal,
) (*turn, *carried, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	o.Config, o.Trial = b.config, b.trial
	startup := newStartup(o)
	defer startup.stop()

	// The protected addresses come first. Before they are known, nothing may be banned or adopted.
	watcher, set, err := findProtected(ctx, o, startup)
	if err != nil {
		return nil, nil, err
	}
	warnLockout(o, set)

	// The table comes before the journal, so that a second amifend ends at the lock of the table.
	table, err := openTable(o, set, startup)
	if err != nil {
		return nil, nil, err
	}
	defer table.Close()

	// The denier comes before the enforcer, which reports to it that the table was laid out.
	s := newShared(o, startup, b, stop)
	s.logins = newLogins(s, watcher)
	var engine *judge.Judge // the limiter asks it, and it reports to the limiter
	s.limiter = newLimiter(s, table, &engine)
	denier := newDenier(s, table, watcher)
	engine, err = newJudge(s, set)
	if err != nil {
		return nil, nil, err
	}
	feeder := newFeeder(s, table, watcher, engine)
	keeper := newKeeper(s, feeder)
	enforcer := newEnforcer(s, table, laidOut(s, denier, feeder))

	// The bans of earlier runs are adopted before the first event. They come from the kernel and
	// from the journal, whose goroutine must run for that.
	stopJournal := runJournal(o.Log, s.journal)
	defer stopJournal()
	adopted, err := adopt(ctx, s, engine, enforcer)
	if err != nil {
		return nil, nil, err
	}

	events := &control.Feed{}
	fleet, plan, err := newFleet(s, engine, watcher, events)
	if err != nil {
		return nil, nil, err
	}

	// The parts for operators come last, since they ask all others.
	allow := newAllowlist(s, watcher)
	denied := newDenials(s, denier)
	eye := newSensor(s, table, engine, fleet, watcher)
	scraped := newMetrics(s, engine, enforcer, fleet, watcher, metrics.Sources{
		Denier: denier, Feeder: feeder, Keeper: keeper, Sensor: eye.Status,
	})
	reloader := &reloader{
		shared: s, fleet: fleet, judge: engine, enforcer: enforcer, denier: denier, denials: denied,
		feeder: feeder, keeper: keeper, watcher: watcher, allowlist: allow, metrics: scraped,
		servers: engine.Servers(),
	}
	service := newService(s, reloader, table, events, eye)

	o.Log.Info("amifend runs", "servers", len(o.Config.Servers), "protected", len(set.Entries),
		"firewall", table.String(), "adopted", adopted.Kernel, "restored", adopted.Journal)
	d := &daemon{
		shared: s, table: table, watcher: watcher, denier: denier, denials: denied,
		feeder: feeder, keeper: keeper, enforcer: enforcer, judge: engine, fleet: fleet,
		protected: newProtected(o.Log, set, engine, enforcer, denier, feeder),
		plan:      plan, allowlist: allow, reloader: reloader, service: service, metrics: scraped,
		sensor: eye, hangup: hangup,
	}

	// The command that caused this run is recorded only when all parts are built.
	if b.what != "" {
		operate.Record(s.journal, b.by, b.what, "", "")
	}
	d.run(ctx) // the journal ends after it
	return s.next.Load(), d.carry(), nil
}

// carry returns what the next run takes over. All parts but the journal have ended.
func (d *daemon) carry() *carried {
	return &carried{
		clock: d.clock, engine: d.judge.Engine(), servers: d.judge.Servers(),
		allowed: d.allowlist.Allowances(), addresses: d.watcher.Addresses(),
		denied: d.denials.All(), observed: d.options.Config.Dry(),
		administrators: d.administrators.all(), notifications: d.notifier.Carry(),
	}
}

// newFleet returns the sessions. They need the engine's hasher and its numbers of the servers, which
// the journal may have changed. They connect when they are started.
func newFleet(
	s *shared, engine *judge.Judge, watcher *protect.Watcher, feed *control.Feed,
) (*stream.Fleet, *stream.Plan, error) {
	fleet := stream.NewFleet(stream.Options{
		Log: s.options.Log, Clock: s.clock, Hasher: engine.Hasher(), Watcher: watcher, Feed: feed,
		Witness: s.witness,
	}, s.events)
	plan, err := fleet.Plan(s.options.Config.Servers, engine.Servers())
	return fleet, plan, err
}

// newLogins returns the one that looks where accounts log in from.
func newLogins(s *shared, watcher *protect.Watcher) *geo.Logins {
	return geo.NewLogins(s.atlas, s.options.Config.Geo.Expected, func(a netip.Addr) bool {
		return slices.ContainsFunc(watcher.Current().Entries, func(e protect.Entry) bool {
			return e.Prefix.Contains(a)
		})
	})
}

// findProtected returns the watcher of the protected addresses, and its first set.
func findProtected(
	ctx context.Context, o Options, startup *startup,
) (*protect.Watcher, protect.Set, error) {
	there := startup.await("the addresses that must never be banned")
	known := allowlist.FromConfig(o.Config)
	known.Log = o.Log
	known.NetNS = o.NetNS
	known.Lookup = o.Lookup

	watcher := protect.New(known)
	set, err := watcher.Snapshot(ctx)
	if err != nil {
		return nil, protect.Set{}, fmt.Errorf(
			"find the addresses that must never be banned: %w", err)
	}
	there()

	return watcher, set, nil
}

func newDenier(s *shared, table enforce.DenyTable, watcher *protect.Watcher) *enforce.Denier {
	return enforce.NewDenier(enforce.DenierOptions{
		Table: table, Log: s.options.Log, Lists: s.options.Config.Deny, Never: watcher.Current,
		Held: s.options.Trial > 0,
	})
}

// laidOut returns what the enforcer calls when it laid out the table: others have elements in it.
func laidOut(s *shared, denier *enforce.Denier, feeder *enforce.Feeder) func() {
	return func() {
		denier.LaidOut()
		feeder.LaidOut()
		s.limiter.LaidOut()
	}
}

func newEnforcer(s *shared, table enforce.Table, laidOut func()) *enforce.Enforcer {
	o := enforce.Options{
		Table: table, Clock: s.clock, Log: s.options.Log, Mail: s.mail, Recorder: s.recorder,
		Alerts: s.alerts, Compare: s.compare, Dry: s.options.Config.Dry(), LaidOut: laidOut,
		Banned: func(b bans.Ban) {
			s.notifier.Ban(b)
			if s.options.Banned != nil {
				s.options.Banned(b)
			}
		},
	}
	if s.journal != nil && !o.Dry { // a dry run has nothing in the kernel to compare
		o.Journal = s.journal
	}

	return enforce.New(o)
}

func newJudge(s *shared, set protect.Set) (*judge.Judge, error) {
	c := s.options.Config
	o := judge.Options{
		Policy: c.Policy, Ports: c.Firewall.Ports(), Protected: allowlist.ForPolicy(set),
		Events: s.events, Mail: s.mail, Recorder: s.recorder, Alerts: s.alerts, Clock: s.clock,
		Log: s.options.Log, StateDir: c.State.Directory, Trial: s.options.Trial,
		Login: func(o policy.Observation, server string) {
			s.limiter.Note(o.Source.Addr())
			s.logins.Note(o, server)
		},
	}

	// Servers that the engine knows keep their numbers.
	if from := s.begin.carried; from != nil {
		from.engine.DropBans(from.observed)
		o.Engine, o.Servers = from.engine, slices.Clone(from.servers)
	}
	for _, server := range c.Servers {
		if !slices.Contains(o.Servers, server.Name) {
			o.Servers = append(o.Servers, server.Name)
		}
	}
	if s.journal != nil { // a nil *Journal in an interface is not nil
		o.Store = s.journal
	}

	return judge.New(o)
}

func newAllowlist(s *shared, watcher *protect.Watcher) *allowlist.Keeper {
	o := allowlist.Options{
		Config: s.live.Load, Watcher: watcher, Clock: s.clock, Log: s.options.Log, Begun: s.begun,
	}
	if s.journal != nil {
		o.Journal = s.journal
	}
	if from := s.begin.carried; from != nil {
		o.Allowed, o.Addresses = from.allowed, from.addresses
	}
	return allowlist.New(o)
}

func newDenials(s *shared, denier *enforce.Denier) *denials.Keeper {
	o := denials.Options{Log: s.options.Log, Tell: denier.SetDenied, Begun: s.anew}
	if s.journal != nil { // as above
		o.Journal = s.journal
	}
	if from := s.begin.carried; from != nil {
		o.Denied = from.denied
	}
	return denials.New(o)
}

func newMetrics(
	s *shared, engine *judge.Judge, enforcer *enforce.Enforcer, fleet *stream.Fleet,
	watcher *protect.Watcher, lists metrics.Sources,
) *metrics.Server {
	from := lists
	from.Version = s.options.Version
	from.Config = s.live.Load
	from.Judge = engine
	from.Enforcer = enforcer
	from.Sessions = fleet.Sessions
	from.Watcher = watcher
	from.Journal = s.journal
	from.Book = s.alerts
	from.Limiter = s.limiter.Status
	from.Waiting = func() int { return len(s.events) }

	return metrics.New(s.options.Config.Metrics, s.options.Log, from)
}

// newService returns the service, which answers operators by the parts that the reloader has too.
func newService(
	s *shared, r *reloader, table enforce.WatchedTable, feed *control.Feed, eye *sensor.Sensor,
) *operate.Service {
	o := s.options
	return operate.New(operate.Options{
		Version: o.Version, Config: s.live.Load, Log: o.Log, Clock: s.clock, Judge: r.judge,
		Enforcer: r.enforcer, Denier: r.denier, Denials: r.denials, Feeder: r.feeder, Keeper: r.keeper,
		Firewall: table.String(), Sessions: r.fleet.Sessions, Watcher: r.watcher,
		Allowlist: r.allowlist, Journal: s.journal, Atlas: s.atlas, Book: s.alerts, Feed: feed,
		Notifier: s.notifier, Lockout: s.admins, Reload: r.command(), Restart: r.restartNeeded,
		Enforce: r.Enforce, BeforeKeep: r.beforeKeep,
		ObservesAfter: s.begin.observesAfter(), TurnError: s.turnError(),
		Confined: o.confined, Sensor: eye.Status, Limiter: s.limiter,
		MetricsProblem: r.metrics.Problem,
	})
}

// openTable opens the firewall that the config names, or the one that only logs what it would do.
func openTable(o Options, set protect.Set, startup *startup) (enforce.WatchedTable, error) {
	defer startup.await("nftables")()
	c := o.Config
	if c.Dry() {
		return enforce.Dry{}, nil
	}

	f := firewall.Options{
		Table: c.Firewall.Table, Ports: c.Firewall.Ports(), MaxBans: c.Firewall.MaxBans,
		Allow: allowlist.ForKernel(set), NetNS: o.NetNS, Feeds: feedNames(c),
		Limiter: c.Limiter.Rules(),
	}
	if c.Sensor.Enabled {
		f.Sensor = &firewall.Sensor{Group: c.Sensor.Group}
	}
	return enforce.OpenKernel(f)
}
