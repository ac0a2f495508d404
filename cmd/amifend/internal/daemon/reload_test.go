package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// reloading is a running amifend whose config a test changes.
type reloading struct {
	*site
	client  *control.Client
	next    atomic.Pointer[config.Config] // nil: the file is not valid
	hang    atomic.Pointer[chan struct{}] // the file system answers when it is closed; nil: it does
	status  atomic.Pointer[string]        // as systemd has it
	ssh     atomic.Pointer[string]        // SSH_CONNECTION
	waitFor func(msg, source string) logtest.Line
	Count   func(msg, source string) int
}

func startReloading(t *testing.T, servers int, change ...func(*config.Config)) *reloading {
	t.Helper()
	s := newSite(t, servers)
	for _, f := range change {
		f(&s.config)
	}
	r := &reloading{site: s, client: s.withControl(t)}
	said, log := logtest.New()
	r.waitFor = func(msg, source string) logtest.Line {
		t.Helper()
		return said.Wait(t, msg, source)
	}
	r.Count = func(msg, source string) int { return len(said.Said(msg, source)) }
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

		done <- Run(ctx, Options{
			Config: &c, Log: log, NetNS: s.FD(), Getenv: getenv,
			Status: func(text string) { r.status.Store(&text) },
			Reload: func() (*config.Config, error) {
				if c := r.hang.Load(); c != nil {
					<-*c
				}
				if c := r.next.Load(); c != nil {
					return c, nil
				}
				return nil, errors.New("config.toml:3: policy.treshold: unknown key")
			},
		})
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
	if control.CodeOf(err) != control.CodeInvalidConfig ||
		!strings.Contains(err.Error(), "nothing was changed") ||
		!strings.Contains(err.Error(), "policy.treshold: unknown key") {
		t.Errorf("error %v", err)
	}

	r.change(func(c *config.Config) {
		c.Allow = append(c.Allow, netip.MustParsePrefix("203.0.113.0/24"))
		c.Servers = append(
			c.Servers,
			config.Server{
				Name:     "new",
				Address:  "127.0.0.1:1",
				Host:     "127.0.0.1",
				Username: "x",
				Secret:   ami.NewSecret("x"),
				TLS:      &config.TLS{CAFile: "/does/not/exist"},
			},
		)
	})

	if _, err := r.client.Reload(t.Context()); control.CodeOf(err) != control.CodeInvalidConfig ||
		!strings.Contains(err.Error(), "server new") {
		t.Errorf("error %v", err)
	}

	// The allowlist of the refused config does not count.
	guess(r.pbxs[0], "203.0.113.5:5060", "TCP", 4)
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
		added.Name = "pbx3"
		added.Address = third.Addr()
		c.Servers = []config.Server{added, c.Servers[0]}
	})

	out := r.reload(t)
	if got := strings.Join(out.Changed, ", "); got != "server pbx3, server pbx2 (gone)" ||
		len(out.Restart) != 0 {
		t.Errorf("changed %q, restart %q", got, out.Restart)
	}

	logins(t, third, 1)
	eventually(t, "the session with pbx2 has ended",
		func() bool { return len(r.pbxs[1].Accepted()) == 1 && r.pbxs[1].Sessions() == 0 })
	guess(third, "203.0.113.6:5061", "TCP", 2)
	l := r.waitFor("banned", "203.0.113.6")
	if ev := l.Text("evidence"); !strings.Contains(ev, "pbx1: ") ||
		!strings.Contains(ev, "pbx3: ") {
		t.Errorf("the evidence is %q", ev)
	}

	if n := len(r.pbxs[0].Accepted()); n != 1 {
		t.Errorf("pbx1 was connected to %d times", n)
	}
	if r.element(t, r.table(t), "203.0.113.5/32", all) == nil {
		t.Error("a ban is lost")
	}

	st, err := r.client.Status(t.Context())
	if err != nil || len(st.Servers) != 2 || st.Servers[0].Name != "pbx3" ||
		st.Servers[1].Name != "pbx1" {
		t.Errorf("status %+v, %v", st.Servers, err)
	}

	// Another secret of the same server: its session is made anew, and no other.
	r.change(func(c *config.Config) { c.Servers[0].Secret = ami.NewSecret("another") })
	if out := r.reload(t); strings.Join(out.Changed, ", ") !=
		"server pbx1, server pbx2, server pbx3 (gone)" {
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
		// 198.51.100.0/24 is no longer allowed.
		c.Allow = []netip.Prefix{netip.MustParsePrefix("203.0.113.5/32")}
		c.Firewall.SIPPorts = firewall.PortRanges{{Protocol: firewall.UDP, First: 5160, Last: 5160}}
		c.Firewall.MaxBans = 77
	})

	out := r.reload(t)
	if got := strings.Join(out.Changed, ", "); got != "[firewall] sip_ports, [allow] prefixes" {
		t.Errorf("changed %q", got)
	}
	if got := strings.Join(out.Restart, ", "); got != "[firewall] backend, table or max_bans" {
		t.Errorf("restart %q", got)
	}

	// systemctl and amifend status say it until the file has the old values again.
	const restart = "restart needed: "
	if got := *r.status.Load(); !strings.HasPrefix(got, restart) ||
		!strings.Contains(got, "max_bans") {
		t.Errorf("systemd is told %q", got)
	}
	if st, err := r.client.Status(t.Context()); err != nil ||
		!slices.ContainsFunc(st.Health, func(w control.Warning) bool {
			return strings.HasPrefix(w.What, restart)
		}) {
		t.Errorf("status: %v, %v", st.Health, err)
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
		return r.Count("banned", "198.51.100.7") > 0
	})
}

