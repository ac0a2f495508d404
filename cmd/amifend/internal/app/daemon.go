package app

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/policy"
)

// queue is how many sightings may wait for the judge before the sessions wait too: a tenth of a second of the worst
// flood that one Asterisk can raise is 1,300.
const queue = 8192

// daemon holds the stages between the sessions and the kernel.
type daemon struct {
	Options
	clock     clock
	hasher    policy.Hasher
	table     watchedTable
	in        chan sighting
	protected chan *policy.Protected
	judge     *judge
	enforcer  *enforcer
	denier    *denier
	known     []netip.Prefix // protected, as last told
	feed      control.Feed
	records   records
	live      atomic.Pointer[[]*session]
}

// sessionsNow returns the sessions that run.
func (d *daemon) sessionsNow() []*session {
	if s := d.live.Load(); s != nil {
		return *s
	}
	return nil
}

func newDaemon(o Options, table watchedTable, set protect.Set) (*daemon, error) {
	c := o.Config
	opts := c.Policy
	opts.Seed = rand.Uint64()
	engine, err := policy.New(opts)
	if err != nil {
		return nil, fmt.Errorf("set up the policy: %w", err)
	}
	d := &daemon{
		Options: o, clock: newClock(), hasher: policy.NewHasher(opts.Seed), table: table,
		in: make(chan sighting, queue), protected: make(chan *policy.Protected, 1), known: prefixes(set),
	}
	names := make([]string, len(c.Servers))
	for i, s := range c.Servers {
		names[i] = s.Name
	}
	protected := newProtected(set)
	engine.Protect(d.clock.now(), protected)
	d.enforcer = newEnforcer(table, d.clock, o.Log)
	d.enforcer.dry, d.enforcer.banned = c.Dry(), o.Banned
	d.denier = newDenier(table, o.Log, c.Deny, func() protect.Set { return set })
	d.denier.held = o.Trial > 0
	d.enforcer.laidOut = d.denier.laidOut
	d.records = records{newKeeper(c, o, d.enforcer.inquiry.want), d.clock}
	d.enforcer.records = d.records
	if d.records.journal != nil && !c.Dry() {
		d.enforcer.inquiry.memory = d.records.journal
	}
	d.judge = &judge{
		engine: engine, clock: d.clock, log: o.Log, servers: names, threshold: opts.Threshold, in: d.in, protected: d.protected, orders: d.enforcer.orders,
		ineffective: newIneffective(d.enforcer, c.Firewall.SIPPorts, names),
		masked:      newMasked(o.Log, names, protected, opts.Weights),
		asks:        newAsks(), news: d.enforcer.news, records: d.records,
		tally: newTally(d.records, names, opts.Weights),
	}
	d.judge.masked.records = d.records
	if d.records.journal != nil {
		d.judge.saver.keeper = d.records.journal
	}
	return d, nil
}

// run starts all stages and ends them in the order of flow.
func (d *daemon) run(ctx context.Context, sessions []*session, watcher *protect.Watcher) {
	var sources, judge, enforcer sync.WaitGroup
	k := newDesk(d, watcher)
	d.denier.never = watcher.Current
	k.recallAllowances(ctx)
	k.fleet.begin(ctx, sessions)
	sources.Go(func() { k.fleet.wait(ctx) })
	sources.Go(func() { k.run(ctx) })
	sources.Go(func() {
		d.lasting(ctx, "watch over the protected addresses", func() error { return watcher.Run(ctx, d.protect) })
	})
	sources.Go(func() {
		d.lasting(ctx, "watch over the nftables table", func() error {
			err := d.table.Watch(ctx, d.damaged)
			if ctx.Err() == nil {
				d.damaged() // what happens until it watches again, nobody sees
			}
			return err
		})
	})
	sources.Go(func() { d.denier.run(ctx) })
	sources.Go(func() { vigil(ctx, d.sessionsNow) })
	sources.Go(func() { d.sampleRates(ctx) })

	kernel, stopKernel := context.WithCancel(context.WithoutCancel(ctx))
	defer stopKernel()
	if d.Trial > 0 {
		d.judge.begin(d.clock.now(), d.Trial)
	}
	judge.Go(func() { d.judge.run() })
	enforcer.Go(func() { d.enforcer.run(kernel) })
	<-k.opened // who waits for us to be ready wants to ask, too
	tell(d.Ready)
	<-ctx.Done()
	tell(d.Stopping)
	sources.Wait()
	close(d.in)
	judge.Wait()
	d.saveAll()
	stopKernel()
	enforcer.Wait()
	what := "amifend stops: its bans stay in the kernel"
	if d.Config.Dry() {
		what = "amifend stops: it was a dry run, so nobody is banned by it"
	}
	d.Log.Info(what, "bans", len(d.enforcer.ledger.bans))
}

// tell calls whom somebody named to be told.
func tell(who func()) {
	if who != nil {
		who()
	}
}

// lasting runs a part until ctx ends. None of them fails as a rule; one that does must not take the others along.
func (d *daemon) lasting(ctx context.Context, what string, run func() error) {
	for {
		err := run()
		if ctx.Err() != nil {
			return
		}
		d.Log.Error(what+" ended: starting it again", "err", err)
		sleep(ctx, time.Second)
	}
}

func (d *daemon) damaged() { offer(d.enforcer.damaged, struct{}{}) }

// protect hands a new list of addresses that are never banned to the kernel and to the policy. What is told is only what
// came and went: reasons and on-link prefixes may change too.
func (d *daemon) protect(set protect.Set) {
	next := prefixes(set)
	if added, gone := without(next, d.known), without(d.known, next); len(added)+len(gone) > 0 {
		d.Log.Info("protected addresses changed", "added", added, "gone", gone, "protected", len(next))
	}
	d.known = next
	offer(d.enforcer.allow, next)
	d.denier.protect()
	offer(d.protected, newProtected(set))
}

// without returns what of a is not in b.
func without(a, b []netip.Prefix) []netip.Prefix {
	in := make(map[netip.Prefix]bool, len(b))
	for _, p := range b {
		in[p] = true
	}
	return slices.DeleteFunc(slices.Clone(a), func(p netip.Prefix) bool { return in[p] })
}

// offer leaves v in a channel of one place, in place of what waits there. There must be only one sender, unless all send the
// same: of two the older value might stay.
func offer[T any](ch chan T, v T) {
	select {
	case <-ch:
	default:
	}
	select {
	case ch <- v:
	default:
	}
}
