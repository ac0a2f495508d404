package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce/enforcetest"
	"github.com/amifend/amifend/cmd/amifend/internal/judge"
	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/firewall/firewalltest"
	"github.com/amifend/amifend/policy"
)

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
		return firewall.Change{
			Ban: firewall.Ban{
				Prefix: netip.MustParsePrefix(p), Scope: scope, Until: time.Now().Add(d),
			},
		}
	}
	if _, err := table.Apply(t.Context(), []firewall.Change{
		ban("203.0.113.5/32", all, 2*time.Hour), ban("203.0.113.6/32", all, 2*time.Hour),
		ban("203.0.113.6/32", sip, 3*time.Hour), ban("203.0.113.7/32", sip, 300*time.Hour),
		ban("198.51.100.9/32", all, time.Hour), ban("2001:db8::/64", all, time.Hour),
		ban("127.0.0.1/32", sip, time.Hour),
	}); err != nil {
		t.Fatal(err)
	}

	s.NFT(t, "add element inet "+name+" ban4 { 203.0.113.66 }")
	s.NFT(t, "add element inet "+name+" ban4_24 { 203.0.113.99 timeout 1h }") // matches no packet

	r := s.start(t)
	if l := r.Wait(t, "amifend runs", ""); l.Text("adopted") != "5" {
		t.Errorf("adopted %s", l.Text("adopted"))
	}

	for source, why := range map[string]string{
		"198.51.100.9": "protected: allowlist", "127.0.0.1": "protected: loopback",
		"203.0.113.66":    "it would never run out",
		"203.0.113.99/24": "it matches no packet: not a prefix of this set",
	} {
		if l := r.Wait(t, "ban lifted", source); !strings.HasPrefix(l.Text("why"), why) {
			t.Errorf("lifted: %v", l)
		}
	}

	r.Wait(t, "a ban of a run before is longer than ban_max: shortened", "203.0.113.7")
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
		if el := s.element(t, table, e.prefix, e.scope); el == nil || el.Expires > e.left ||
			el.Expires < e.left-time.Minute {
			t.Errorf("%s %s: the kernel has %v", e.prefix, e.scope, el)
		}
	}

	elements, err := table.Bans(t.Context())
	if err != nil || len(elements) != 5 {
		t.Errorf("the kernel has %v, %v", elements, err)
	}
	if n := len(r.Said("banned", "")); n != 0 {
		t.Errorf("%d adopted bans were told as new", n)
	}

	// An adopted ban covers its source.
	guess(s.pbxs[0], "203.0.113.5:5060", "TCP", 10)
	guess(s.pbxs[0], "203.0.113.50:5060", "TCP", 4)
	r.Wait(t, "banned", "203.0.113.50")
	if n := len(r.Said("banned", "203.0.113.5")); n != 0 {
		t.Error("banned again")
	}
}

// A flood is dropped throughout a restart.
func TestRestartLeavesNoGap(t *testing.T) {
	for transport, scope := range map[string]firewall.Scope{"TCP": all, "UDP": sip} {
		t.Run("scope "+scope.String(), func(t *testing.T) { testRestart(t, transport) })
	}
}

func testRestart(t *testing.T, transport string) {
	s := newSite(t, 1)
	attacker := firewalltest.New(t)
	firewalltest.Join(t, attacker, s.NS, []string{"203.0.113.5/24"}, []string{"203.0.113.1/24"})
	sink := s.ListenUDP(t, "203.0.113.1:5060")
	r := s.start(t)
	if l := r.Wait(t, "amifend runs", ""); l.Text("adopted") != "0" {
		t.Errorf("adopted %s", l.Text("adopted"))
	}

	guess(s.pbxs[0], "203.0.113.5:5060", transport, 4)
	r.Wait(t, "banned", "203.0.113.5")
	received := firewalltest.Count(sink)

	sent := firewalltest.Flood(attacker.DialUDP(t, "203.0.113.5:5060", "203.0.113.1:5060"))
	for range 5 {
		r.stop(t)
		r = s.start(t)
		if l := r.Wait(t, "amifend runs", ""); l.Text("adopted") != "1" {
			t.Errorf("adopted %s", l.Text("adopted"))
		}
	}

	n := sent()
	if got := received(); got != 0 || n == 0 {
		t.Errorf("%d of %d packets got through", got, n)
	}
}