// A reload changes who is told, and a test shows that it does.
func TestReloadOfNotify(t *testing.T) {
	confineRequests(t)
	url, calls := hook(t)
	r := startReloading(t, 1)
	q := control.TestNotify{Name: "hook"}
	if _, err := r.client.TestNotify(t.Context(), q); control.CodeOf(err) != control.CodeBadRequest {
		t.Errorf("without targets: %v", err)
	}

	r.change(func(c *config.Config) { c.Notify = []config.Target{targetOf("hook", url)} })
	if out := r.reload(t); strings.Join(out.Changed, ", ") != "[[notify]]" || len(out.Restart) != 0 {
		t.Errorf("reloaded: %+v", out)
	}
	eventually(t, "the new target takes a test", func() bool {
		out, err := r.client.TestNotify(t.Context(), q)
		return err == nil && out.Results[0].Problem == ""
	})
	calls.wait(t, "This is a test")
}

// The keys that wait for a restart are told until the file has the values that are in force.
func TestRestartNeededEnds(t *testing.T) {
	r := startReloading(t, 1)
	r.change(func(c *config.Config) { c.Log.Format = "text" })
	r.reload(t)
	if got := *r.status.Load(); got != "restart needed: the config file has other values of [log]" {
		t.Errorf("systemd is told %q", got)
	}

	r.next.Store(nil) // not valid
	if _, err := r.client.Reload(t.Context()); err == nil {
		t.Error("no error")
	}
	if got := *r.status.Load(); !strings.Contains(got, "the last reload failed") {
		t.Errorf("systemd is told %q", got)
	}

	r.change(func(*config.Config) {})
	r.reload(t)
	if got := *r.status.Load(); got != "" {
		t.Errorf("systemd is told %q", got)
	}
	st, err := r.client.Status(t.Context())
	if err != nil || slices.ContainsFunc(st.Health, func(w control.Warning) bool {
		return strings.Contains(w.What, "restart needed")
	}) {
		t.Errorf("status: %v, %v", st.Health, err)
	}
}

// A file system that hangs makes a reload fail after a time, and no later one: that works when the
// file system answers.
func TestReloadFromAFileSystemThatHangs(t *testing.T) {
	r := startReloading(t, 1)
	hang := make(chan struct{})
	r.hang.Store(&hang)
	r.change(func(c *config.Config) { c.Policy.Threshold = 2.5 })

	_, err := r.client.Reload(t.Context())
	if control.CodeOf(err) != control.CodeFailed ||
		!strings.Contains(err.Error(), "could not be read within") {
		t.Errorf("error %v", err)
	}

	// The next one does not wait for the one that hangs.
	r.hang.Store(nil)
	if out := r.reload(t); strings.Join(out.Changed, ", ") != "[policy]" {
		t.Errorf("changed %q", out.Changed)
	}

	// The answer of the first one comes late, and nobody takes it.
	close(hang)
	if out := r.reload(t); len(out.Changed) != 0 {
		t.Errorf("changed %q", out.Changed)
	}
}

