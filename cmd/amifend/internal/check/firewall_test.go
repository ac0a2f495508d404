package check

import (
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/firewall/firewalltest"
)

// lookAtFirewall prints the section alone.
func lookAtFirewall(t *testing.T, c *config.Config, netns int) (string, int) {
	t.Helper()
	p := &printer{}
	p.print(checkFirewall(t.Context(), c, netns))
	return p.b.String(), p.failed
}

func firewallConfig(table string) *config.Config {
	return &config.Config{Firewall: config.Firewall{
		Backend: config.BackendNftables, Table: table, SIPPorts: firewall.DefaultSIPPorts(),
		MaxBans: firewall.DefaultMaxBans,
	}}
}

// lay makes a table with bans, as a daemon does.
func lay(t *testing.T, ns *firewalltest.NS, name string, bans ...firewall.Ban) {
	t.Helper()
	table, err := firewall.Open(firewall.Options{Table: name, NetNS: ns.FD()})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()

	if err := table.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}

	var changes []firewall.Change
	for _, b := range bans {
		changes = append(changes, firewall.Change{Ban: b})
	}

	if rejected, err := table.Apply(t.Context(), changes); err != nil || len(rejected) > 0 {
		t.Fatal(rejected, err)
	}
}

// ban is an hour's ban.
func ban(prefix string, scope firewall.Scope) firewall.Ban {
	return firewall.Ban{
		Prefix: netip.MustParsePrefix(prefix), Scope: scope,
		Until: time.Now().Add(time.Hour),
	}
}

func TestFirewallTellsWhatIsThere(t *testing.T) {
	for name, tt := range map[string]struct {
		prepare func(t *testing.T, ns *firewalltest.NS)
		failed  int
		says    []string
	}{
		"nothing": {
			func(*testing.T, *firewalltest.NS) {}, 0,
			[]string{"ok    nftables can be used", "ok    the table is not there yet"},
		},
		"bans": {func(t *testing.T, ns *firewalltest.NS) {
			lay(t, ns, "ours", ban("198.51.100.1/32", firewall.ScopeAll),
				ban("2001:db8::/64", firewall.ScopeAll), ban("198.51.100.2/32", firewall.ScopeSIP),
				ban("198.51.100.2/32", firewall.ScopeStream))
		}, 0, []string{"ok    the table is there with 4 bans (scope all: 2, scope sip: 1, scope stream: 1), which " +
			"dropped no packets"}},
		"an empty table": {func(t *testing.T, ns *firewalltest.NS) {
			ns.NFT(t, "add table inet ours; add table inet other; add chain inet other input")
		}, 0, []string{"note  the table is there, but incomplete, or of an older amifend: " +
			"amifend run completes it and keeps its bans"}},
		"a set of ours is gone": {func(t *testing.T, ns *firewalltest.NS) {
			lay(t, ns, "ours")
			ns.NFT(t, "flush", "chain", "inet", "ours", "pre")
			ns.NFT(t, "delete", "set", "inet", "ours", "ban4_24")
		}, 0, []string{"note  the table is there, but incomplete, or of an older amifend: " +
			"amifend run completes it and keeps its bans"}},
		"a foreign table": {func(t *testing.T, ns *firewalltest.NS) {
			ns.NFT(t, "add table inet ours; add chain inet ours input { type filter hook input "+
				"priority 0; }; add set inet ours x { type ipv4_addr; }")
		}, 1, []string{"FAIL  a table of that name exists and is not ours: it holds 1 chains " +
			"and 1 sets", "do: choose another [firewall] table", "nft delete table inet ours"}},
		"another's table of the same family": {func(t *testing.T, ns *firewalltest.NS) {
			ns.NFT(t, "add table inet other; add chain inet other input; add table ip ours; add "+
				"chain ip ours input")
		}, 0, []string{"ok    the table is not there yet"}},
	} {
		t.Run(name, func(t *testing.T) {
			ns := firewalltest.New(t)
			tt.prepare(t, ns)
			before := ns.NFT(t, "--stateless", "list", "ruleset")
			out, failed := lookAtFirewall(t, firewallConfig("ours"), ns.FD())
			if failed != tt.failed {
				t.Errorf("%d failed", failed)
			}

			want(t, out, tt.says...)
			wantNot(t, out, "amifend is running", "dry run")
			if after := ns.NFT(t, "--stateless", "list", "ruleset"); after != before {
				t.Errorf("the ruleset changed from\n%s\nto\n%s", before, after)
			}
		})
	}
}

