package daemon

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
	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
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

	l := r.Wait(t, "banned", "203.0.113.6")
	if n := len(r.Said("banned", "203.0.113.5")); n != 0 {
		t.Error("three attempts were banned")
	}
	if l.Text("scope") != "all" || l.Text("rule") != policy.RuleProvenScore.String() ||
		l.Text("attempts") != "4" {
		t.Errorf("said %v", l)
	}
	if ev := l.Text("evidence"); !strings.Contains(ev, "pbx1: InvalidAccountID") ||
		!strings.Contains(ev, "pbx2: InvalidAccountID") {
		t.Errorf("evidence %q does not name both PBXs", ev)
	}

	until, err := time.Parse(time.RFC3339, l.Text("until"))
	if err != nil || time.Until(until) < 59*time.Minute || time.Until(until) > time.Hour {
		t.Errorf("until %v: %v", until, err)
	}

	table := s.table(t)
	if el := s.element(t, table, "203.0.113.6/32", all); el == nil || el.Expires < 59*time.Minute ||
		el.Expires > time.Hour {
		t.Errorf("the kernel has %v", el)
	}
	if l := r.Wait(t, "banned", "2001:db8::5"); l.Text("scope") != "sip" ||
		!strings.Contains(l.Text("evidence"), "(forgeable by a spoofer)") {
		t.Errorf("said %v", l)
	}
	if el := s.element(t, table, "2001:db8::5/128", sip); el == nil {
		t.Error("the kernel has no ban of the IPv6 attacker")
	}

	guess(s.pbxs[0], "203.0.113.5:5064", "UDP", 1)
	r.Wait(t, "banned", "203.0.113.5")
	if n := len(r.Said("banned", "198.51.100.7")); n != 0 {
		t.Error("an allowlisted source is banned")
	}
	if s.element(t, table, "198.51.100.7/32", all) != nil {
		t.Error("the kernel has a ban of an allowlisted source")
	}

	l = r.Wait(t, "most failures come from one address that is never banned: the PBX does not "+
		"see real sources", "")
	if l.Text("address") != "198.51.100.7" {
		t.Errorf("said %v", l)
	}
}

