package app

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/firewall"
)

// reloading is a running amifend whose config a test changes.
type reloading struct {
	*site
	client  *control.Client
	next    atomic.Pointer[config.Config] // nil: the file is not valid
	ssh     atomic.Pointer[string]        // SSH_CONNECTION
	waitFor func(msg, source string) logLine
	count   func(msg, source string) int
}

func startReloading(t *testing.T, servers int) *reloading {
	t.Helper()
	s := newSite(t, servers)
	r := &reloading{site: s, client: s.withControl(t)}
	said, log := newJournal()
	r.waitFor = func(msg, source string) logLine { t.Helper(); return said.wait(t, msg, source) }
	r.count = func(msg, source string) int { return len(said.said(msg, source)) }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	c := s.config
	go func() {
		getenv := func(name string) string {
			if v := r.ssh.Load(); v != nil && name == "SSH_CONNECTION" {
				return *v
			}
			return ""
		}
		done <- Run(ctx, Options{Config: &c, Log: log, NetNS: s.FD(), Getenv: getenv, Reload: func() (*config.Config, error) {
			if c := r.next.Load(); c != nil {
				return c, nil
			}
			return nil, errors.New("config.toml:3: policy.treshold: unknown key")
		}})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if strings.Contains(said.String(), pbxSecret) {
			t.Error("the log holds the secret")
		}
	})
	ready(t, r.client)
	for _, pbx := range s.pbxs {
		logins(t, pbx, 1)
	}
	return r
}

// logins waits until a PBX has as many sessions.
func logins(t *testing.T, pbx *amitest.PBX, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := pbx.WaitSessions(ctx, n); err != nil {
		t.Fatal(err)
	}
}

// change makes the next config of the one in force.
func (r *reloading) change(f func(*config.Config)) {
	c := r.config
	c.Servers = append([]config.Server(nil), c.Servers...)
	f(&c)
	r.next.Store(&c)
}

