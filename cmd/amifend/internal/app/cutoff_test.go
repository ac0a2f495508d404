package app

import (
	"context"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/policy"
)

// A reload that nobody waited for in the end leaves nothing that a later one with fewer servers stumbles over.
func TestReloadThatIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, log := newJournal()
		p := newPath(t, log)
		k := newDesk(p.daemon, nil)
		change := func(servers ...string) error {
			plan := &fleetPlan{fresh: map[string]*session{}}
			for _, name := range servers {
				plan.servers = append(plan.servers, config.Server{Name: name})
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return k.changeServers(ctx, plan, &control.Reloaded{})
		}
		if err := change("pbx", "new", "newer"); control.CodeOf(err) != control.CodeBusy { // the judge has other work
			t.Fatalf("error %v", err)
		}
		(<-k.judge.asks.in)()
		go func() {
			time.Sleep(time.Millisecond)
			(<-k.judge.asks.in)()
		}()
		if err := change("pbx", "other"); err != nil {
			t.Fatal(err)
		}
		if got := k.judge.servers; len(got) != 4 || got[3] != "other" || len(k.judge.masked.votes) != 4 {
			t.Errorf("the judge knows %q", got)
		}
	})
}

// Who asks for a reload or to keep a trial's bans may go: it is done whole.
func TestKeepOutlastsWhoAsked(t *testing.T) {
	onTrial(t, 10*time.Minute, func(t *testing.T, o *office) {
		o.impose(t, "203.0.113.2/32", "all", time.Hour)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if k, err := o.Keep(gone, control.Peer{}); err != nil || k.Bans != 1 {
			t.Errorf("%+v, %v", k, err)
		}
		time.Sleep(20 * time.Minute)
		o.wantKernel(t, "203.0.113.1 sip", "203.0.113.2 all")
	})
}

// What is decided while a trial's bans are being kept is not shortened by what the trial had decided.
func TestDecidedWhileKept(t *testing.T) {
	onTrial(t, 10*time.Minute, func(t *testing.T, o *office) {
		o.impose(t, "203.0.113.2/32", "all", time.Hour)
		_, err := ask(t.Context(), o.judge.asks, askJudge, func() bool { // some are kept, and there are more
			_, more := o.judge.keep(0)
			return more
		})
		if err != nil {
			t.Fatal(err)
		}
		o.impose(t, "203.0.113.2/32", "all", 5*time.Hour)
		if _, err := o.Keep(t.Context(), control.Peer{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Hour)
		o.wantKernel(t, "203.0.113.2 all")
	})
}

// A ban that is lifted before the engine was told of it stays lifted, and its source can be banned again.
func TestLiftedBeforeItIsKnown(t *testing.T) {
	_, log := newJournal()
	p := newPath(t, log)
	now := p.clock.now()
	bans := []string{"203.0.113.1/32", "203.0.113.2/32", "203.0.113.3/32"}
	tell := func(prefix string) {
		b := Ban{Prefix: netip.MustParsePrefix(prefix), Scope: all, Rule: policy.RuleProvenScore, Duration: time.Hour, until: now + int64(time.Hour)}
		p.judge.news.put(b.key(), news{ban: b})
	}
	tell(bans[0])
	p.judge.hear() // this one the judge has heard of, the others wait
	tell(bans[1])
	tell(bans[2])
	p.judge.liftAll([]netip.Prefix{netip.MustParsePrefix(bans[0]), netip.MustParsePrefix(bans[1])}, "uid 0")
	p.judge.learn()
	for i, prefix := range bans {
		addr := netip.MustParsePrefix(prefix).Addr()
		if _, banned := p.judge.engine.Ban(addr); banned != (i == 2) {
			t.Errorf("%s: banned %v", addr, banned)
		}
	}
	for range 10 {
		s := attempt(p.clock, "203.0.113.1:5060", policy.Label{})
		p.judge.observe(&s)
	}
	if o := p.judge.orders.take()[netip.MustParsePrefix(bans[0])]; o.ban == nil {
		t.Errorf("it is not banned again: %+v", o)
	}
}

// SIGHUP while amifend starts does not end it: it reloads when it has started.
func TestHangupWhileStarting(t *testing.T) {
	s := newSite(t, 1)
	c := s.withControl(t)
	cfg := s.config
	cfg.Names = []string{"slow.example"}
	said, log := newJournal()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	hung := false
	go func() {
		done <- Run(ctx, Options{
			Config: &cfg, Log: log, NetNS: s.FD(),
			Reload: func() (*config.Config, error) { next := cfg; next.Allow = nil; return &next, nil },
			Lookup: func(context.Context, string) ([]netip.Addr, error) {
				if !hung { // the first lookup is before all else
					hung = true
					if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
						return nil, err
					}
					time.Sleep(100 * time.Millisecond)
				}
				return []netip.Addr{netip.MustParseAddr("198.51.100.9")}, nil
			},
		})
	}()
	ready(t, c)
	said.wait(t, "the config was reloaded", "")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
