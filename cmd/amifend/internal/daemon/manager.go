package daemon

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/amifend/amifend/ami"
)

// watchdogShare is how often the watchdog is fed within its time limit.
const watchdogShare = 4

// statusEvery is how often the status for the service manager is made.
const statusEvery = 5 * time.Second

// feedWatchdog reports to the service manager that the daemon is alive, whenever the policy engine
// went on since the last report. If the judge hangs for [Options.Watchdog], the service manager
// starts the daemon anew. A kernel or a disk that hangs does not cause that, since a new daemon
// would hang as well.
func (d *daemon) feedWatchdog(ctx context.Context) {
	if d.options.Watchdog <= 0 {
		return
	}

	tick := time.NewTicker(d.options.Watchdog / watchdogShare)
	defer tick.Stop()
	turns := d.judge.Turns()
	d.options.Alive()

	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}

		if now := d.judge.Turns(); now != turns {
			turns = now
			d.options.Alive()
		}
	}
}

// reportStatus keeps the status of the service manager up to date: one line about what people look
// for first.
func (d *daemon) reportStatus(ctx context.Context) {
	tick := time.NewTicker(statusEvery)
	defer tick.Stop()

	last := ""
	for {
		if line := d.statusLine(); line != last {
			last = line
			d.options.Status(line)
		}

		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// statusLine describes the daemon in one line. It waits for nobody.
func (d *daemon) statusLine() string {
	sessions := d.fleet.Sessions()
	up := 0
	for _, s := range sessions {
		if s.Status().Phase == ami.PhaseConnected {
			up++
		}
	}

	parts := []string{fmt.Sprintf("logged in to %d of %d PBXs", up, len(sessions))}
	if d.live.Load().Dry() {
		parts = append(parts, "bans nobody, only logs the bans that it would make")
	}
	if d.journal != nil {
		if p := d.journal.Health().Problem; p != "" {
			parts = append(parts, "journal: "+p)
		}
	}
	if missing := d.startup.missing(); missing != "" {
		parts = append(parts, "started without "+missing)
	}

	return strings.Join(parts, "; ")
}