// A new policy counts from the next attempt on: what was held against a source is not forgotten,
// and no ban is.
func TestReloadOfThePolicy(t *testing.T) {
	r := startReloading(t, 1)
	guess(r.pbxs[0], "203.0.113.5:5060", "TCP", 4)
	guess(r.pbxs[0], "203.0.113.6:5060", "TCP", 2) // a score of 2
	r.waitFor("banned", "203.0.113.5")
	r.change(func(c *config.Config) { c.Policy.Threshold, c.Policy.BanTime = 2.5, 2*time.Hour })
	if out := r.reload(t); strings.Join(out.Changed, ", ") != "[policy]" || len(out.Restart) != 0 {
		t.Errorf("changed %q, restart %q", out.Changed, out.Restart)
	}

	if n := r.Count("banned", "203.0.113.6"); n != 0 {
		t.Errorf("banned %d times before its next attempt", n)
	}

	guess(r.pbxs[0], "203.0.113.6:5061", "TCP", 1)
	r.waitFor("banned", "203.0.113.6")
	table := r.table(t)
	eventually(t, "the ban is in the kernel, for the new time", func() bool {
		el := r.element(t, table, "203.0.113.6/32", all)
		return el != nil && el.Expires > 119*time.Minute
	})
	if el := r.element(t, table, "203.0.113.5/32", all); el == nil || el.Expires > time.Hour ||
		el.Expires < 50*time.Minute {
		t.Errorf("the ban from before: %v", el)
	}

	if out := r.reload(t); len(out.Changed) != 0 {
		t.Errorf("changed %q by the same config", out.Changed)
	}

	r.change(func(c *config.Config) {
		c.Policy.MaxBans = 77
		c.Policy.MaxSources = 1000
		c.Firewall.MaxBans = 77
	})
	if out := r.reload(t); strings.Join(out.Changed, ", ") != "[policy]" ||
		strings.Join(out.Restart, ", ") != "[firewall] backend, table or max_bans" {
		// Those are the threshold and the ban_time of before.
		t.Errorf("changed %q, restart %q", out.Changed, out.Restart)
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
	l := r.waitFor("the config was not reloaded: what was goes on", "")
	if !strings.Contains(l.Text("err"), "policy.treshold") {
		t.Errorf("said %v", l)
	}

	r.change(func(c *config.Config) { c.Allow = nil })
	hangUp()
	if l := r.waitFor("the config was reloaded", ""); !strings.Contains(l.Text("changed"),
		"[allow] prefixes") {
		t.Errorf("said %v", l)
	}
}

// A reload whose deny lists would cut off who administers the machine changes nothing.
func TestAReloadRefusesToLockOut(t *testing.T) {
	r := startReloading(t, 1)
	ssh := "203.0.113.7 50000 192.0.2.1 22"
	r.ssh.Store(&ssh)
	r.change(func(c *config.Config) { c.Deny = denied("203.0.113.0/24") })
	_, err := r.client.Reload(t.Context())
	if err == nil ||
		!strings.Contains(err.Error(),
			"nothing was changed: the deny lists cut off your SSH session from 203.0.113.7: its "+
				"address is listed in /lists/drop.txt:1") {
		t.Errorf("error %v", err)
	}

	if got := r.deniedInKernel(t, "deny4"); got != "" {
		t.Errorf("deny4 holds %q", got)
	}

	r.change(func(c *config.Config) {
		c.Deny = denied("203.0.113.0/24")
		c.Allow = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/28")}
	})
	r.reload(t)
	r.awaitDenied(t, "203.0.113.16-203.0.113.255")
}

// A reload that nobody waited for in the end leaves nothing that a later one with fewer servers
// stumbles over.
func TestReloadThatIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, j, e, _ := parts(t, slog.New(slog.DiscardHandler), nil)
		fleet := stream.NewFleet(stream.Options{Log: s.options.Log, Clock: s.clock}, s.events)
		r := &reloader{shared: s, fleet: fleet, judge: j, enforcer: e, servers: j.Servers()}
		change := func(servers ...string) error {
			var next []config.Server
			for _, name := range servers {
				next = append(next, config.Server{
					Name: name, Address: "127.0.0.1:1", Username: "u", Secret: ami.NewSecret("s"),
				})
			}

			names := withNew(r.servers, next)
			plan, err := fleet.Plan(next, names)
			if err != nil {
				t.Fatal(err)
			}

			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return r.changeServers(ctx, plan, names, &control.Reloaded{})
		}

		// The judge has other work.
		if err := change("pbx", "new", "newer"); control.CodeOf(err) != control.CodeBusy {
			t.Fatalf("error %v", err)
		}

		var judge sync.WaitGroup
		judge.Go(j.Run)
		if err := change("pbx", "other"); err != nil {
			t.Fatal(err)
		}

		x, err := j.Explain(t.Context(), netip.MustParseAddr("203.0.113.5"))
		if err != nil || len(x.Servers) != 4 || x.Servers[3] != "other" {
			t.Errorf("the judge knows %q, %v", x.Servers, err)
		}

		for i := range 4 { // and can judge events of each
			s.events <- stream.Sighting{Observation: policy.Observation{
				At: s.clock.Now(), Server: uint16(i), Kind: policy.KindInvalidPassword,
				Source: netip.MustParseAddrPort("203.0.113.5:5060"),
			}}
		}

		close(s.events)
		judge.Wait()
	})
}

// SIGHUP while amifend starts does not end it: it reloads when it has started.
func TestHangupWhileStarting(t *testing.T) {
	s := newSite(t, 1)
	c := s.withControl(t)
	cfg := s.config
	cfg.Names = []string{"slow.example"}
	said, log := logtest.New()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	hung := false
	go func() {
		done <- Run(ctx, Options{
			Config: &cfg, Log: log, NetNS: s.FD(),
			Reload: func() (*config.Config, error) {
				next := cfg
				next.Allow = nil
				return &next, nil
			},
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
	said.Wait(t, "the config was reloaded", "")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
