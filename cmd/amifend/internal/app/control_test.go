package app

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/policy"
)

// withControl gives a site a control socket, and returns a client of it.
func (s *site) withControl(t *testing.T) *control.Client {
	t.Helper()
	s.config.Control = config.Control{Socket: filepath.Join(t.TempDir(), "s.sock"), ReadGroup: "0", AdminGroup: "0"}
	return control.NewClient(s.config.Control.Socket)
}

// ready waits until the control socket answers.
func ready(t *testing.T, c *control.Client) {
	t.Helper()
	eventually(t, "the control socket answers", func() bool {
		_, err := c.Status(t.Context())
		return err == nil
	})
}

func TestStatusAndBans(t *testing.T) {
	s := newSite(t, 2)
	c := s.withControl(t)
	r := s.start(t)
	ready(t, c)
	guess(s.pbxs[0], "203.0.113.6:5062", "TCP", 4)
	guess(s.pbxs[0], "203.0.113.7:5062", "UDP", 2)
	guess(s.pbxs[1], "203.0.113.7:5062", "UDP", 2)
	r.wait(t, "banned", "203.0.113.6")
	r.wait(t, "banned", "203.0.113.7")

	l, err := c.Bans(t.Context(), control.BanQuery{Sort: "source"})
	if err != nil || l.Total != 2 || len(l.Bans) != 2 {
		t.Fatalf("%+v, %v", l, err)
	}
	b := l.Bans[0]
	if b.Prefix.String() != "203.0.113.6/32" || b.Scope != "all" || b.Rule != policy.RuleProvenScore || b.Attempts != 4 || b.Strike != 1 ||
		!slices.Equal(b.Servers, []string{"pbx1"}) || b.State != control.StateInKernel || b.Dropped == nil || *b.Dropped != 0 {
		t.Errorf("ban %+v", b)
	}
	if left := time.Until(b.Until); left < 59*time.Minute || left > time.Hour {
		t.Errorf("it ends in %v", left)
	}
	if b := l.Bans[1]; b.Scope != "sip" || !slices.Equal(slices.Sorted(slices.Values(b.Servers)), []string{"pbx1", "pbx2"}) {
		t.Errorf("ban %+v", b)
	}
	if l, err = c.Bans(t.Context(), control.BanQuery{Server: "pbx2"}); err != nil || l.Matched != 1 {
		t.Errorf("of pbx2: %+v, %v", l, err)
	}

	st, err := c.Status(t.Context())
	if err != nil || len(st.Servers) != 2 || len(st.Health) != 0 {
		t.Fatalf("%+v, %v", st, err)
	}
	if p := st.Servers[0]; !p.Connected || p.Name != "pbx1" || p.Events < 6 || p.TLS != "" || p.Login != "MD5" {
		t.Errorf("server %+v", p)
	}
	if st.Firewall.State != "ok" || st.Firewall.Bans != 2 || st.Firewall.Pending != 0 || st.Engine.Bans != 2 || st.Engine.Counted != 8 {
		t.Errorf("firewall %+v, engine %+v", st.Firewall, st.Engine)
	}
	a, err := c.Allowed(t.Context())
	if err != nil || !slices.ContainsFunc(a.Entries, func(e control.Allowed) bool {
		return e.Prefix.String() == "198.51.100.0/24" && strings.Contains(e.Reason, "allowlist")
	}) {
		t.Errorf("allowed: %+v, %v", a, err)
	}

	s.pbxs[1].Close()
	eventually(t, "the status tells of a server that is gone", func() bool {
		st, err := c.Status(t.Context())
		return err == nil && !st.Servers[1].Connected && st.Servers[1].Do != "" && len(st.Health) == 1 && st.Health[0].About == "server pbx2"
	})
}

func TestEventsAreFollowed(t *testing.T) {
	s := newSite(t, 1)
	c := s.withControl(t)
	s.start(t)
	ready(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	events, err := c.Events(ctx, control.EventFilter{Within: netip.MustParsePrefix("203.0.113.6/32")})
	if err != nil {
		t.Fatal(err)
	}
	guess(s.pbxs[0], "203.0.113.5:5062", "UDP", 1)
	guess(s.pbxs[0], "203.0.113.6:5062", "UDP", 1)
	for ev, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		if ev.Source.String() != "203.0.113.6:5062" || ev.Account != `"100"` || ev.Server != "pbx1" {
			t.Errorf("event %+v", ev)
		}
		return
	}
	t.Error("no event came")
}

