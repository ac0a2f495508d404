package app

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/firewall/firewalltest"
	"github.com/amifend/amifend/policy"
)

func TestBanAfterTheFourthAttempt(t *testing.T) {
	s := newSite(t, 2)
	r := s.start(t)
	guess(s.pbxs[0], "203.0.113.5:5062", "UDP", 3)
	guess(s.pbxs[1], "203.0.113.6:5062", "TCP", 2) // an attacker of both
	guess(s.pbxs[0], "203.0.113.6:5063", "TCP", 2)
	guess(s.pbxs[1], "[2001:db8::5]:5062", "UDP", 4)
	guess(s.pbxs[0], "198.51.100.7:5062", "TCP", 30) // allowlisted

	l := r.wait(t, "banned", "203.0.113.6")
	if n := len(r.said("banned", "203.0.113.5")); n != 0 {
		t.Error("three attempts were banned")
	}
	if l.text("scope") != "all" || l.text("rule") != policy.RuleProvenScore || l.text("attempts") != "4" {
		t.Errorf("said %v", l)
	}
	if ev := l.text("evidence"); !strings.Contains(ev, "pbx1: InvalidAccountID") || !strings.Contains(ev, "pbx2: InvalidAccountID") {
		t.Errorf("evidence %q does not name both PBXs", ev)
	}
	until, err := time.Parse(time.RFC3339, l.text("until"))
	if err != nil || time.Until(until) < 59*time.Minute || time.Until(until) > time.Hour {
		t.Errorf("until %v: %v", until, err)
	}
	table := s.table(t)
	if el := s.element(t, table, "203.0.113.6/32", all); el == nil || el.Expires < 59*time.Minute || el.Expires > time.Hour {
		t.Errorf("the kernel has %v", el)
	}
	if l := r.wait(t, "banned", "2001:db8::5"); l.text("scope") != "sip" || !strings.Contains(l.text("evidence"), "(forgeable by a spoofer)") {
		t.Errorf("said %v", l)
	}
	if el := s.element(t, table, "2001:db8::5/128", sip); el == nil {
		t.Error("the kernel has no ban of the IPv6 attacker")
	}
	guess(s.pbxs[0], "203.0.113.5:5064", "UDP", 1)
	r.wait(t, "banned", "203.0.113.5")
	if n := len(r.said("banned", "198.51.100.7")); n != 0 {
		t.Error("an allowlisted source is banned")
	}
	if s.element(t, table, "198.51.100.7/32", all) != nil {
		t.Error("the kernel has a ban of an allowlisted source")
	}
	if l := r.wait(t, "most failures come from one address that is never banned: the PBX does not see real sources", ""); l.text("address") != "198.51.100.7" {
		t.Errorf("said %v", l)
	}
}