// The ban is in the kernel before the line is printed: whoever sees the line can rely on it.
func TestLineComesAfterTheElement(t *testing.T) {
	s := newSite(t, 1)
	table := s.table(t)
	missing := make(chan string, 10)
	c := s.config
	_, log := logtest.New()
	up := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	var told atomic.Int32
	go func() {
		done <- Run(ctx, Options{
			Config: &c, Log: log, NetNS: s.FD(), Ready: func() { close(up) },
			Banned: func(b bans.Ban) {
				_, ok, err := table.Element(context.Background(), b.Prefix, b.Scope)
				if !ok || err != nil {
					missing <- b.Source()
				}
				told.Add(1)
			},
		})
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
	r.Wait(t, "banned", "203.0.113.5")
	r.Wait(t, "banned", "203.0.113.6")
	r.Wait(t, "servers name these addresses as their own or ours: each is protected only from what "+
		"its server reports", "") // the events' LocalAddress

	name := s.config.Firewall.Table
	for _, damage := range []string{
		"flush ruleset", "delete table inet " + name, "flush set inet " + name + " ban4",
		"flush table inet " + name, "flush chain inet " + name + " pre",
		"delete element inet " + name + " ban4 { 203.0.113.5 }",
	} {
		t.Run(damage, func(t *testing.T) {
			before := firewalltest.Normalise(s.NFT(t, "list table inet "+name))
			s.NFT(t, damage)
			eventually(t, "the ruleset is as before", func() bool {
				out, err := s.Command("nft", "list table inet "+name)
				return err == nil && firewalltest.Normalise(out) == before
			})
			if el := s.element(t, table, "203.0.113.5/32", all); el == nil ||
				el.Expires < 59*time.Minute || el.Expires > time.Hour {
				t.Errorf("the kernel has %v", el)
			}
		})
	}

	if n := len(r.Said("banned", "")); n != 2 {
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

	l := r.Wait(t, "firewall set is full: the newest bans wait for room", "")
	table := s.table(t)

	// Room comes: somebody takes an element out, which is put back, or waits in its turn.
	elements, err := table.Bans(t.Context())
	if err != nil || len(elements) != 2 {
		t.Fatalf("the kernel has %v, %v", elements, err)
	}
	if n := len(r.Said("banned", l.Text("source"))); n != 0 {
		t.Error("told as banned")
	}

	// A lift makes room: the address becomes protected.
	s.Run(t, "ip", "addr", "add", elements[0].Prefix.String(), "dev", "lo")
	lifted := r.Wait(t, "ban lifted", bans.Source(elements[0].Prefix))
	if !strings.HasPrefix(lifted.Text("why"), "protected: ") {
		t.Errorf("lifted %v", lifted)
	}

	began := time.Now()
	for len(r.Said("banned", l.Text("source"))) == 0 {
		if time.Since(began) > 10*time.Second+5*time.Second {
			t.Fatalf("the ban of %s does not come", l.Text("source"))
		}
		time.Sleep(50 * time.Millisecond)
	}

	if s.element(t, table, l.Text("source")+"/32", all) == nil {
		t.Error("the kernel does not have it")
	}
}

func TestIneffectiveBans(t *testing.T) {
	t.Parallel() // it waits most of the time
	s := newSite(t, 1)
	attacker := firewalltest.New(t)
	firewalltest.Join(t, attacker, s.NS, []string{"203.0.113.5/24", "203.0.113.6/24"},
		[]string{"203.0.113.1/24"})
	file := s.withState(t)
	r := s.start(t)
	port := amitest.NewPeer("203.0.113.5:5060") // reaches a port that is not in sip_ports
	port.Local = netip.MustParseAddrPort("192.0.2.10:5070")
	path := amitest.NewPeer("203.0.113.6:5060") // does not pass this machine
	path.Transport = "TCP"

	end := time.Now().Add(20 * time.Second)
	for n := 0; len(r.Said("ban is ineffective", "")) < 2; n++ {
		s.pbxs[0].Emit(port.GuessAccount(strconv.Itoa(n))...)
		s.pbxs[0].Emit(path.GuessAccount(strconv.Itoa(n))...)
		if time.Sleep(50 * time.Millisecond); time.Now().After(end) {
			t.Fatal("not said")
		}
	}

	banned, err := time.Parse(time.RFC3339Nano, r.Wait(t, "banned", "203.0.113.5").Text("time"))
	if err != nil {
		t.Fatal(err)
	}

	for source, cause := range map[string]string{
		"203.0.113.5": "port not in sip_ports", "203.0.113.6": "traffic does not pass this machine",
	} {
		l := r.Wait(t, "ban is ineffective", source)
		if l.Text("cause") != cause || l.Text("do") == "" || l.Text("dropped") != "0" ||
			l.Text("server") != "pbx1" {
			t.Errorf("said %v", l)
		}
		if at, err := time.Parse(time.RFC3339Nano, l.Text("time")); err != nil ||
			at.Sub(banned) < bans.Grace {
			t.Errorf("said at %v, %v; the ban was at %v", at, err, banned)
		}
	}

	if l := r.Wait(t, "ban is ineffective", "203.0.113.5"); l.Text("port") != "5070" {
		t.Errorf("said %v", l)
	}

	time.Sleep(200 * time.Millisecond)
	r.Count(t, 2, "ban is ineffective", "")
	r.stop(t)

	want := "ineffective_ban 203.0.113.5 pbx1 a ban does nothing: port not in sip_ports, " +
		"ineffective_ban 203.0.113.6 pbx1 a ban does nothing: traffic does not pass this machine"
	got := query(t, file, "SELECT kind || ' ' || source || ' ' || server || ' ' || text "+
		"FROM alerts WHERE advice <> '' ORDER BY source")
	if got != want {
		t.Errorf("alerts: %s\nwant %s", got, want)
	}
}
