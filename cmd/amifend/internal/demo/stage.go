package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	amifend "github.com/amifend/amifend/cmd/amifend/internal/daemon"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// stage is the place of the demo.
type stage struct {
	network network
	kernel  bool   // bans go into nftables; otherwise the daemon makes a dry run
	packets bool   // clients send packets, which the kernel can drop
	told    string // the description for the audience
	close   func() error
}

// table is the name of the nftables table. In a private namespace it may be the usual name.
const table = "amifend"

// privateStage returns a stage with real packets and a real kernel, or as much of it as the kernel
// allows.
func privateStage(ctx context.Context, pbxs ...*pbx) stage {
	w, err := newWire(ctx, pbxs...)
	if err != nil {
		return stage{
			network: &direct{}, kernel: true, close: noClose,
			told: fmt.Sprintf("No packets are sent, so each attacker stops at its ban: %v.", err),
		}
	}

	return stage{
		network: w, kernel: true, packets: true, close: w.Close,
		told: "The PBXs are played. The packets, amifend and its nftables table are real.",
	}
}

// dryStage returns a stage on the host's loopback interface, where nobody is banned.
func dryStage(why error) stage {
	return stage{
		network: &direct{}, close: noClose,
		told: fmt.Sprintf("Dry run: no packets are sent and nobody is banned, because there is %v.",
			why),
	}
}

// noClose closes a stage that holds nothing.
func noClose() error { return nil }

// daemonConfig returns amifend's configuration: the defaults, with the PBXs and the allowed trunk.
func (s stage) daemonConfig(pbxs ...*pbx) *config.Config {
	c := &config.Config{
		Policy: policy.DefaultOptions(),
		Allow:  []netip.Prefix{trunk()},
		Firewall: config.Firewall{
			Backend: config.BackendLog, Table: table, SIPPorts: firewall.DefaultSIPPorts(),
			MaxBans: firewall.DefaultMaxBans,
		},
	}
	if s.kernel {
		c.Firewall.Backend = config.BackendNftables
	}

	for _, p := range pbxs {
		c.Servers = append(c.Servers, p.server())
	}

	return c
}

// verdict is a ban, and the time when the kernel acknowledged it.
type verdict struct {
	bans.Ban
	at time.Time
}

// bench collects the daemon's verdicts and alerts.
type bench struct {
	mu       sync.Mutex
	verdicts []verdict
	alerts   []alert
	news     chan verdict
}

// mostBans is more than the bans, or the alerts, that the play can cause.
const mostBans = 1000

// newBench returns an empty bench.
func newBench() *bench { return &bench{news: make(chan verdict, mostBans)} }

// banned records a ban. The daemon's enforcer calls it, so it must not block.
func (b *bench) banned(ban bans.Ban) {
	v := verdict{ban, time.Now()}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.verdicts) >= mostBans {
		return
	}
	b.verdicts = append(b.verdicts, v)
	b.news <- v // has room for all
}

// alerted records an alert. The daemon's log calls it.
func (b *bench) alerted(a alert) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.alerts) < mostBans {
		b.alerts = append(b.alerts, a)
	}
}

// allAlerts returns the alerts so far.
func (b *bench) allAlerts() []alert {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]alert(nil), b.alerts...)
}

// all returns the verdicts so far.
func (b *bench) all() []verdict {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]verdict(nil), b.verdicts...)
}

// covers reports whether an address, or all of a prefix, is banned.
func (b *bench) covers(p netip.Prefix) bool {
	for _, v := range b.all() {
		if v.Prefix.Bits() <= p.Bits() && v.Prefix.Contains(p.Addr()) {
			return true
		}
	}
	return false
}

// daemon is the real daemon, running.
type daemon struct {
	ctx    context.Context // ends with the daemon
	cancel context.CancelFunc
	ended  chan error
}

// startDaemon runs the daemon. It returns when the daemon has logged in to every PBX.
func startDaemon(ctx context.Context, o amifend.Options, pbxs ...*pbx) (*daemon, error) {
	ctx, cancel := context.WithCancel(ctx)
	d := &daemon{ctx: ctx, cancel: cancel, ended: make(chan error, 1)}
	go func() {
		defer cancel()
		d.ended <- amifend.Run(ctx, o)
	}()

	ready, done := context.WithTimeout(ctx, 10*time.Second)
	defer done()

	for _, p := range pbxs {
		if err := p.manager.WaitSessions(ready, 1); err != nil {
			err = fmt.Errorf("wait for amifend to log in to PBX %s: %w", p.name, err)
			return nil, errors.Join(err, d.stop())
		}
	}

	return d, nil
}

// stop ends the daemon in order and returns its error.
func (d *daemon) stop() error {
	d.cancel()
	if err := <-d.ended; err != nil {
		return fmt.Errorf("run amifend: %w", err)
	}
	return nil
}