// The allowlist is in the kernel from the first transaction on, before any list of protected
// addresses changes.
func TestAllowlistFromTheStart(t *testing.T) {
	s := newSite(t, 0) // no PBX: nothing is learned that would hand out a new list
	s.start(t)
	set := s.NFT(t, "list", "set", "inet", s.config.Firewall.Table, "allow4")
	if !strings.Contains(set, "198.51.100.0/24") {
		t.Errorf("the allowlist is not in the kernel:\n%s", set)
	}
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
	c.State.Directory = t.TempDir()
	said, log := logtest.New()
	var foreign *firewall.ForeignError
	if err := Run(t.Context(), Options{
		Config: &c, Log: log, NetNS: s.FD(),
	}); !errors.As(err, &foreign) {
		t.Errorf("a foreign table: %v", err)
	}

	if strings.Contains(said.String(), "cannot be read") {
		t.Errorf("the journal has nothing to do with it:\n%s", said)
	}
}

// parts are those that adopt takes bans over into, on a fake kernel.
func parts(t *testing.T, log *slog.Logger, change func(*config.Config)) (
	*shared, *judge.Judge, *enforce.Enforcer, *enforcetest.Kernel,
) {
	t.Helper()
	c := &config.Config{
		Policy: policy.DefaultOptions(), Servers: []config.Server{{Name: "pbx", Host: "127.0.0.1"}},
		Firewall: config.Firewall{SIPPorts: firewall.DefaultSIPPorts()},
	}
	if change != nil {
		change(c)
	}
	startup := newStartup(Options{})
	t.Cleanup(startup.stop)
	s := newShared(Options{Config: c, Log: log}, startup, begin{}, func() {})
	kernel := enforcetest.NewKernel()
	denier := enforce.NewDenier(enforce.DenierOptions{
		Table: kernel, Log: log, Never: func() protect.Set { return protect.Set{} },
	})
	j, err := newJudge(s, protect.Set{})
	if err != nil {
		t.Fatal(err)
	}

	return s, j, newEnforcer(s, kernel, denier.LaidOut), kernel
}

// More bans are in the kernel than the policy has room for: they stay as they are, and it is told.
func TestAdoptionOfTooMany(t *testing.T) {
	said, log := logtest.New()
	s, j, e, kernel := parts(t, log, func(c *config.Config) { c.Policy.MaxBans = 2 })
	for _, prefix := range []string{"203.0.113.1/32", "203.0.113.2/32", "203.0.113.3/32"} {
		kernel.Elems[enforcetest.Key(prefix, all)] = time.Now().Add(time.Hour)
	}

	n, err := adopt(t.Context(), s, j, e)
	if err != nil || n != (enforce.Adopted{Kernel: 3}) || e.Held() != 3 {
		t.Errorf("adopted %+v, %v: %d", n, err, e.Held())
	}

	said.Count(t, 1, "alert", "")
	said.Count(t, 3, "adopted", "")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e.Run(ctx) // delivers what is to be changed
	if got := kernel.Has(); len(got) != 3 {
		t.Errorf("the kernel has %q", got)
	}
}

// The start fails, with the reason, when the kernel refuses.
func TestAdoptionFails(t *testing.T) {
	for name, breakIt := range map[string]func(*enforcetest.Kernel){
		"broken":        func(k *enforcetest.Kernel) { k.Broken = errors.New("no buffer space") },
		"no permission": func(k *enforcetest.Kernel) { k.Fail = []error{firewall.ErrPermission} },
	} {
		t.Run(name, func(t *testing.T) {
			s, j, e, kernel := parts(t, slog.New(slog.DiscardHandler), nil)
			breakIt(kernel)
			if _, err := adopt(t.Context(), s, j, e); err == nil {
				t.Error("started")
			}
		})
	}
}
