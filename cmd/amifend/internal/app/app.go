// Package app is the daemon: it wires the AMI sessions, the policy engine and the firewall together and runs them.
//
// Events flow one way: sessions → judge → enforcer → kernel. Each stage is a goroutine that owns its data and hands on
// values; the judge never waits for the kernel, the disk, the network or the log. On shutdown the stages end in that
// order, so that nothing which was heard is lost, and the bans stay in the kernel.
package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// Options are what Run needs.
type Options struct {
	Config  *config.Config
	Version string // of the program, to show
	Log     *slog.Logger
	Ready   func()    // called when every part runs, and after each reload; nil: nobody wants to know
	Banned  func(Ban) // called from the enforcer for each ban that the kernel has acknowledged; must not block; may be nil
	// Reload reads the config again, nil: it cannot be. Errors are for people.
	Reload func() (*config.Config, error)
	// Reloading is called before the config is read again, Stopping when the daemon begins to stop; nil: nobody wants to know.
	Reloading, Stopping func()
	// Trial is a time after the start whose bans end with it, unless an operator keeps them; see [control.Trial]. 0: there is none.
	Trial  time.Duration
	Getenv func(string) string // nil: os.Getenv
	// Lookup resolves names of servers and of [allow]; nil: the system's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	NetNS  int // descriptor of the network namespace to defend; 0: that of the calling thread

	hangup <-chan os.Signal // SIGHUP; nil: there is nothing to reload
}

// Run runs the daemon until ctx ends. It fails only at the start: a PBX that cannot be reached later, or a kernel that
// refuses, is told and tried again.
func Run(ctx context.Context, o Options) error {
	s := newSpool(o.Log.Handler())
	defer s.close()
	o.Log = slog.New(s)
	var ignoreHangups func()
	o.hangup, ignoreHangups = catchHangups(o)
	defer ignoreHangups()
	for _, w := range o.Config.Warnings {
		o.Log.Warn(w)
	}
	if err := serve(ctx, o); ctx.Err() == nil {
		return err
	}
	return nil // we were asked to stop, perhaps while we started
}

func serve(ctx context.Context, o Options) error {
	known := ProtectConfig(o.Config)
	known.Log, known.NetNS, known.Lookup = o.Log, o.NetNS, o.Lookup
	watcher := protect.New(known)
	set, err := watcher.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("find the addresses that must never be banned: %w", err)
	}
	warnLockout(o, set)
	table, err := openTable(o, prefixes(set))
	if err != nil {
		return err
	}
	defer table.Close()
	d, err := newDaemon(o, table, set)
	if err != nil {
		return err
	}
	stopJournal := d.keep()
	defer stopJournal()
	adopted, err := d.adopt(ctx)
	if err != nil {
		return err
	}
	sessions, err := d.sessions(watcher)
	if err != nil {
		return err
	}
	o.Log.Info("amifend runs", "servers", len(sessions), "protected", len(set.Entries), "firewall", table.String(),
		"adopted", adopted.kernel, "restored", adopted.journal)
	d.run(ctx, sessions, watcher) // the journal ends after it
	return nil
}

// openTable opens the firewall that the config names, or the one that only tells what it would do.
func openTable(o Options, allow []netip.Prefix) (watchedTable, error) {
	c := o.Config
	if c.Dry() {
		return dryTable{}, nil
	}
	lock, err := firewall.Lock(c.Firewall.Table)
	if err != nil {
		return nil, err
	}
	t, err := firewall.Open(firewall.Options{
		Table: c.Firewall.Table, SIPPorts: c.Firewall.SIPPorts, MaxBans: c.Firewall.MaxBans, Allow: allow, NetNS: o.NetNS,
	})
	if err != nil {
		lock.Close()
		return nil, err
	}
	return &kernelTable{Table: t, lock: lock, name: c.Firewall.Table}, nil
}

// ProtectConfig is what the config says of the addresses that must never be banned.
func ProtectConfig(c *config.Config) protect.Config {
	out := protect.Config{Allow: c.Allow}
	for _, n := range c.Names {
		out.Names = append(out.Names, protect.Name{Host: n, Reason: "allowlist ([allow] names)"})
	}
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