// The owner of a table is a process: nobody else may change it while that runs.
func TestFirewallOfAnOwner(t *testing.T) {
	ns := firewalltest.New(t)
	c, err := nftables.New(nftables.WithNetNSFd(ns.FD()), nftables.AsLasting())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.CloseLasting() }()

	c.AddTable(&nftables.Table{
		Name: "ours", Family: nftables.TableFamilyINet,
		Flags: nftables.TableFlagOwner,
	})
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}

	out, failed := lookAtFirewall(t, firewallConfig("ours"), ns.FD())
	if failed != 1 {
		t.Errorf("%d failed", failed)
	}

	want(t, out, "FAIL  a table of that name exists and is not ours: it is owned by the process "+
		"with netlink port")
}

func TestFirewallOfARunningDaemonIsANote(t *testing.T) {
	ns := firewalltest.New(t)
	lock, err := firewall.Lock("check-locked")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()

	out, failed := lookAtFirewall(t, firewallConfig("check-locked"), ns.FD())
	if failed != 0 {
		t.Errorf("%d failed", failed)
	}

	want(t, out, "note  amifend is running (pid ", "ok    nftables can be used")
}

func TestFirewallGivesTheLockBack(t *testing.T) {
	ns := firewalltest.New(t)
	lookAtFirewall(t, firewallConfig("check-free"), ns.FD())
	lock, err := firewall.Lock("check-free")
	if err != nil {
		t.Fatal(err)
	}
	lock.Close()
}

func TestFirewallDryRuns(t *testing.T) {
	ns := firewalltest.New(t)
	ns.NFT(t, "add table inet ours; add chain inet ours input { type filter hook input "+
		"priority 0; }")

	c := firewallConfig("ours")
	c.Observe = true
	out, failed := lookAtFirewall(t, c, ns.FD())
	if failed != 0 {
		t.Errorf("what harms nobody yet failed:\n%s", out)
	}

	want(t, out, "note  dry run: [policy] observe = true", "ok    nftables can be used",
		"warn  a table of that name exists")

	c.Firewall.Backend = config.BackendLog
	out, failed = lookAtFirewall(t, c, -1) // no namespace: it must not be looked at
	if failed != 0 {
		t.Errorf("%d failed", failed)
	}

	want(t, out, `note  dry run: [firewall] backend = "log"`)
	wantNot(t, out, "nftables can be used", "observe")
}

// envUnprivileged makes this test binary look at the firewall without any capability.
const envUnprivileged = "CHECK_TEST_UNPRIVILEGED"

func TestFirewallWithoutTheCapability(t *testing.T) {
	if os.Getenv(envUnprivileged) != "" {
		out, failed := lookAtFirewall(t, firewallConfig("ours"), 0)
		if failed != 1 {
			t.Errorf("%d failed", failed)
		}
		want(t, out, "FAIL  open firewall:", "AmbientCapabilities=CAP_NET_ADMIN")
		wantNot(t, out, "nftables can be used")
		return
	}

	ns := firewalltest.New(t)
	ns.Do(t, func() error {
		// In a user namespace of its own without a mapping, the process has no right on this
		// network namespace.
		cmd := exec.Command("/proc/self/exe", "-test.v",
			"-test.run=^TestFirewallWithoutTheCapability$")

		cmd.Env = append(os.Environ(), envUnprivileged+"=1", "FIREWALLTEST_INSIDE=yes")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}
		out, err := cmd.CombinedOutput()

		if err != nil ||
			!strings.Contains(string(out), "--- PASS: TestFirewallWithoutTheCapability") {
			t.Errorf("%v\n%s", err, out)
		}

		return nil
	})
}
