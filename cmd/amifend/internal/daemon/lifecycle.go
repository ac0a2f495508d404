package daemon

import (
	"context"
	"sync"

	"github.com/amifend/amifend/cmd/amifend/internal/owner"
)

// run starts all parts, and ends them in the order of the flow.
func (d *daemon) run(ctx context.Context) {
	d.loadConditions(ctx)

	// What operators allowed in earlier runs holds before the first event can come.
	d.watcher.HandTo(d.protected.update)
	there := d.startup.await("what operators allowed and denied, in the journal")
	if d.allowlist.Load(ctx) {
		// The watcher logs an error, and tries again.
		_ = d.watcher.Refresh()
	}
	d.denials.Load(ctx)
	there()

	// The sources of work: they end with ctx.
	var sources, judge, enforcer sync.WaitGroup
	d.fleet.Start(ctx, d.plan)
	for _, part := range d.sources(ctx) {
		sources.Go(part)
	}

	// The judge outlives the sessions, and the enforcer outlives the judge.
	kernel, stopKernel := context.WithCancel(context.WithoutCancel(ctx))
	defer stopKernel()
	judge.Go(d.judge.Run)
	enforcer.Go(func() { d.enforcer.Run(kernel) })

	// The notifier outlives all who report to it. The journal, which keeps its outbox, outlives it.
	var notifier sync.WaitGroup
	notifying, stopNotifier := context.WithCancel(context.WithoutCancel(ctx))
	defer stopNotifier()
	if d.journal != nil {
		d.notifier.SetReport(d.weekly)
	}
	notifier.Go(func() { d.notifier.Run(notifying, d.alerts) })

	there = d.startup.await("the control socket")
	<-d.service.Opened() // whoever waits for us to be ready wants to ask, too
	there()
	d.startup.finish()
	<-ctx.Done()
	if d.turned() {
		d.options.Reloading() // the next run reports when it is ready
	} else {
		d.options.Stopping()
	}

	// The judge judges the events that came, and its decisions reach the kernel. The channel is
	// closed only when nobody sends any more.
	sources.Wait()
	close(d.events)
	judge.Wait()
	d.judge.SaveAll()
	stopKernel()
	enforcer.Wait()
	if d.turned() {
		d.notifier.HandOn()
	}
	stopNotifier()
	notifier.Wait()

	d.options.Log.Info(d.ending(), "bans", d.enforcer.Held())
}

// sources returns the parts that end with ctx. The judge may be asked until all of them have ended.
func (d *daemon) sources(ctx context.Context) []func() {
	return []func(){
		func() { d.fleet.Wait(ctx) },
		func() { d.fleet.Watch(ctx) },
		func() { d.allowlist.Run(ctx) },
		func() { d.denier.Run(ctx) },
		func() { d.administrators.watch(ctx) },
		func() { d.feeder.Run(ctx) },
		func() { d.keeper.Run(ctx) },
		func() { d.denials.Run(ctx) },
		func() { d.service.Run(ctx) },
		func() { d.metrics.Run(ctx) },
		func() { d.reloader.serveHangups(ctx, d.hangup) },
		func() { d.reloader.endTrial(ctx) },
		func() { d.watchProtected(ctx) },
		func() { d.watchTable(ctx) },
		func() { d.sensor.Run(ctx) },
		func() { d.limiter.Run(ctx) },
		func() { d.watchConditions(ctx) },
		func() { d.atlas.Run(ctx) },
		func() { d.logins.Run(ctx, d.alerts) },
		func() { d.feedWatchdog(ctx) },
		func() { d.reportStatus(ctx) },
	}
}

// ending says what becomes of the bans when a run has ended.
func (d *daemon) ending() string {
	switch dry := d.options.Config.Dry(); {
	case d.turned() && dry:
		return "amifend begins to ban: the bans that it only observed do not come into force"
	case d.turned():
		return "amifend observes from now on: bans that are in the kernel stay until they end"
	case dry:
		return "amifend stops: it was a dry run, so nobody is banned by it"
	}
	return "amifend stops: its bans stay in the kernel"
}

// watchProtected hands on each new list of addresses that are never banned.
func (d *daemon) watchProtected(ctx context.Context) {
	owner.KeepRunning(ctx, d.options.Log, "watch over the protected addresses", func() error {
		return d.watcher.Run(ctx)
	})
}

// watchTable reports what others do to the table.
func (d *daemon) watchTable(ctx context.Context) {
	owner.KeepRunning(ctx, d.options.Log, "watch over the nftables table", func() error {
		err := d.table.Watch(ctx, d.enforcer.Damaged)
		if ctx.Err() == nil {
			d.enforcer.Damaged() // nobody sees what happens until it watches again
		}
		return err
	})
}
