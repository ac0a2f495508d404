package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/firewall/firewalltest"
	"github.com/amifend/amifend/policy"
)

const (
	pbxUser   = "amifend"
	pbxSecret = "s3cret-Of-The-Tests"
)

// tables numbers the tables of this process: their locks belong to the namespace that all tests share.
var tables atomic.Int32

// site is a machine with amifend and PBXs: real AMI over loopback, a real kernel in a namespace of its own.
type site struct {
	*firewalltest.NS
	config config.Config
	pbxs   []*amitest.PBX
}

func newSite(t *testing.T, servers int) *site {
	t.Helper()
	s := &site{NS: firewalltest.New(t)}
	opts := policy.DefaultOptions()
	s.config = config.Config{
		Policy: opts,
		Allow:  []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")},
		Firewall: config.Firewall{
			Backend: config.BackendNftables, Table: fmt.Sprintf("amifend-%d-%d", os.Getpid(), tables.Add(1)),
			SIPPorts: firewall.DefaultSIPPorts(), MaxBans: 1000,
		},
	}
	for i := range servers {
		pbx := amitest.Run(t, amitest.Config{Username: pbxUser, Secret: pbxSecret})
		s.pbxs = append(s.pbxs, pbx)
		s.config.Servers = append(s.config.Servers, config.Server{
			Name: "pbx" + strconv.Itoa(i+1), Address: pbx.Addr(), Host: "127.0.0.1", Username: pbxUser, Secret: ami.NewSecret(pbxSecret),
		})
	}
	return s
}

// running is one run of amifend at a site.
type running struct {
	*journal
	cancel context.CancelFunc
	done   chan error
}

// start runs amifend and waits until it is logged in everywhere.
func (s *site) start(t *testing.T) *running {
	t.Helper()
	j, log := newJournal()
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{journal: j, cancel: cancel, done: make(chan error, 1)}
	c := s.config
	go func() { r.done <- Run(ctx, Options{Config: &c, Log: log, NetNS: s.FD()}) }()
	t.Cleanup(func() {
		r.stop(t)
		if strings.Contains(j.String(), pbxSecret) {
			t.Error("the log holds the secret")
		}
		if t.Failed() {
			t.Logf("the log:\n%s", j)
		}
	})
	j.wait(t, "amifend runs", "")
	for _, pbx := range s.pbxs {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := pbx.WaitSessions(ctx, 1); err != nil {
			t.Fatalf("not logged in: %v\n%s", err, j)
		}
	}
	return r
}

// stop ends the run in order.
func (r *running) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	select {
	case err, ok := <-r.done:
		if ok && err != nil {
			t.Errorf("amifend ended with %v", err)
		}
		if ok {
			close(r.done)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("amifend does not end:\n%s", r)
	}
}

// table opens the site's table for a look at it.
func (s *site) table(t *testing.T) *firewall.Table {
	t.Helper()
	table, err := firewall.Open(firewall.Options{Table: s.config.Firewall.Table, NetNS: s.FD(), MaxBans: s.config.Firewall.MaxBans})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() })
	return table
}