func (r *reloading) reload(t *testing.T) control.Reloaded {
	t.Helper()
	out, err := r.client.Reload(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A bad file changes nothing and says why.
func TestReloadOfABadConfig(t *testing.T) {
	r := startReloading(t, 1)
	_, err := r.client.Reload(t.Context())
	if control.CodeOf(err) != control.CodeInvalidConfig || !strings.Contains(err.Error(), "nothing was changed") || !strings.Contains(err.Error(), "policy.treshold: unknown key") {
		t.Errorf("error %v", err)
	}
	r.change(func(c *config.Config) {
		c.Allow = append(c.Allow, netip.MustParsePrefix("203.0.113.0/24"))
		c.Servers = append(c.Servers, config.Server{Name: "new", Address: "127.0.0.1:1", Host: "127.0.0.1", Username: "x", Secret: ami.NewSecret("x"), TLS: &config.TLS{CAFile: "/does/not/exist"}})
	})
	if _, err := r.client.Reload(t.Context()); control.CodeOf(err) != control.CodeInvalidConfig || !strings.Contains(err.Error(), "server new") {
		t.Errorf("error %v", err)
	}
	guess(r.pbxs[0], "203.0.113.5:5060", "TCP", 4) // the allowlist of the refused config does not count
	r.waitFor("banned", "203.0.113.5")
	if n := len(r.pbxs[0].Accepted()); n != 1 {
		t.Errorf("connected %d times", n)
	}
}

// What did not change goes on: its connection, its scores, its bans.
func TestReloadOfServers(t *testing.T) {
	r := startReloading(t, 2)
	guess(r.pbxs[0], "203.0.113.5:5060", "TCP", 4)
	guess(r.pbxs[0], "203.0.113.6:5060", "TCP", 2) // a score of 2
	r.waitFor("banned", "203.0.113.5")
	third := amitest.Run(t, amitest.Config{Username: pbxUser, Secret: pbxSecret})
	r.change(func(c *config.Config) {
		added := c.Servers[0]
		added.Name, added.Address = "pbx3", third.Addr()
		c.Servers = []config.Server{added, c.Servers[0]}
	})
	out := r.reload(t)
	if got := strings.Join(out.Changed, ", "); got != "server pbx3, server pbx2 (gone)" || len(out.Restart) != 0 {
		t.Errorf("changed %q, restart %q", got, out.Restart)
	}
	logins(t, third, 1)
	eventually(t, "the session with pbx2 has ended", func() bool { return len(r.pbxs[1].Accepted()) == 1 && r.pbxs[1].Sessions() == 0 })
	guess(third, "203.0.113.6:5061", "TCP", 2)
	l := r.waitFor("banned", "203.0.113.6")
	if ev := l.text("evidence"); !strings.Contains(ev, "pbx1: ") || !strings.Contains(ev, "pbx3: ") {
		t.Errorf("the evidence is %q", ev)
	}
	if n := len(r.pbxs[0].Accepted()); n != 1 {
		t.Errorf("pbx1 was connected to %d times", n)
	}
	if r.element(t, r.table(t), "203.0.113.5/32", all) == nil {
		t.Error("a ban is lost")
	}
	st, err := r.client.Status(t.Context())
	if err != nil || len(st.Servers) != 2 || st.Servers[0].Name != "pbx3" || st.Servers[1].Name != "pbx1" {
		t.Errorf("status %+v, %v", st.Servers, err)
	}

	// Another secret of the same server: its session is made anew, and no other.
	r.change(func(c *config.Config) { c.Servers[0].Secret = ami.NewSecret("another") })
	if out := r.reload(t); strings.Join(out.Changed, ", ") != "server pbx1, server pbx2, server pbx3 (gone)" {
		t.Errorf("changed %q", out.Changed)
	}
	r.change(func(*config.Config) {})
	if out := r.reload(t); strings.Join(out.Changed, ", ") != "server pbx1" {
		t.Errorf("changed %q", out.Changed)
	}
	logins(t, r.pbxs[0], 1)
	logins(t, r.pbxs[1], 1)
	if out := r.reload(t); len(out.Changed) != 0 {
		t.Errorf("changed %q by the same config", out.Changed)
	}
}

func TestReloadOfListsAndPorts(t *testing.T) {
	r := startReloading(t, 1)
	guess(r.pbxs[0], "203.0.113.5:5060", "TCP", 4)
	guess(r.pbxs[0], "203.0.113.6:5060", "UDP", 4)
	r.waitFor("banned", "203.0.113.5")
	r.waitFor("banned", "203.0.113.6")
	r.change(func(c *config.Config) {
		c.Allow = []netip.Prefix{netip.MustParsePrefix("203.0.113.5/32")} // and 198.51.100.0/24 no longer
		c.Firewall.SIPPorts = firewall.SIPPorts{{Protocol: firewall.UDP, First: 5160, Last: 5160}}
		c.Firewall.MaxBans, c.Observe = 77, true
	})
	out := r.reload(t)
	if got := strings.Join(out.Changed, ", "); got != "[firewall] sip_ports, [allow] prefixes" {
		t.Errorf("changed %q", got)
	}
	if got := strings.Join(out.Restart, ", "); got != "[policy] observe, [firewall] backend, table or max_bans" {
		t.Errorf("restart %q", got)
	}
	r.waitFor("ban lifted", "203.0.113.5")
	table := r.table(t)
	if el := r.element(t, table, "203.0.113.6/32", sip); el == nil || el.Expires < 9*time.Minute {
		t.Errorf("the other ban: %v", el)
	}
	rules := r.NFT(t, "list table inet "+r.config.Firewall.Table)
	if !strings.Contains(rules, "5160") || strings.Contains(rules, "5061") {
		t.Errorf("the rules:\n%s", rules)
	}
	eventually(t, "what is no longer allowed is banned", func() bool {
		guess(r.pbxs[0], "198.51.100.7:5060", "TCP", 1)
		return r.count("banned", "198.51.100.7") > 0
	})
	if st, err := r.client.Status(t.Context()); err != nil || st.Observe {
		t.Errorf("observe is in force without a restart: %v", err)
	}
}

// A new policy counts from the next attempt on: what was held against a source is not forgotten, and no ban is.
func TestReloadOfThePolicy(t *testing.T) {
	r := startReloading(t, 1)
	guess(r.pbxs[0], "203.0.113.5:5060", "TCP", 4)
	guess(r.pbxs[0], "203.0.113.6:5060", "TCP", 2) // a score of 2
	r.waitFor("banned", "203.0.113.5")
	r.change(func(c *config.Config) { c.Policy.Threshold, c.Policy.BanTime = 2.5, 2*time.Hour })
	if out := r.reload(t); strings.Join(out.Changed, ", ") != "[policy]" || len(out.Restart) != 0 {
		t.Errorf("changed %q, restart %q", out.Changed, out.Restart)
	}
	if n := r.count("banned", "203.0.113.6"); n != 0 {
		t.Errorf("banned %d times before its next attempt", n)
	}
	guess(r.pbxs[0], "203.0.113.6:5061", "TCP", 1)
	r.waitFor("banned", "203.0.113.6")
	table := r.table(t)
	eventually(t, "the ban is in the kernel, for the new time", func() bool {
		el := r.element(t, table, "203.0.113.6/32", all)
		return el != nil && el.Expires > 119*time.Minute
	})
	if el := r.element(t, table, "203.0.113.5/32", all); el == nil || el.Expires > time.Hour || el.Expires < 50*time.Minute {
		t.Errorf("the ban from before: %v", el)
	}
	if out := r.reload(t); len(out.Changed) != 0 {
		t.Errorf("changed %q by the same config", out.Changed)
	}
	r.change(func(c *config.Config) { c.Policy.MaxBans, c.Policy.MaxSources, c.Firewall.MaxBans = 77, 1000, 77 })
	if out := r.reload(t); strings.Join(out.Changed, ", ") != "[policy]" || strings.Join(out.Restart, ", ") != "[firewall] backend, table or max_bans" {
		t.Errorf("changed %q, restart %q", out.Changed, out.Restart) // the threshold and ban_time of before
	}
}

// SIGHUP does the same.
func TestHangup(t *testing.T) {
	r := startReloading(t, 1)
	hangUp := func() {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	hangUp()
	if l := r.waitFor("the config was not reloaded: what was goes on", ""); !strings.Contains(l.text("err"), "policy.treshold") {
		t.Errorf("said %v", l)
	}
	r.change(func(c *config.Config) { c.Allow = nil })
	hangUp()
	if l := r.waitFor("the config was reloaded", ""); !strings.Contains(l.text("changed"), "[allow] prefixes") {
		t.Errorf("said %v", l)
	}
}
