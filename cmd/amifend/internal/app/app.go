// Package app is the daemon: it wires the AMI sessions, the policy engine and the firewall together and runs them.
//
// Events flow one way: sessions → judge → enforcer → kernel. Each stage is a goroutine that owns its data and hands on
// values; the judge never waits for the kernel, the disk or the network. On shutdown the stages end in that order, so
// that nothing which was heard is lost, and the bans stay in the kernel.
package app

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// queue is how many sightings may wait for the judge before the sessions wait too: a tenth of a second of the worst
// flood that one Asterisk can raise is 1,300.
const queue = 8192

// Options are what Run needs.
type Options struct {
	Config *config.Config
	Log    *slog.Logger
	Ready  func()    // called when every part runs; nil: nobody wants to know
	Banned func(Ban) // called from the enforcer for each ban that the kernel has acknowledged; must not block; may be nil
}

// Run runs the daemon until ctx ends. It fails only at the start: a PBX that cannot be reached later, or a kernel that
// refuses, is told and tried again.
func Run(ctx context.Context, o Options) error {
	c, log := o.Config, o.Log
	for _, w := range c.Warnings {
		log.Warn(w)
	}
	dry := c.Observe || c.Firewall.Backend == config.BackendLog
	table, err := openTable(c, dry)
	if err != nil {
		return err
	}
	defer table.Close()
	watcher := protect.New(ProtectConfig(c))
	set, err := watcher.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("find the addresses that must never be banned: %w", err)
	}
	d, err := newDaemon(o, table, dry, set)
	if err != nil {
		return err
	}
	if err := d.adopt(ctx, table); err != nil {
		return err
	}
	sessions, err := d.sessions(watcher)
	if err != nil {
		return err
	}
	log.Info("amifend runs", "servers", len(sessions), "protected", len(set.Entries), "firewall", table.String(), "adopted", len(d.enforcer.bans))
	return d.run(ctx, sessions, watcher, table)
}

// daemon holds the stages between the sessions and the kernel.
type daemon struct {
	Options
	clock     clock
	hasher    policy.Hasher
	in        chan sighting
	protected chan *policy.Protected
	judge     *judge
	enforcer  *enforcer
}

func newDaemon(o Options, table table, dry bool, set protect.Set) (*daemon, error) {
	c := o.Config
	opts := c.Policy
	opts.Seed = rand.Uint64()
	engine, err := policy.New(opts)
	if err != nil {
		return nil, fmt.Errorf("set up the policy: %w", err)
	}
	d := &daemon{
		Options: o, clock: newClock(), hasher: policy.NewHasher(opts.Seed),
		in: make(chan sighting, queue), protected: make(chan *policy.Protected, 1),
	}
	names := make([]string, len(c.Servers))
	for i, s := range c.Servers {
		names[i] = s.Name
	}
	orders, acks, doubts := newMailbox[netip.Prefix, order](), newMailbox[netip.Prefix, ack](), newMailbox[netip.Prefix, doubt]()
	protected := newProtected(set)
	engine.Protect(d.clock.now(), protected)
	d.judge = &judge{
		engine: engine, clock: d.clock, log: o.Log, servers: names, in: d.in, protected: d.protected, orders: orders,
		ineffective: &ineffective{
			acks: acks, doubts: doubts, sipPorts: c.Firewall.SIPPorts, servers: names,
			bits4: firewall.SupportedBits(false), bits6: firewall.SupportedBits(true), bans: make(map[netip.Prefix]*covered),
		},
		masked: &masked{log: o.Log, servers: names, protected: protected, weights: opts.Weights, told: make(map[netip.Addr]int64)},
	}
	d.enforcer = &enforcer{
		table: table, clock: d.clock, log: o.Log, dry: dry, banned: o.Banned, orders: orders, acks: acks, doubts: doubts,
		allow: make(chan []netip.Prefix, 1), damaged: make(chan struct{}, 1),
		bans: make(map[netip.Prefix]*held), allowed: prefixes(set), told: make(map[toldKey]bool),
	}
	return d, nil
}