// element reads one element; it is nil when the kernel does not have it.
func (s *site) element(t *testing.T, table *firewall.Table, prefix string, scope firewall.Scope) *firewall.Element {
	t.Helper()
	el, ok, err := table.Element(t.Context(), netip.MustParsePrefix(prefix), scope)
	if err != nil && !errors.Is(err, firewall.ErrGone) {
		t.Fatal(err)
	}
	if !ok {
		return nil
	}
	return &el
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// guess has an attacker try accounts, one request each.
func guess(pbx *amitest.PBX, addr, transport string, n int) {
	p := amitest.NewPeer(addr)
	p.Transport = transport
	for i := range n {
		pbx.Emit(p.GuessAccount(strconv.Itoa(100 + i))...)
	}
}

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
	if l := r.wait(t, "banned", "2001:db8::5"); l.text("scope") != "sip" || !strings.Contains(l.text("evidence"), "(forgeable)") {
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
		guess(s.pbxs[0], fmt.Sprintf("203.0.113.%d:5060", i+1), "TCP", 4)
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

// What a run before left in the kernel is taken over, as far as it may be.
func TestAdoption(t *testing.T) {
	s := newSite(t, 1)
	s.config.Policy.BanMax = 24 * time.Hour
	table := s.table(t)
	if err := table.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	name := s.config.Firewall.Table
	ban := func(p string, scope firewall.Scope, d time.Duration) firewall.Change {
		return firewall.Change{Ban: firewall.Ban{Prefix: netip.MustParsePrefix(p), Scope: scope, Until: time.Now().Add(d)}}
	}
	if _, err := table.Apply(t.Context(), []firewall.Change{
		ban("203.0.113.5/32", all, 2*time.Hour), ban("203.0.113.6/32", all, 2*time.Hour), ban("203.0.113.6/32", sip, 3*time.Hour),
		ban("203.0.113.7/32", sip, 300*time.Hour), ban("198.51.100.9/32", all, time.Hour), ban("2001:db8::/64", all, time.Hour),
		ban("127.0.0.1/32", sip, time.Hour),
	}); err != nil {
		t.Fatal(err)
	}
	s.NFT(t, "add element inet "+name+" ban4 { 203.0.113.66 }")
	s.NFT(t, "add element inet "+name+" ban4_24 { 203.0.113.99 timeout 1h }") // matches no packet

	r := s.start(t)
	if l := r.wait(t, "amifend runs", ""); l.text("adopted") != "5" {
		t.Errorf("adopted %s", l.text("adopted"))
	}
	for source, why := range map[string]string{
		"198.51.100.9": "protected: allowlist", "127.0.0.1": "protected: loopback", "203.0.113.66": whyEndless, "203.0.113.99/24": whyUnmasked,
	} {
		if l := r.wait(t, "ban lifted", source); !strings.HasPrefix(l.text("why"), why) {
			t.Errorf("lifted: %v", l)
		}
	}
	r.wait(t, "a ban in the kernel is longer than ban_max: shortened", "203.0.113.7")
	eventually(t, "a ban is shortened", func() bool {
		el := s.element(t, table, "203.0.113.7/32", sip)
		return el != nil && el.Expires <= 24*time.Hour && el.Expires > 23*time.Hour
	})
	for _, e := range []struct {
		prefix string
		scope  firewall.Scope
		left   time.Duration
	}{
		{"203.0.113.5/32", all, 2 * time.Hour},
		{"203.0.113.6/32", all, 2 * time.Hour},
		{"203.0.113.6/32", sip, 3 * time.Hour},
		{"2001:db8::/64", all, time.Hour},
	} {
		if el := s.element(t, table, e.prefix, e.scope); el == nil || el.Expires > e.left || el.Expires < e.left-time.Minute {
			t.Errorf("%s %s: the kernel has %v", e.prefix, e.scope, el)
		}
	}
	elements, err := table.Bans(t.Context())
	if err != nil || len(elements) != 5 {
		t.Errorf("the kernel has %v, %v", elements, err)
	}
	if n := len(r.said("banned", "")); n != 0 {
		t.Errorf("%d adopted bans were told as new", n)
	}
	// An adopted ban covers its source.
	guess(s.pbxs[0], "203.0.113.5:5060", "TCP", 10)
	guess(s.pbxs[0], "203.0.113.50:5060", "TCP", 4)
	r.wait(t, "banned", "203.0.113.50")
	if n := len(r.said("banned", "203.0.113.5")); n != 0 {
		t.Error("banned again")
	}
}

// A flood is dropped throughout a restart.
func TestRestartLeavesNoGap(t *testing.T) {
	s := newSite(t, 1)
	attacker := firewalltest.New(t)
	firewalltest.Join(t, attacker, s.NS, []string{"203.0.113.5/24"}, []string{"203.0.113.1/24"})
	sink := s.ListenUDP(t, "203.0.113.1:5060")
	r := s.start(t)
	if l := r.wait(t, "amifend runs", ""); l.text("adopted") != "0" {
		t.Errorf("adopted %s", l.text("adopted"))
	}
	guess(s.pbxs[0], "203.0.113.5:5060", "TCP", 4) // scope all
	r.wait(t, "banned", "203.0.113.5")
	received := firewalltest.Count(sink)
	sent := firewalltest.Flood(attacker.DialUDP(t, "203.0.113.5:5060", "203.0.113.1:5060"))
	for range 5 {
		r.stop(t)
		r = s.start(t)
		if l := r.wait(t, "amifend runs", ""); l.text("adopted") != "1" {
			t.Errorf("adopted %s", l.text("adopted"))
		}
	}
	n := sent()
	if got := received(); got != 0 || n == 0 {
		t.Errorf("%d of %d packets got through", got, n)
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

func TestIneffectiveBans(t *testing.T) {
	t.Parallel() // it waits most of the time
	s := newSite(t, 1)
	attacker := firewalltest.New(t)
	firewalltest.Join(t, attacker, s.NS, []string{"203.0.113.5/24", "203.0.113.6/24"}, []string{"203.0.113.1/24"})
	r := s.start(t)
	port := amitest.NewPeer("203.0.113.5:5060") // reaches a port that is not in sip_ports
	port.Local = netip.MustParseAddrPort("192.0.2.10:5070")
	path := amitest.NewPeer("203.0.113.6:5060") // does not pass this machine
	path.Transport = "TCP"
	end := time.Now().Add(20 * time.Second)
	for n := 0; len(r.said("ban is ineffective", "")) < 2; n++ {
		s.pbxs[0].Emit(port.GuessAccount(strconv.Itoa(n))...)
		s.pbxs[0].Emit(path.GuessAccount(strconv.Itoa(n))...)
		if time.Sleep(50 * time.Millisecond); time.Now().After(end) {
			t.Fatal("not said")
		}
	}
	banned, err := time.Parse(time.RFC3339Nano, r.wait(t, "banned", "203.0.113.5").text("time"))
	if err != nil {
		t.Fatal(err)
	}
	for source, cause := range map[string]string{"203.0.113.5": causePort, "203.0.113.6": causePath} {
		l := r.wait(t, "ban is ineffective", source)
		if l.text("cause") != cause || l.text("do") == "" || l.text("dropped") != "0" || l.text("server") != "pbx1" {
			t.Errorf("said %v", l)
		}
		if at, err := time.Parse(time.RFC3339Nano, l.text("time")); err != nil || at.Sub(banned) < grace {
			t.Errorf("said at %v, %v; the ban was at %v", at, err, banned)
		}
	}
	if l := r.wait(t, "ban is ineffective", "203.0.113.5"); l.text("port") != "5070" {
		t.Errorf("said %v", l)
	}
	time.Sleep(200 * time.Millisecond)
	r.count(t, 2, "ban is ineffective", "")
}

func TestSecondInstance(t *testing.T) {
	s := newSite(t, 1)
	s.start(t)
	c := s.config
	err := Run(t.Context(), Options{Config: &c, Log: slog.New(slog.DiscardHandler), NetNS: s.FD()})
	if !errors.Is(err, firewall.ErrLocked) {
		t.Errorf("a second instance: %v", err)
	}
}

func TestForeignTable(t *testing.T) {
	s := newSite(t, 1)
	s.NFT(t, "add table inet "+s.config.Firewall.Table)
	s.NFT(t, "add chain inet "+s.config.Firewall.Table+" mine")
	c := s.config
	var foreign *firewall.ForeignError
	if err := Run(t.Context(), Options{Config: &c, Log: slog.New(slog.DiscardHandler), NetNS: s.FD()}); !errors.As(err, &foreign) {
		t.Errorf("a foreign table: %v", err)
	}
}

// A PBX that is not there at the start, or goes away, is told and tried again; the others are judged meanwhile.
func TestOnePBXIsAway(t *testing.T) {
	s := newSite(t, 2)
	s.pbxs[1].Stop()
	pbxs := s.pbxs
	s.pbxs = pbxs[:1]
	r := s.start(t)
	if l := r.wait(t, "AMI session cannot be made", ""); l.text("server") != "pbx2" || l.text("problem") != "refused" || l.text("do") == "" {
		t.Errorf("said %v", l)
	}
	guess(pbxs[0], "203.0.113.5:5060", "TCP", 4)
	r.wait(t, "banned", "203.0.113.5")
	if err := pbxs[1].Start(); err != nil {
		t.Fatal(err)
	}
	if err := pbxs[1].WaitSessions(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	guess(pbxs[1], "203.0.113.6:5060", "TCP", 4)
	r.wait(t, "banned", "203.0.113.6")
	pbxs[0].Cut()
	if l := r.wait(t, "AMI session is lost: events may be missed until it is back", ""); l.text("server") != "pbx1" {
		t.Errorf("said %v", l)
	}
	eventually(t, "the gap is told", func() bool {
		for _, l := range r.said("AMI session is up", "") {
			if l.text("server") == "pbx1" && l.text("gaps") == "1" && l.text("gap") != "" {
				return true
			}
		}
		return false
	})
}

// Warnings are told at the start: of the config, and of how a server is reached.
func TestWarnings(t *testing.T) {
	s := newSite(t, 1)
	s.config.Warnings = []string{"config.toml can be read by every user of this machine"}
	server := s.config.Servers[0]
	server.Name, server.Address, server.Host = "far", net.JoinHostPort("192.0.2.200", "5038"), "192.0.2.200"
	server.TLS = &config.TLS{InsecureSkipVerify: true}
	d, err := newDaemon(Options{Config: &s.config, Log: slog.New(slog.DiscardHandler)}, dryTable{}, protectNothing())
	if err != nil {
		t.Fatal(err)
	}
	j, log := newJournal()
	d.Log = log
	plain := server
	plain.TLS, plain.Name = nil, "plain"
	c := s.config
	c.Servers = []config.Server{server, plain}
	d.Config = &c
	if _, err := d.sessions(nil); err != nil { // connects to nothing
		t.Fatal(err)
	}
	for server, want := range map[string]string{"far": "insecure_skip_verify", "plain": "AMI without TLS"} {
		if !strings.Contains(j.String(), want) || !strings.Contains(j.String(), `"server":"`+server+`"`) {
			t.Errorf("no warning %q of %s:\n%s", want, server, j)
		}
	}
	s.start(t).wait(t, s.config.Warnings[0], "")
}