// The ban is in the kernel before the line is printed: whoever sees the line can rely on it.
func TestLineComesAfterTheElement(t *testing.T) {
	s := newSite(t, 1)
	table := s.table(t)
	missing := make(chan string, 10)
	c := s.config
	_, log := newJournal()
	up := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	var told atomic.Int32
	go func() {
		done <- Run(ctx, Options{Config: &c, Log: log, NetNS: s.FD(), Ready: func() { close(up) }, Banned: func(b Ban) {
			if _, ok, err := table.Element(context.Background(), b.Prefix, b.Scope); !ok || err != nil {
				missing <- b.Source()
			}
			told.Add(1)
		}})
	}()
	<-up
	if err := s.pbxs[0].WaitSessions(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		guess(s.pbxs[0], fmt.Sprintf("10.0.%d.1:5060", i), "TCP", 4) // each of a /24 of its own
	}
	eventually(t, "ten bans", func() bool { return told.Load() == 10 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	close(missing)
	for m := range missing {
		t.Errorf("the ban of %s was told before the kernel had it", m)
	}
}

func TestDamageIsRepaired(t *testing.T) {
	s := newSite(t, 1)
	r := s.start(t)
	table := s.table(t)
	guess(s.pbxs[0], "203.0.113.5:5060", "TCP", 4)
	guess(s.pbxs[0], "203.0.113.6:5060", "UDP", 4)
	r.wait(t, "banned", "203.0.113.5")
	r.wait(t, "banned", "203.0.113.6")
	r.wait(t, "protected addresses changed", "") // the events' LocalAddress
	name := s.config.Firewall.Table
	for _, damage := range []string{
		"flush ruleset", "delete table inet " + name, "flush set inet " + name + " ban4", "flush table inet " + name,
		"flush chain inet " + name + " pre", "delete element inet " + name + " ban4 { 203.0.113.5 }",
	} {
		t.Run(damage, func(t *testing.T) {
			before := firewalltest.Normalise(s.NFT(t, "list table inet "+name))
			s.NFT(t, damage)
			eventually(t, "the ruleset is as before", func() bool {
				out, err := s.Command("nft", "list table inet "+name)
				return err == nil && firewalltest.Normalise(out) == before
			})
			if el := s.element(t, table, "203.0.113.5/32", all); el == nil || el.Expires < 59*time.Minute || el.Expires > time.Hour {
				t.Errorf("the kernel has %v", el)
			}
		})
	}
	if n := len(r.said("banned", "")); n != 2 {
		t.Errorf("%d bans were told", n)
	}
}

func TestFullKernelSet(t *testing.T) {
	t.Parallel() // it waits most of the time
	s := newSite(t, 1)
	s.config.Firewall.MaxBans = 2
	r := s.start(t)
	for i := range 3 {
		guess(s.pbxs[0], fmt.Sprintf("203.0.113.%d:5060", i+1), "TCP", 4)
	}
	l := r.wait(t, "firewall set is full: the newest bans wait for room", "")
	table := s.table(t)
	// Room comes: somebody takes an element out, which is put back, or waits in its turn.
	bans, err := table.Bans(t.Context())
	if err != nil || len(bans) != 2 {
		t.Fatalf("the kernel has %v, %v", bans, err)
	}
	if n := len(r.said("banned", l.text("source"))); n != 0 {
		t.Error("told as banned")
	}
	// A lift makes room: the address becomes protected.
	s.Run(t, "ip", "addr", "add", bans[0].Prefix.String(), "dev", "lo")
	if l := r.wait(t, "ban lifted", source(bans[0].Prefix)); !strings.HasPrefix(l.text("why"), "protected: ") {
		t.Errorf("lifted %v", l)
	}
	began := time.Now()
	for len(r.said("banned", l.text("source"))) == 0 {
		if time.Since(began) > retryFull+5*time.Second {
			t.Fatalf("the ban of %s does not come", l.text("source"))
		}
		time.Sleep(50 * time.Millisecond)
	}
	if s.element(t, table, l.text("source")+"/32", all) == nil {
		t.Error("the kernel does not have it")
	}
}

// What becomes protected while it is banned is free at once.
func TestProtectedWhileBanned(t *testing.T) {
	s := newSite(t, 2)
	r := s.start(t)
	for _, a := range []string{"203.0.113.1", "203.0.113.2", "203.0.113.3"} {
		guess(s.pbxs[0], a+":5060", "TCP", 4)
		r.wait(t, "banned", a)
	}
	// An own address; the LocalAddress of an event; our own address as a PBX sees it.
	s.Run(t, "ip", "addr", "add", "203.0.113.1/32", "dev", "lo")
	local := amitest.NewPeer("203.0.113.77:5060")
	local.Local = netip.MustParseAddrPort("203.0.113.2:5060")
	s.pbxs[0].Emit(local.GuessAccount("100")...)
	s.pbxs[1].Behave(func(b *amitest.Behaviour) { b.SeenAs = netip.MustParseAddrPort("203.0.113.3:40000") })
	s.pbxs[1].Cut()
	table := s.table(t)
	for a, why := range map[string]string{"203.0.113.1": "protected: ", "203.0.113.2": "protected: server pbx1: LocalAddress", "203.0.113.3": "protected: our own address"} {
		if l := r.wait(t, "ban lifted", a); !strings.HasPrefix(l.text("why"), why) {
			t.Errorf("lifted %v", l)
		}
		if s.element(t, table, a+"/32", all) != nil {
			t.Errorf("the kernel has a ban of %s", a)
		}
		guess(s.pbxs[0], a+":5060", "TCP", 8)
	}
	guess(s.pbxs[0], "203.0.113.99:5060", "TCP", 4)
	r.wait(t, "banned", "203.0.113.99")
	if n := len(r.said("banned", "")); n != 4 {
		t.Errorf("%d bans were told:\n%s", n, r)
	}
	if out := s.NFT(t, "list set inet "+s.config.Firewall.Table+" allow4"); !strings.Contains(out, "203.0.113.3") {
		t.Errorf("the allow set is %s", out)
	}
}

func TestDryRunsLeaveTheKernelAlone(t *testing.T) {
	for name, change := range map[string]func(*config.Config){
		"observe": func(c *config.Config) { c.Observe = true },
		"log":     func(c *config.Config) { c.Firewall.Backend = config.BackendLog },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, 1)
			change(&s.config)
			r := s.start(t)
			guess(s.pbxs[0], "203.0.113.5:5060", "TCP", 4)
			if l := r.wait(t, "would ban", "203.0.113.5"); l.text("attempts") != "4" || l.text("undo") == "" {
				t.Errorf("said %v", l)
			}
			if out := s.NFT(t, "list ruleset"); out != "" {
				t.Errorf("the kernel has %s", out)
			}
			if n := len(r.said("banned", "")); n != 0 {
				t.Error("said `banned`")
			}
			r.stop(t)
			if strings.Contains(r.String(), "stay in the kernel") {
				t.Errorf("no ban is in the kernel:\n%s", r)
			}
		})
	}
}

// Events that were received before the end still ban.
func TestShutdownJudgesWhatWasHeard(t *testing.T) {
	s := newSite(t, 1)
	r := s.start(t)
	for i := range 500 {
		guess(s.pbxs[0], fmt.Sprintf("10.1.%d.%d:5060", i/250, i%250), "TCP", 4)
	}
	r.wait(t, "banned", "10.1.0.0")
	r.stop(t)
	told := len(r.said("banned", ""))
	bans, err := s.table(t).Bans(t.Context())
	if err != nil || len(bans) != told || told == 0 {
		t.Errorf("%d bans told, %d in the kernel, %v", told, len(bans), err)
	}
	l := r.said("amifend stops: its bans stay in the kernel", "")
	if len(l) != 1 || l[0].text("bans") != strconv.Itoa(told) {
		t.Errorf("said %v", l)
	}
}
