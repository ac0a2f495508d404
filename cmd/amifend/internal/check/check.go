// Package check is `amifend check`: it looks at all that the daemon will need and says, for people,
// what is wrong and what to do about it.
//
// It promises to change nothing: neither on the PBXs, where it logs in and listens, nor in the
// kernel, where a scratch table shows whether nftables can be used and is gone again. No secret is
// ever printed.
package check

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/app"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/lockout"
	"github.com/amifend/amifend/cmd/amifend/internal/observe"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
)

// Options say what to check and where to write.
type Options struct {
	Config *config.Config
	Path   string // the config file's name, to show
	Out    io.Writer

	Offline bool          // look at the config alone
	Wait    time.Duration // how long to listen to each PBX once all is well there

	// PBXConfig is where to find the PBX's trunks: the folder of its config files, "-" for what its
	// command line printed, on Stdin, or "" not to look.
	PBXConfig string
	Stdin     io.Reader

	// Sessions tells who administers this machine now; nil: as package lockout finds them.
	Sessions func() []lockout.Session

	// Lookup resolves names of trunks and servers; nil: the system's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// LookupSRV asks for the SRV records of trunks' names; nil: the system's resolver.
	LookupSRV func(ctx context.Context, service, proto, name string) ([]*net.SRV, error)
	// NetNS is the descriptor of the network namespace whose firewall and addresses are looked at;
	// 0: the caller's.
	NetNS int
}

// Run checks everything and writes what it found. It reports whether nothing failed; warnings are
// no failures. The error is of writing, or that ctx ended before all was seen.
func Run(ctx context.Context, o Options) (bool, error) {
	if o.Lookup == nil {
		o.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}

	if o.LookupSRV == nil {
		o.LookupSRV = lookupSRV
	}

	if o.Sessions == nil {
		o.Sessions = func() []lockout.Session {
			return lockout.Sessions(lockout.Options{NetNS: o.NetNS})
		}
	}

	p := &printer{w: o.Out}
	p.print(checkConfig(o))
	if !o.Offline {
		o.online(ctx, p)
	}

	if err := ctx.Err(); err != nil {
		return false, fmt.Errorf("check everything: interrupted: %w", err)
	}

	return p.result()
}

// online checks what is more than the config file.
func (o Options) online(ctx context.Context, p *printer) {
	known := app.ProtectConfig(o.Config)
	known.Lookup, known.NetNS = o.Lookup, o.NetNS
	watcher := protect.New(known)

	// All PBXs at once, each told as soon as those before it are: one that does not answer takes
	// its time.
	var found []chan section
	for _, s := range o.Config.Servers {
		done := make(chan section, 1)
		found = append(found, done)
		go func() {
			done <- checkServer(ctx, s, o.Wait, func(ev ami.Event) {
				app.Learn(watcher, s.Name, ev)
			})
		}()
	}

	for _, done := range found {
		s := <-done
		if ctx.Err() != nil {
			continue // what it found is only that
		}
		p.print(s)
	}

	if ctx.Err() != nil {
		return
	}

	p.print(checkFirewall(ctx, o.Config, o.NetNS))

	set, err := watcher.Snapshot(ctx)
	p.print(protectedSection(set, watcher.Unresolved(), err))
	if err == nil {
		p.print(lockoutSection(o, set))
	}
	if err == nil && len(o.Config.Deny) > 0 {
		p.print(deniedSection(o.Config, set))
	}

	if o.PBXConfig != "" {
		trunks, paste := o.checkTrunks(ctx, set)
		p.print(trunks)
		p.text(paste)
	}

	p.print(hints(o))
}

// checkConfig tells what is unsafe in a config that is valid: what is not never gets here.
func checkConfig(o Options) section {
	c := o.Config
	s := section{title: "config " + o.Path}
	s.ok("valid: %s, %s in [allow]", observe.Count(len(c.Servers), "server"),
		observe.Count(len(c.Allow), "prefix"))
	if len(c.Names) > 0 {
		s.ok("%s in [allow], followed as their addresses change",
			observe.Count(len(c.Names), "name"))
	}

	if len(c.Deny) > 0 {
		s.ok("%s in [deny]", observe.Count(len(c.Deny), "prefix"))
	}

	for _, w := range c.Warnings {
		s.fail("", "%s", w)
	}

	if o.Offline { // else they are told with the server
		for _, server := range c.Servers {
			ac := app.SessionConfig(server)
			for _, w := range ac.Warnings() {
				s.warn("server %s: %s", server.Name, config.SessionWarning(w))
			}
		}
	}

	return s
}