// While the kernel hangs, the status says so, and the judge goes on.
func TestStatusOfAFirewallThatHangs(t *testing.T) {
	_, log := newJournal()
	p := newPath(t, log)
	kernel := newFakeTable()
	kernel.gate = make(chan struct{})
	p.enforcer.table, p.table = kernel, kernel
	ctx, stop := context.WithCancel(t.Context())
	var stages sync.WaitGroup
	stages.Go(p.judge.run)
	stages.Go(func() { p.enforcer.run(ctx) })
	k := newDesk(p.daemon, protect.New(protect.Config{}))
	for i := range 7 {
		p.in <- attempt(p.clock, fmt.Sprintf("203.0.113.6:%d", 5060+i), policy.Label{})
	}
	eventually(t, "a ban", func() bool {
		st, err := k.Status(t.Context())
		return err == nil && st.Firewall.State == firewallBusy
	})
	st, err := k.Status(t.Context())
	if err != nil || len(st.Health) == 0 || !strings.Contains(st.Health[0].What, "has not answered") || st.Engine.Observed != 7 {
		t.Errorf("%+v, %v", st, err)
	}
	hurry, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := k.Bans(hurry); control.CodeOf(err) != control.CodeBusy {
		t.Errorf("error %v", err)
	}
	close(kernel.gate)
	eventually(t, "the firewall is well again", func() bool {
		st, err := k.Status(t.Context())
		return err == nil && st.Firewall.State == "ok"
	})
	close(p.in)
	stop()
	stages.Wait()
}

// However many ask, and however little they wait for the answers, the judge judges all that comes.
func TestNoRequestStallsTheJudge(t *testing.T) {
	_, log := newJournal()
	p := newPath(t, log)
	ctx, stop := context.WithCancel(t.Context())
	var stages, askers sync.WaitGroup
	stages.Go(p.judge.run)
	stages.Go(func() { p.enforcer.run(ctx) })
	k := newDesk(p.daemon, protect.New(protect.Config{}))
	asking, enough := context.WithCancel(t.Context())
	for range 8 {
		askers.Go(func() {
			for asking.Err() == nil {
				_, _ = k.Status(asking) // the answers do not matter
				_, _ = k.Bans(asking)
				gone, cancel := context.WithCancel(asking)
				cancel()
				_, _ = k.Status(gone) // asks, and does not wait
			}
		})
	}
	const sources = 2000
	for i := range sources {
		for n := range 7 {
			p.in <- attempt(p.clock, fmt.Sprintf("10.0.%d.%d:%d", i/250, i%250+1, 5060+n), policy.Label{})
		}
	}
	close(p.in)
	enough()
	stop()
	stages.Wait()
	askers.Wait()
	if st := p.judge.engine.Stats(); st.Observed != 7*sources {
		t.Errorf("%d of %d were judged", st.Observed, 7*sources)
	}
}

// The list of bans is made in parts, while bans come and go.
func TestWalk(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		const many = 5 * walkMost
		p := newPath(t, w.log)
		p.enforcer, p.table = w.enforcer, w.kernel
		for i := range many {
			w.order(fmt.Sprintf("10.%d.%d.%d/32", i>>16, i>>8&255, i&255), all, time.Hour)
		}
		w.order("203.0.113.1/32", sip, time.Minute)
		k := newDesk(p.daemon, protect.New(protect.Config{}))
		w.kernel.set(func() { w.kernel.packets[key{netip.MustParsePrefix("203.0.113.1/32"), sip}] = 7 })
		bans, err := k.Bans(t.Context())
		if err != nil || len(bans) != many+1 {
			t.Fatalf("%d bans, %v", len(bans), err)
		}
		seen := map[netip.Prefix]bool{}
		for _, b := range bans {
			if seen[b.Prefix] || b.State != control.StateInKernel {
				t.Fatalf("ban %+v", b)
			}
			seen[b.Prefix] = true
			if b.Scope == "sip" && (b.Dropped == nil || *b.Dropped != 7) {
				t.Errorf("ban %+v", b)
			}
		}
		w.pass(2 * time.Minute)
		if bans, err := k.Bans(t.Context()); err != nil || len(bans) != many {
			t.Errorf("%d bans after one has ended, %v", len(bans), err)
		}
	})
}
