package daemon

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/denylist"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce"
	"github.com/amifend/amifend/cmd/amifend/internal/judge"
	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/firewall"
)

// What becomes protected while it is banned is free at once.
func TestProtectedWhileBanned(t *testing.T) {
	s := newSite(t, 2)
	r := s.start(t)
	for a, at := range map[string]int{"203.0.113.1": 0, "203.0.113.2": 0, "203.0.113.3": 1} {
		guess(s.pbxs[at], a+":5060", "TCP", 4)
		r.Wait(t, "banned", a)
	}

	// An own address; the LocalAddress of an event; our own address as a PBX sees it.
	s.Run(t, "ip", "addr", "add", "203.0.113.1/32", "dev", "lo")
	local := amitest.NewPeer("203.0.113.77:5060")
	local.Local = netip.MustParseAddrPort("203.0.113.2:5060")
	s.pbxs[0].Emit(local.GuessAccount("100")...)
	s.pbxs[1].Behave(func(b *amitest.Behaviour) {
		b.SeenAs = netip.MustParseAddrPort("203.0.113.3:40000")
	})
	s.pbxs[1].Cut()

	table := s.table(t)
	for a, why := range map[string]string{
		"203.0.113.1": "protected: ", "203.0.113.2": "protected: server pbx1: LocalAddress",
		"203.0.113.3": "protected: our own address",
	} {
		if l := r.Wait(t, "ban lifted", a); !strings.HasPrefix(l.Text("why"), why) {
			t.Errorf("lifted %v", l)
		}
		if s.element(t, table, a+"/32", all) != nil {
			t.Errorf("the kernel has a ban of %s", a)
		}
		if a != "203.0.113.3" { // which is protected from what the other server reports
			guess(s.pbxs[0], a+":5060", "TCP", 8)
		}
	}

	// What a server names is no more than its word, which the log says.
	r.Wait(t, "a ban is lifted since the server that reported the attempts names the address as "+
		"its own or ours", "203.0.113.2")
	guess(s.pbxs[0], "203.0.113.99:5060", "TCP", 4)
	r.Wait(t, "banned", "203.0.113.99")
	if n := len(r.Said("banned", "")); n != 4 {
		t.Errorf("%d bans were told:\n%s", n, r)
	}
	if out := s.NFT(t, "list set inet "+s.config.Firewall.Table+
		" allow4"); !strings.Contains(out, "203.0.113.1") || strings.Contains(out, "203.0.113.2") {
		t.Errorf("the allow set is %s", out)
	}
}

// A server that names an attacker as its own address frees it nowhere: what other servers report
// bans it, and a ban on their evidence stays.
func TestALyingServerFreesNobody(t *testing.T) {
	s := newSite(t, 2)
	c := s.withControl(t)
	r := s.start(t)
	ready(t, c)
	guess(s.pbxs[0], "203.0.113.5:5060", "TCP", 4)
	r.Wait(t, "banned", "203.0.113.5")

	for _, a := range []string{"203.0.113.5", "203.0.113.6"} {
		liar := amitest.NewPeer("203.0.113.77:5060")
		liar.Local = netip.MustParseAddrPort(a + ":5060")
		s.pbxs[1].Emit(liar.GuessAccount("100")...)
	}
	eventually(t, "status asks for the addresses", func() bool {
		st, err := c.Status(t.Context())
		return err == nil && slices.ContainsFunc(st.Health, func(w control.Warning) bool {
			return w.About == "server pbx2" && strings.HasPrefix(w.What, "203.0.113.6 is protected only") &&
				strings.Contains(w.Do, `write addresses = ["203.0.113.6"]`)
		})
	})

	// What the liar reports of it does not count, what the other one reports does. The engine knows
	// the address a moment after the status: a ban from before is lifted.
	guess(s.pbxs[1], "203.0.113.6:5060", "TCP", 8)
	eventually(t, "the other one's evidence bans", func() bool {
		guess(s.pbxs[0], "203.0.113.6:5060", "TCP", 4)
		bans, err := c.Bans(t.Context(), control.BanQuery{})
		return err == nil && slices.ContainsFunc(bans.Bans, func(b control.Ban) bool {
			return b.Prefix == netip.MustParsePrefix("203.0.113.6/32") &&
				slices.Equal(b.Servers, []string{"pbx1"})
		})
	})

	table := s.table(t)
	for _, a := range []string{"203.0.113.5", "203.0.113.6"} {
		if s.element(t, table, a+"/32", all) == nil {
			t.Errorf("the kernel lacks the ban of %s", a)
		}
	}
	if out := s.NFT(t, "list set inet "+s.config.Firewall.Table+" allow4"); strings.Contains(out,
		"203.0.113") {
		t.Errorf("the kernel lets through %s", out)
	}
	if n := len(r.Said("ban lifted", "")); n != 0 {
		t.Errorf("%d bans were lifted", n)
	}
}

func TestProtectTellsBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, j, e, kernel := parts(t, slog.New(slog.DiscardHandler), nil)
		var set protect.Set
		denier := enforce.NewDenier(enforce.DenierOptions{
			Table: kernel, Log: s.options.Log, Lists: denied("192.0.2.0/24"),
			Never: func() protect.Set { return set },
		})
		feeder := enforce.NewFeeder(enforce.FeederOptions{
			Table: kernel, Log: s.options.Log, Never: func() protect.Set { return set },
			Exempt: func(context.Context) ([]denylist.Exempt, error) { return nil, nil },
		})
		feeder.SetLists([]enforce.FeedList{{
			Name: "one", Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		}})
		p := newProtected(s.options.Log, protect.Set{}, j, e, denier, feeder)
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(j.Run)
		all.Go(func() { e.Run(ctx) })
		all.Go(func() { denier.Run(ctx) })
		all.Go(func() { feeder.Run(ctx) })
		synctest.Wait()

		prefix := netip.MustParsePrefix("192.0.2.1/32")
		set = protect.Set{Entries: []protect.Entry{{Prefix: prefix, Reason: "DNS resolver"}}}
		p.update(set)
		synctest.Wait()
		kernel.Set(func() {
			if feed := kernel.Feeds["one"]; feed == nil || feed.Contains(prefix.Addr()) ||
				!feed.Contains(prefix.Addr().Next()) {
				t.Errorf("the feed drops %v", feed)
			}
			if len(kernel.Allow) != 1 || kernel.Allow[0] != prefix {
				t.Errorf("the kernel gets %v", kernel.Allow)
			}
			if last := kernel.Deny[len(kernel.Deny)-1]; last.OverlapsPrefix(prefix) {
				t.Errorf("the kernel drops %v", last.Prefixes())
			}
		})

		i, err := j.Impose(ctx, judge.Imposition{
			Prefix: prefix, Scope: firewall.ScopeAll, For: time.Hour,
		})
		if err != nil || i.Protected != "DNS resolver" {
			t.Errorf("the policy gets %+v, %v", i, err)
		}

		cancel()
		close(s.events)
		all.Wait()
	})
}

// A start warns of the SSH session that it comes from.
func TestAStartWarnsOfALockOut(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.7": "your SSH session from 192.0.2.7 is not allowlisted: a ban of that " +
			"address would cut it off",
		"203.0.113.7": "the deny lists cut off your SSH session from 203.0.113.7: its address " +
			"is listed in /lists/drop.txt:1",
		"198.51.100.7": "", // allowlisted
	} {
		s := newSite(t, 1)
		s.config.Deny = denied("203.0.113.0/24")
		said, log := logtest.New()
		ctx, cancel := context.WithCancel(t.Context())
		getenv := func(name string) string {
			return map[string]string{"SSH_CONNECTION": addr + " 50000 192.0.2.1 22"}[name]
		}
		if err := Run(ctx, Options{
			Config: &s.config, Log: log, NetNS: s.FD(), Getenv: getenv, Ready: cancel,
		}); err != nil {
			t.Fatal(err)
		}

		if want == "" {
			if strings.Contains(said.String(), "SSH session") {
				t.Errorf("%s: said\n%s", addr, said)
			}
			continue
		}
		if l := said.Wait(t, want, ""); !strings.Contains(l.Text("do"),
			`prefixes = ["198.51.100.0/24", "`+addr+`"]`) {
			t.Errorf("%s: said %v", addr, l)
		}
	}
}

// A ban is lifted by the command that allows its source, comes no more while that holds, and can
// come again afterwards.
func TestAllowForATime(t *testing.T) {
	s := newSite(t, 1)
	s.config.State = config.State{Directory: t.TempDir(), Retain: time.Hour, MaxSize: 10 << 20}
	c := s.withControl(t)
	r := s.start(t)
	ready(t, c)
	guess(s.pbxs[0], "203.0.113.6:5062", "TCP", 4)
	r.Wait(t, "banned", "203.0.113.6")
	prefix := netip.MustParsePrefix("203.0.113.6/32")
	a, err := c.Allow(t.Context(), control.NewAllow{
		Prefix: prefix, For: 3600, Reason: "a customer \x1b[2J",
	})
	if err != nil || a.Reason != "allowed by root on "+a.At.Local().Format(time.DateOnly)+
		` (amifend allow): "a customer \x1b[2J"` ||
		!a.Command || time.Until(a.Until).Round(time.Minute) != time.Hour {
		t.Fatalf("%+v, %v", a, err)
	}

	r.Wait(t, "ban lifted", "203.0.113.6")
	guess(s.pbxs[0], "203.0.113.6:5063", "TCP", 20)
	guess(s.pbxs[0], "203.0.113.7:5063", "TCP", 4)
	r.Wait(t, "banned", "203.0.113.7")
	if n := len(r.Said("banned", "203.0.113.6")); n != 1 {
		t.Errorf("banned %d times", n)
	}

	listed := func() *control.Allowed {
		l, err := c.Allowed(t.Context())
		if err != nil {
			t.Fatal(err)
		}

		if i := slices.IndexFunc(l.Entries, func(e control.Allowed) bool {
			return e.Prefix == prefix
		}); i >= 0 {
			return &l.Entries[i]
		}
		return nil
	}
	if e := listed(); e == nil || !e.Command || e.Reason != a.Reason || !e.Until.Equal(a.Until) {
		t.Errorf("listed as %+v", e)
	}

	time.Sleep(1500 * time.Millisecond) // it is saved within a second
	r.stop(t)

	r = s.start(t) // it outlives a restart
	ready(t, c)

	// Before the first event can come.
	if e := listed(); e == nil || !e.Command || !e.Until.Equal(a.Until) {
		t.Errorf("what was allowed is not known after the start: %+v", e)
	}
	if _, err := c.Disallow(t.Context(), prefix); err != nil {
		t.Fatal(err)
	}

	eventually(t, "it is no longer allowed", func() bool { return listed() == nil })
	if _, err := c.Disallow(t.Context(), prefix); control.CodeOf(err) != control.CodeNotAllowed {
		t.Errorf("a second time: %v", err)
	}

	eventually(t, "it can be banned again", func() bool {
		guess(s.pbxs[0], "203.0.113.6:5064", "TCP", 1)
		return len(r.Said("banned", "203.0.113.6")) > 0
	})
}