// run starts all stages and ends them in the order of flow.
func (d *daemon) run(ctx context.Context, sessions []*session, watcher *protect.Watcher, table watchedTable) error {
	sources, sctx := errgroup.WithContext(ctx)
	for _, s := range sessions {
		sources.Go(func() error { return s.run(sctx, d.in) })
	}
	sources.Go(func() error { return watcher.Run(sctx, func(set protect.Set) { d.protect(set) }) })
	sources.Go(func() error {
		return table.Watch(sctx, func() { offer(d.enforcer.damaged, struct{}{}) })
	})

	kernel, stopKernel := context.WithCancel(context.WithoutCancel(ctx))
	defer stopKernel()
	var judge, enforcer errgroup.Group
	judge.Go(d.judge.run)
	enforcer.Go(func() error { return d.enforcer.run(kernel) })
	if d.Ready != nil {
		d.Ready()
	}

	err := sources.Wait()
	if ctx.Err() != nil {
		err = nil // we were asked to stop
	}
	close(d.in)
	_ = judge.Wait() // gives no error
	stopKernel()
	_ = enforcer.Wait() // gives no error
	d.Log.Info("amifend stops: its bans stay in the kernel", "bans", len(d.enforcer.bans))
	return err
}

// protect hands a new list of addresses that are never banned to the kernel and to the policy.
func (d *daemon) protect(set protect.Set) {
	d.Log.Info("protected addresses changed", "protected", len(set.Entries))
	offer(d.enforcer.allow, prefixes(set))
	offer(d.protected, newProtected(set))
}

// offer leaves v in a channel of one place, in place of what waits there. There must be only one sender.
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

// adopt takes over the bans that a run before this one left in the kernel.
func (d *daemon) adopt(ctx context.Context, t table) error {
	if err := t.Ensure(ctx); err != nil {
		return fmt.Errorf("set up the firewall: %w", err)
	}
	if err := t.SetAllow(ctx, d.enforcer.allowed); err != nil {
		return fmt.Errorf("set up the firewall: %w", err)
	}
	elements, err := t.Bans(ctx)
	if err != nil {
		return fmt.Errorf("read the bans in the kernel: %w", err)
	}
	now := d.clock.now()
	for _, el := range elements {
		if el.Timeout == 0 {
			d.Log.Warn("removing an element that would never run out", "source", el.Prefix.String(), "scope", el.Scope.String())
			if _, err := t.Apply(ctx, []firewall.Change{remove(el.Prefix, el.Scope)}); err != nil {
				return fmt.Errorf("remove an element from the kernel: %w", err)
			}
			continue
		}
		left := min(el.Expires, d.Config.Policy.BanMax)
		d.enforcer.adopt(Ban{
			Prefix: el.Prefix, Scope: el.Scope, Rule: ruleAdopted, Decided: time.Now(), Duration: left, until: now + int64(left),
		})
		d.judge.order(d.judge.engine.Adopt(now, el.Prefix, scopeOf[el.Scope], left))
	}
	return nil
}

// openTable opens the firewall that the config names, or the one that only tells what it would do.
func openTable(c *config.Config, dry bool) (watchedTable, error) {
	if dry {
		return dryTable{}, nil
	}
	lock, err := firewall.Lock(c.Firewall.Table)
	if err != nil {
		return nil, err
	}
	t, err := firewall.Open(firewall.Options{Table: c.Firewall.Table, SIPPorts: c.Firewall.SIPPorts, MaxBans: c.Firewall.MaxBans})
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("open the firewall: %w", err)
	}
	return &kernelTable{Table: t, lock: lock, name: c.Firewall.Table}, nil
}

// ProtectConfig is what c says of addresses that must never be banned.
func ProtectConfig(c *config.Config) protect.Config {
	out := protect.Config{Allow: c.Allow}
	for _, s := range c.Servers {
		out.Servers = append(out.Servers, protect.Server{Name: s.Name, Host: s.Host, Addresses: s.Addresses})
	}
	return out
}

func newProtected(set protect.Set) *policy.Protected {
	entries := make([]policy.ProtectedEntry, len(set.Entries))
	for i, e := range set.Entries {
		entries[i] = policy.ProtectedEntry{Prefix: e.Prefix, Reason: e.Reason}
	}
	return policy.NewProtected(entries, set.OnLink)
}

func prefixes(set protect.Set) []netip.Prefix {
	out := make([]netip.Prefix, len(set.Entries))
	for i, e := range set.Entries {
		out[i] = e.Prefix
	}
	return out
}
