package metrics

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/denylist"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce/enforcetest"
	"github.com/amifend/amifend/cmd/amifend/internal/feed"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/cmd/amifend/internal/judge"
	"github.com/amifend/amifend/cmd/amifend/internal/limiter"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/cmd/amifend/internal/sensor"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// office has the owners whose numbers are shown, on a fake kernel. Nobody connects to its servers.
type office struct {
	Sources
	kernel *enforcetest.Kernel
	in     chan stream.Sighting
	clock  clock.Clock
}

// newOffice returns an office whose goroutines run until the test ends.
func newOffice(t *testing.T, servers ...string) *office {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	o := &office{
		kernel: enforcetest.NewKernel(), in: make(chan stream.Sighting, 8192), clock: clock.New(),
	}
	c := &config.Config{
		Policy: policy.DefaultOptions(),
		Firewall: config.Firewall{
			Backend: config.BackendNftables, MaxBans: 1000, SIPPorts: firewall.DefaultSIPPorts(),
		},
	}
	mail, book := bans.NewMail(), alerts.New(alerts.Options{Log: log})
	watcher := protect.New(protect.Config{})

	engine, err := judge.New(judge.Options{
		Policy: c.Policy, Servers: servers, Ports: c.Firewall.Ports(), Events: o.in, Mail: mail,
		Protected: policy.NewProtected(nil, nil), Alerts: book, Clock: o.clock, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	enforcer := enforce.New(enforce.Options{
		Table: o.kernel, Clock: o.clock, Log: log, Mail: mail, Alerts: book,
	})
	denier := enforce.NewDenier(enforce.DenierOptions{
		Table: o.kernel, Log: log, Never: watcher.Current,
	})

	feeder := enforce.NewFeeder(enforce.FeederOptions{
		Table: o.kernel, Log: log, Never: watcher.Current,
		Exempt: func(context.Context) ([]denylist.Exempt, error) { return nil, nil },
	})
	keeper := feedOf(t, book, feeder)

	var sessions []*stream.Session
	for i, name := range servers {
		s, err := stream.New(config.Server{
			Name: name, Address: "127.0.0.1:5038", Username: "amifend", Secret: ami.NewSecret("s3cret"),
		}, uint16(i), stream.Options{Log: log, Clock: o.clock, Hasher: engine.Hasher()})
		if err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, s)
	}

	o.Sources = Sources{
		Version: "1.2.3", Config: func() *config.Config { return c }, Judge: engine, Enforcer: enforcer,
		Denier: denier, Feeder: feeder, Keeper: keeper, Watcher: watcher,
		Sessions: func() []*stream.Session { return sessions },
		Book:     book, Waiting: func() int { return len(o.in) },
		Sensor: func() sensor.Status {
			return sensor.Status{
				On: true, Evidence: 3, Accepted: 1,
				Servers: []sensor.ServerStatus{{Name: "office", Judging: true, Silent: 2}},
			}
		},
		Limiter: func() limiter.Status {
			return limiter.Status{On: true, Known: 12, Counts: firewall.LimiterCounts{Passed: 34}}
		},
		Journal: journal.New(journal.Options{Directory: t.TempDir(), Log: log}),
	}
	return o
}

// feedOf returns a keeper at work, whose one list is in the kernel.
func feedOf(t *testing.T, book *alerts.Book, feeder *enforce.Feeder) *feed.Keeper {
	t.Helper()
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, []byte("20.0.0.1\n20.0.1.0/24\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	keeper := feed.New(feed.Options{
		Feeds: []config.Feed{{Name: "mine", File: path, Every: time.Hour}}, Book: book,
		Log: slog.New(slog.DiscardHandler),
		Lists: func(all []feed.Named) {
			var lists []enforce.FeedList
			for _, l := range all {
				lists = append(lists, enforce.FeedList(l))
			}
			feeder.SetLists(lists)
		},
	})

	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	running.Go(func() { keeper.Run(ctx) })
	running.Go(func() { feeder.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if cut := feeder.Status().Cuts["mine"]; cut != nil && len(cut.Set.Ranges()) == 2 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return keeper
}

// run runs the owners until the test ends.
func (o *office) run(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var judging, enforcing sync.WaitGroup
	judging.Go(o.Judge.Run)
	enforcing.Go(func() { o.Enforcer.Run(ctx) })
	t.Cleanup(func() {
		close(o.in)
		judging.Wait()
		cancel()
		enforcing.Wait()
	})
}

// guess has somebody guess an account over TCP, as often as it takes for a ban.
func (o *office) guess(addr, account string) {
	for i := range 8 {
		now := o.clock.Now()
		o.in <- stream.Sighting{
			Observation: policy.Observation{
				At: now, Source: netip.MustParseAddrPort(fmt.Sprintf("%s:%d", addr, 5060+i)),
				LocalPort: 5060, Kind: policy.KindInvalidPassword, Service: policy.ServicePJSIP,
				Stream: true, Account: o.Judge.Hasher().Label([]byte(account)),
			},
			Made: now,
		}
	}
}
