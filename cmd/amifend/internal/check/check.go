// Package check implements `amifend check`: it tests everything that the daemon needs, and reports
// what is wrong and what to do.
//
// It changes nothing: it logs in to the PBXs and listens, and shows with a scratch table, which it
// removes, whether nftables can be used. It never prints a secret.
package check

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/allowlist"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/lockout"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// Options select what to check and where to write.
type Options struct {
	Config *config.Config
	Path   string // the config file's name, for the output
	Out    io.Writer
	JSON   bool          // write the findings as JSON
	Screen screen.Screen // what Out is

	// Progress is where the names of the servers are shown while they are checked; nil: nowhere.
	Progress io.Writer

	Offline bool          // check only the config
	Wait    time.Duration // how long to listen to each PBX that works

	// PBXConfig is the folder of the PBX's config files, "-" for the output of its command line on
	// Stdin, or "" for neither.
	PBXConfig string
	Stdin     io.Reader

	// Sessions returns who administers this machine now; nil: package lockout finds them.
	Sessions func() []lockout.Session

	// Lookup resolves names of trunks and servers; nil: the system's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// LookupSRV returns the SRV records of trunks' names; nil: the system's resolver.
	LookupSRV func(ctx context.Context, service, proto, name string) ([]*net.SRV, error)
	// NetNS is the descriptor of the network namespace with the firewall and the addresses; 0: the
	// caller's.
	NetNS int

	// UnitDirs are the folders with systemd's unit files; nil: those of this system.
	UnitDirs []string
}

// Run checks everything and writes what it finds. It reports whether nothing failed; warnings are
// not failures. The error is that of writing, or of a ctx that ended too early.
func Run(ctx context.Context, o Options) (bool, error) {
	o = o.withDefaults()

	// The config comes first: everything else depends on it.
	p := &printer{on: o.Screen}
	p.print(checkConfig(o))
	if !o.Offline {
		o.online(ctx, p)
	}

	// A partial result would look like a complete one.
	if err := ctx.Err(); err != nil {
		return false, fmt.Errorf("check everything: interrupted: %w", err)
	}

	if o.JSON {
		return p.json(o.Out)
	}
	return p.result(o.Out)
}

// withDefaults returns the options with what the system has in place of what the caller left out.
func (o Options) withDefaults() Options {
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

	return o
}

// online checks everything outside the config file.
func (o Options) online(ctx context.Context, p *printer) {
	known := allowlist.FromConfig(o.Config)
	known.Lookup, known.NetNS = o.Lookup, o.NetNS
	watcher := protect.New(known)

	// All PBXs are checked at once: one that does not answer takes its time. Their sections are
	// printed in the order of the config.
	var found []chan section
	for _, s := range o.Config.Servers {
		done := make(chan section, 1)
		found = append(found, done)
		go func() {
			done <- checkServer(ctx, s, o.Wait, func(ev ami.Event) {
				stream.Learn(watcher, s.Name, ev)
			})
		}()
	}

	began := time.Now()
	for i, done := range found {
		s := o.await(done, o.Config.Servers[i], began)
		if ctx.Err() != nil {
			continue // an interrupted check proves nothing
		}
		p.print(s)
	}

	if ctx.Err() != nil {
		return
	}

	p.print(checkFirewall(ctx, o.Config, o.NetNS))

	var feeds []control.FeedState // as the daemon has them; nil: it does not run
	if st, running := askDaemon(ctx, o.Config.Control.Socket); running {
		feeds = append([]control.FeedState{}, st.Firewall.Feeds...)
		for _, about := range []func(control.Status) (section, bool){journalSection, sharedSection} {
			if s, found := about(st); found {
				p.print(s)
			}
		}
	}

	set, err := watcher.Snapshot(ctx)
	p.print(protectedSection(set, watcher.Unresolved(), err))

	var m missing
	if err == nil {
		way, unsafe := lockoutSection(o, set)
		p.print(way)
		m.sessions = unsafe
	}
	if err == nil && len(o.Config.Deny) > 0 {
		p.print(deniedSection(o.Config, set))
	}

	if err == nil && len(o.Config.Feeds) > 0 {
		p.print(feedSection(o.Config.Feeds, feeds, set))
	}

	managerRead := false
	if o.PBXConfig != "" {
		managerRead = o.pbx(ctx, p, set, &m)
	}

	if len(o.Config.Geo.Files) > 0 {
		p.print(geoSection(o))
	}

	if what, paste := m.table(o); paste != "" {
		p.print(what)
		p.text(paste)
	}
	p.print(hints(o, managerRead))
}

// await waits for the section of a server, and shows how long that may take.
func (o Options) await(done chan section, server config.Server, began time.Time) section {
	defer o.progress("")
	tick := time.NewTicker(time.Second)
	defer tick.Stop()

	for {
		waited := int(time.Since(began).Seconds())
		o.progress("waiting for %s (%d of %.0f s)", server.Name, waited,
			ami.DefaultConnectTimeout.Seconds())
		select {
		case s := <-done:
			return s
		case <-tick.C:
		}
	}
}

// progress shows what is waited for, in place of what it showed before.
func (o Options) progress(format string, args ...any) {
	if o.Progress != nil {
		fmt.Fprintf(o.Progress, "\r\x1b[K"+format, args...)
	}
}

// pbx checks the PBX's own configuration. It reports whether manager.conf was among it.
func (o Options) pbx(ctx context.Context, p *printer, set protect.Set, m *missing) bool {
	pbx, err := o.readPBX()
	if err != nil {
		s := section{title: "trunks in " + o.PBXConfig}
		s.fail("", "%s", plain(err.Error()))
		p.print(s)
		return false
	}

	p.print(o.checkTrunks(ctx, pbx, set, m))
	if o.PBXConfig != "-" {
		p.print(o.blindSpots(pbx))
	}
	return pbx.Manager
}

// checkConfig reports what is unsafe in the config. A config that is not valid does not get here.
func checkConfig(o Options) section {
	c := o.Config
	s := section{title: "config " + o.Path}
	s.ok("valid: %s, %s in [allow]", wording.Count(len(c.Servers), "server"),
		wording.Count(len(c.Allow), "prefix"))
	if len(c.Names) > 0 {
		s.ok("%s in [allow], followed as their addresses change",
			wording.Count(len(c.Names), "name"))
	}

	// Deny lists are named only where there are any.
	if len(c.Deny) > 0 {
		s.ok("%s in [deny]", wording.Count(len(c.Deny), "prefix"))
	}

	// Warnings of the config concern secrets that others can read, and must not stay.
	for _, w := range c.Warnings {
		s.fail("", "%s", w)
	}
	checkServiceUser(&s, o)

	if o.Offline { // otherwise they stand with the server
		for _, server := range c.Servers {
			ac := stream.Config(server)
			for _, w := range ac.Warnings() {
				s.warn("server %s: %s", server.Name, config.SessionWarning(w))
			}
		}
	}

	return s
}
