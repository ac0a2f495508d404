// Package daemon wires the parts of amifend together, runs them, and reloads their config.
//
// Events flow one way, and each stage is a goroutine that owns its data:
//
//	PBX ─→ stream ─→ judge ─→ enforce ─→ kernel
//	                   └────────┴──────→ journal
//
// The arrows that go elsewhere (acknowledgements, doubts, calls of operators) are drawn in the
// package of whoever receives them, and all together in docs/design.md. On shutdown the stages end
// in the order of the flow, so that no event is lost, and the bans stay in the kernel.
package daemon

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/asynclog"
	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// Options configure [Run].
type Options struct {
	Config  *config.Config
	Version string // of the program, to show
	Log     *slog.Logger
	// Ready is called when every part runs, ten seconds after the start at the latest, and after
	// each reload; may be nil.
	Ready func()
	// Status is called with a line for people about the state of the daemon whenever that changes,
	// and about the last reload, "" if nothing is wrong; may be nil.
	Status func(string)
	// Watchdog is the time after which a service manager starts the daemon anew unless Alive is
	// called; 0: there is no such time. Alive may be nil.
	Watchdog time.Duration
	Alive    func()
	// Banned is called for each ban that the kernel has acknowledged, and must not block; may be
	// nil.
	Banned func(bans.Ban)
	// Reload reads the config again, nil: it cannot be. Errors are for people.
	Reload func() (*config.Config, error)
	// Reloading is called before the config is read again, Stopping when the daemon begins to stop;
	// may be nil.
	Reloading, Stopping func()
	// Trial is a time after the start whose bans end with it, unless an operator keeps them; see
	// [control.Trial]. 0: there is none.
	Trial time.Duration
	// NotifyAfter is how long no ban must come until an attack is reported; 0: a minute.
	NotifyAfter time.Duration
	Getenv      func(string) string // nil: os.Getenv
	// Lookup resolves names of servers and of [allow]; nil: the system's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	NetNS  int // descriptor of the network namespace to defend; 0: that of the calling thread
	// Confine takes rights from the whole process, for good: for one that does nothing else.
	Confine bool

	confined *control.Confined // nil: it is not confined
}

// Run runs the daemon until ctx ends. It fails only at the start: a PBX that cannot be reached
// later, or a kernel that refuses, is logged and tried again.
func Run(ctx context.Context, o Options) error {
	collectOften()

	// Neither the judge nor the enforcer may wait for a log that nobody reads.
	log := asynclog.New(o.Log.Handler())
	defer log.Close()
	o.Log = slog.New(log)

	o.Ready = orNothing(o.Ready)
	o.Reloading = orNothing(o.Reloading)
	o.Stopping = orNothing(o.Stopping)
	o.Alive = orNothing(o.Alive)
	if o.Status == nil {
		o.Status = func(string) {}
	}

	// A SIGHUP while amifend starts must not end it: it reloads when it has started.
	hangup, ignoreHangups := catchHangups(o)
	defer ignoreHangups()

	for _, w := range o.Config.Warnings {
		o.Log.Warn(w)
	}
	if o.Config.Unkept != nil {
		o.Log.Warn(unkeptText)
	}

	if o.Confine {
		o.confined = confineProcess(o)
	}
	err := serveAll(ctx, o, hangup)
	if ctx.Err() != nil {
		return nil // we were asked to stop, perhaps while we started
	}

	return err
}

// garbage is how much garbage may pile up, in percent of the memory in use, before it is collected.
// Go's 100 lets a daemon with very many bans take twice what it needs. A collection is cheap here:
// the large tables hold few pointers, and the path of an event makes no garbage.
const garbage = 50

// collectOften has garbage collected as often as that, unless the environment sets GOGC.
func collectOften() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
}

// orNothing returns f, or a function that does nothing in place of nil.
func orNothing(f func()) func() {
	if f == nil {
		return func() {}
	}
	return f
}

// catchHangups catches SIGHUP from now on, which would end the process.
func catchHangups(o Options) (caught <-chan os.Signal, stop func()) {
	if o.Reload == nil {
		return nil, func() {}
	}

	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}
