package daemon

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/firewall/firewalltest"
)

func denied(prefixes ...string) (out []config.Denied) {
	for i, p := range prefixes {
		out = append(out, config.Denied{
			Prefix: netip.MustParsePrefix(p), File: "/lists/drop.txt", Line: i + 1,
		})
	}
	return out
}

// deniedInKernel lists a deny set.
func (s *site) deniedInKernel(t testing.TB, set string) string {
	t.Helper()
	out := s.NFT(t, "list", "set", "inet", s.config.Firewall.Table, set)
	_, elements, _ := strings.Cut(out, "elements = {")
	elements, _, _ = strings.Cut(elements, "}")
	return strings.Join(strings.Fields(elements), " ")
}

func (s *site) awaitDenied(t testing.TB, want string) {
	t.Helper()
	var got string

	deadline := time.Now().Add(10 * time.Second)
	for ; time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if got = s.deniedInKernel(t, "deny4"); got == want {
			return
		}
	}

	t.Errorf("deny4 holds %q, want %q", got, want)
}

// The lists are in the kernel less what is never banned; packets of what is listed are dropped,
// those of what is allowed in it are not; they come back after a flush; and a reload replaces them.
func TestDenyListsInTheKernel(t *testing.T) {
	r := startReloading(t, 1)
	outside := firewalltest.New(t)
	firewalltest.Join(t, r.NS, outside, []string{"192.0.2.1/24"},
		[]string{"192.0.2.66/24", "203.0.113.66/32", "203.0.113.77/32"})
	r.Run(t, "ip", "route", "add", "203.0.113.0/24", "via", "192.0.2.66")
	arrives := func(src string) bool {
		t.Helper()
		l := r.ListenUDP(t, "192.0.2.1:20000")
		defer l.Close()
		if _, err := outside.DialUDP(t, src+":0",
			"192.0.2.1:20000").Write([]byte("x")); err != nil {
			t.Fatal(err)
		}

		if err := l.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}

		_, _, err := l.ReadFrom(make([]byte, 10))
		return err == nil
	}
	if !arrives("203.0.113.66") || !arrives("203.0.113.77") {
		t.Fatal("packets do not arrive without a list")
	}

	r.change(func(c *config.Config) {
		c.Deny = denied("203.0.113.0/24", "198.51.100.0/25", "192.0.2.0/23", "127.0.0.0/8",
			"2001:db8::/32")
		c.Allow = append(c.Allow, netip.MustParsePrefix("203.0.113.77/32"))
	})

	if out := r.reload(t); strings.Join(out.Changed, ", ") != "[allow] prefixes, [deny]" ||
		len(out.Warnings) != 0 {
		t.Errorf("%+v", out)
	}

	// Not in it: the allowed address, the allowlist's 198.51.100.0/24, our network 192.0.2.0/24,
	// and loopback.
	const list = "192.0.3.0/24, 203.0.113.0-203.0.113.76, 203.0.113.78-203.0.113.255"
	if got := r.deniedInKernel(t, "deny4"); got != list {
		t.Errorf("deny4 holds %q, want %q", got, list)
	}
	if got := r.deniedInKernel(t, "deny6"); got != "2001:db8::/32" {
		t.Errorf("deny6 holds %q", got)
	}
	if arrives("203.0.113.66") || !arrives("203.0.113.77") || !arrives("192.0.2.66") {
		t.Error("not what is listed is dropped")
	}

	s, err := r.client.Status(t.Context())
	if err != nil || s.Firewall.Denied == nil {
		t.Fatalf("%+v, %v", s.Firewall, err)
	}

	d := *s.Firewall.Denied
	if d.Dropped == nil || *d.Dropped != 1 {
		t.Errorf("dropped: %v, want 1", d.Dropped)
	}
	if d.Dropped = nil; d != (control.Denied{
		Listed: 5, Ranges: 4, Spared: 4, State: control.StateInKernel,
	}) {
		t.Errorf("status %+v", d)
	}

	x, err := r.client.Explain(t.Context(), netip.MustParseAddr("203.0.113.66"))
	if err != nil || x.Denied != "/lists/drop.txt:1" ||
		!strings.Contains(x.Text, "is always dropped: listed in /lists/drop.txt:1") {
		t.Errorf("%+v, %v", x, err)
	}
	if x, err := r.client.Explain(t.Context(), netip.MustParseAddr("203.0.113.77")); err != nil ||
		x.Denied != "" {
		t.Errorf("%+v, %v", x, err)
	}

	r.NFT(t, "flush", "ruleset")
	for deadline := time.Now().Add(10 * time.Second); arrives("203.0.113.66"); {
		if time.Now().After(deadline) {
			t.Fatal("the lists do not come back after a flush")
		}
	}

	r.awaitDenied(t, list)
	r.NFT(t, "add", "element", "inet", r.config.Firewall.Table, "deny4", "{ 203.0.113.77 }")
	r.awaitDenied(t, list)

	if _, err := r.client.Allow(t.Context(), control.NewAllow{
		Prefix: netip.MustParsePrefix("203.0.113.64/26"),
	}); err != nil {
		t.Fatal(err)
	}

	r.awaitDenied(t, "192.0.3.0/24, 203.0.113.0/26, 203.0.113.128/25")
	if !arrives("203.0.113.66") {
		t.Error("what was allowed by command is dropped")
	}
	if _, err := r.client.Disallow(t.Context(),
		netip.MustParsePrefix("203.0.113.64/26")); err != nil {
		t.Fatal(err)
	}

	r.awaitDenied(t, list)

	// The machine gets an address that is listed.
	r.Run(t, "ip", "address", "add", "203.0.113.200/32", "dev", "lo")
	r.awaitDenied(t, "192.0.3.0/24, 203.0.113.0-203.0.113.76, 203.0.113.78-203.0.113.199, "+
		"203.0.113.201-203.0.113.255")

	r.next.Store(nil) // a file that is bad, or missing
	if _, err := r.client.Reload(t.Context()); err == nil {
		t.Error("a bad config was loaded")
	}
	if arrives("203.0.113.66") {
		t.Error("a bad config took the lists away")
	}

	r.change(func(*config.Config) {})
	r.reload(t)
	r.awaitDenied(t, "")
	if s, err := r.client.Status(t.Context()); err != nil || s.Firewall.Denied != nil {
		t.Errorf("%+v, %v", s.Firewall.Denied, err)
	}
}

