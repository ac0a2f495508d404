package app

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
)

// A start warns of the SSH session that it comes from.
func TestAStartWarnsOfALockOut(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.7":    "your SSH session from 192.0.2.7 is not allowlisted: a ban of that address would cut it off",
		"203.0.113.7":  "the deny lists cut off your SSH session from 203.0.113.7: its address is listed in /lists/drop.txt:1",
		"198.51.100.7": "", // allowlisted
	} {
		s := newSite(t, 1)
		s.config.Deny = denied("203.0.113.0/24")
		said, log := newJournal()
		ctx, cancel := context.WithCancel(t.Context())
		getenv := func(name string) string {
			return map[string]string{"SSH_CONNECTION": addr + " 50000 192.0.2.1 22"}[name]
		}
		if err := Run(ctx, Options{Config: &s.config, Log: log, NetNS: s.FD(), Getenv: getenv, Ready: cancel}); err != nil {
			t.Fatal(err)
		}
		if want == "" {
			if strings.Contains(said.String(), "SSH session") {
				t.Errorf("%s: said\n%s", addr, said)
			}
			continue
		}
		if l := said.wait(t, want, ""); !strings.Contains(l.text("do"), `prefixes = ["198.51.100.0/24", "`+addr+`"]`) {
			t.Errorf("%s: said %v", addr, l)
		}
	}
}

// A reload whose deny lists would cut off who administers the machine changes nothing.
func TestAReloadRefusesToLockOut(t *testing.T) {
	r := startReloading(t, 1)
	ssh := "203.0.113.7 50000 192.0.2.1 22"
	r.ssh.Store(&ssh)
	r.change(func(c *config.Config) { c.Deny = denied("203.0.113.0/24") })
	_, err := r.client.Reload(t.Context())
	if err == nil || !strings.Contains(err.Error(), "nothing was changed: the deny lists cut off your SSH session from 203.0.113.7: its address is listed in /lists/drop.txt:1") {
		t.Errorf("error %v", err)
	}
	if got := r.deniedInKernel(t, "deny4"); got != "" {
		t.Errorf("deny4 holds %q", got)
	}
	r.change(func(c *config.Config) {
		c.Deny, c.Allow = denied("203.0.113.0/24"), []netip.Prefix{netip.MustParsePrefix("203.0.113.0/28")}
	})
	r.reload(t)
	r.awaitDenied(t, "203.0.113.16-203.0.113.255")
}