func TestDenyListsOverARestart(t *testing.T) {
	s := newSite(t, 1)
	s.config.Deny = denied("203.0.113.0/24")
	r := s.start(t)
	s.awaitDenied(t, "203.0.113.0/24")
	r.stop(t)
	s.awaitDenied(t, "203.0.113.0/24") // as bans, they stay
	s.config.Deny = denied("203.0.112.0/24")
	s.start(t)
	s.awaitDenied(t, "203.0.112.0/24")
}

func TestDenyListsOfADryRun(t *testing.T) {
	s := newSite(t, 1)
	s.config.Deny = denied("203.0.113.0/24")
	s.config.Observe = true
	c := s.withControl(t)
	s.start(t)
	ready(t, c)
	st, err := c.Status(t.Context())
	if err != nil || st.Firewall.Denied == nil || st.Firewall.Denied.State != control.StateDry ||
		st.Firewall.Denied.Dropped != nil {
		t.Errorf("%+v, %v", st.Firewall.Denied, err)
	}

	if out := s.NFT(t, "list", "ruleset"); out != "" {
		t.Errorf("a dry run left %s", out)
	}
}

// Deny lists have no end in the kernel, so a trial does not put them there: keep does, unless that
// cuts off who says it.
func TestDenyListsOfATrial(t *testing.T) {
	s := newSite(t, 1)
	s.config.Deny = denied("203.0.113.0/24")
	s.trial = time.Hour
	c := s.withControl(t)
	s.start(t)
	ready(t, c)

	// The table is laid out anew.
	s.NFT(t, "add", "chain", "inet", s.config.Firewall.Table, "others")
	time.Sleep(100 * time.Millisecond)
	st, err := c.Status(t.Context())
	if err != nil || st.Firewall.Denied == nil || st.Firewall.Denied.State != control.StateTrial {
		t.Errorf("%+v, %v", st.Firewall.Denied, err)
	}

	if got := s.deniedInKernel(t, "deny4"); got != "" {
		t.Errorf("in the trial deny4 holds %q", got)
	}
	if _, err := c.Keep(t.Context()); err != nil {
		t.Fatal(err)
	}

	s.awaitDenied(t, "203.0.113.0/24")
	if st, err := c.Status(t.Context()); err != nil ||
		st.Firewall.Denied.State != control.StateInKernel {
		t.Errorf("%+v, %v", st.Firewall.Denied, err)
	}
}
