package firewall

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"

	"github.com/amifend/amifend/firewall/firewalltest"
)

func TestEnsureTwiceIsTheGolden(t *testing.T) {
	ns := firewalltest.New(t)
	table := open(t, ns, Options{Allow: prefixes("10.0.0.0/8", "10.1.0.0/16", "192.0.2.7/32",
		"2001:db8::/32", "255.255.255.255/32")})

	apply(t, table,
		ban("198.51.100.1/32", ScopeAll, time.Hour), ban("203.0.113.0/24", ScopeAll, time.Hour),
		ban("2001:db8:1::1/128", ScopeAll, time.Hour),
		ban("2001:db8:2:2::/64", ScopeAll, time.Hour),
		ban("2001:db8:3:300::/56", ScopeAll, time.Hour),
		ban("2001:db8:4::/48", ScopeAll, time.Hour),
		ban("198.51.100.2/32", ScopeSIP, time.Hour), ban("203.0.112.0/24", ScopeSIP, time.Hour),
		ban("2001:db8:1::2/128", ScopeSIP, time.Hour),
		ban("2001:db8:2:3::/64", ScopeSIP, time.Hour),
		ban("2001:db8:3:400::/56", ScopeSIP, time.Hour),
		ban("2001:db8:5::/48", ScopeSIP, time.Hour),
		ban("198.51.100.3/32", ScopeStream, time.Hour),
		ban("203.0.111.0/24", ScopeStream, time.Hour),
		ban("2001:db8:1::3/128", ScopeStream, time.Hour),
		ban("2001:db8:2:4::/64", ScopeStream, time.Hour),
		ban("2001:db8:3:500::/56", ScopeStream, time.Hour),
		ban("2001:db8:6::/48", ScopeStream, time.Hour),
	)

	// The second Ensure changes nothing that nft shows.
	firewalltest.Golden(t, "default.nft", ns.NFT(t, "list", "ruleset"))
	ensure(t, table)
	firewalltest.Golden(t, "default.nft", ns.NFT(t, "list", "ruleset"))
}

func TestEnsureAppliesOtherOptions(t *testing.T) {
	ns := firewalltest.New(t)
	first := open(t, ns, Options{Allow: prefixes("10.0.0.0/8")})
	apply(t, first, ban("198.51.100.1/32", ScopeAll, time.Hour))

	ports, err := ParseSIPPorts("5080/udp", "5081-5090/udp", "65535/udp")
	if err != nil {
		t.Fatal(err)
	}

	ws, err := ParseWSPorts("5037", "8443")
	if err != nil {
		t.Fatal(err)
	}

	second := open(t, ns, Options{
		Allow: prefixes("0.0.0.0/0", "::/0"), Ports: Ports{SIP: ports, WS: ws},
		MaxBans: 1000,
	})
	firewalltest.Golden(t, "options.nft", ns.NFT(t, "list", "ruleset"))

	if n := len(bans(t, second)); n != 1 {
		t.Errorf("%d bans after the second Ensure, want the one of before", n)
	}
}

// A dormant table of our name is woken and laid out.
func TestEnsureWakesADormantTable(t *testing.T) {
	ns := firewalltest.New(t)
	ns.NFT(t, "add table inet amifend { flags dormant; }")
	table := open(t, ns, Options{})
	if ok, err := table.complete(table.read); err != nil || !ok {
		t.Errorf("complete: %t, %v\n%s", ok, err, ns.NFT(t, "list", "ruleset"))
	}
}

func TestEnsureRepairsWhatOthersChanged(t *testing.T) {
	for _, damage := range []string{
		"insert rule inet amifend pre accept",
		"add table inet amifend { flags dormant; }",
		"flush chain inet amifend pre",
		"flush chain inet amifend stream",
		"flush table inet amifend",
		"delete set inet amifend deny6",
		"add chain inet amifend pre { policy drop; }",
		"flush ruleset",
		"delete table inet amifend",
	} {
		t.Run(damage, func(t *testing.T) {
			ns := firewalltest.New(t)
			table := open(t, ns, Options{})

			// The kernel refuses to delete a set that a rule refers to.
			if strings.HasPrefix(damage, "delete set") {
				ns.NFT(t, "flush table inet amifend")
			}

			ns.NFT(t, damage)
			if ok, err := table.complete(table.read); err != nil || ok {
				t.Errorf("complete after the damage: %v, %v", ok, err)
			}
			ensure(t, table)

			if ok, err := table.complete(table.read); err != nil || !ok {
				t.Errorf("complete after Ensure: %v, %v", ok, err)
			}
			firewalltest.Golden(t, "empty.nft", ns.NFT(t, "list", "ruleset"))
		})
	}
}

func TestEnsureLeavesForeignTables(t *testing.T) {
	const hook = "type filter hook input priority 0; "
	for name, content := range map[string]string{
		"no set of ours":      "chain input { " + hook + "tcp dport 22 accept; }",
		"set ban4 is of type": "set ban4 { type ipv4_addr; flags interval; }",
		"set ban6 is of type": "set ban6 { type ether_addr; flags timeout; }",
		"chain pre does not":  "chain pre { " + hook + "}",
		"chain sip has a hook": "set ban4 { type ipv4_addr; flags timeout; } " +
			"chain sip { " + hook + "}",
		"chain stream has a hook": "set ban4 { type ipv4_addr; flags timeout; } " +
			"chain stream { " + hook + "}",
	} {
		t.Run(name, func(t *testing.T) {
			ns := firewalltest.New(t)
			ns.NFT(t, blocks("table inet amifend { "+content+" }"))
			before := ns.NFT(t, "list", "ruleset")

			table, err := Open(Options{NetNS: ns.FD()})
			if err != nil {
				t.Fatal(err)
			}
			defer table.Close()

			// It refuses, says why, and changes nothing.
			err = table.Ensure(t.Context())
			var foreign *ForeignError
			if !errors.As(err, &foreign) || !strings.Contains(err.Error(), name) {
				t.Errorf("Ensure: %v, want a ForeignError with %q", err, name)
			}
			if after := ns.NFT(t, "list", "ruleset"); after != before {
				t.Errorf("the foreign table was changed:\n%s", after)
			}
		})
	}
}

// A table with an owner can be changed by nobody else (nft's flag owner, Linux 5.12): the error
// says so, not EPERM.
func TestEnsureLeavesOwnedTables(t *testing.T) {
	ns := firewalltest.New(t)
	owner, err := nftables.New(nftables.AsLasting(), nftables.WithNetNSFd(ns.FD()))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if err := owner.CloseLasting(); err != nil {
			t.Errorf("close: %v", err)
		}
	})

	// The owner is another socket, as of another process.
	owner.AddTable(&nftables.Table{
		Name: "amifend", Family: nftables.TableFamilyINet,
		Flags: nftables.TableFlagOwner,
	})
	if err := owner.Flush(); err != nil {
		t.Fatal(err)
	}

	table, err := Open(Options{NetNS: ns.FD()})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()

	err = table.Ensure(t.Context())
	var foreign *ForeignError
	if !errors.As(err, &foreign) || !strings.Contains(err.Error(), "owned by the process") {
		t.Errorf("Ensure: %v, want a ForeignError", err)
	}
}

// blocks ends blocks as nft's grammar wants it.
func blocks(ruleset string) string { return strings.ReplaceAll(ruleset, "}", "}\n") }

func TestEnsureLeavesWhatOthersAdded(t *testing.T) {
	ns := firewalltest.New(t)
	ns.NFT(t, blocks("table inet other { chain c { "+
		"type filter hook input priority 0; tcp dport 22 accept; } }"))
	table := open(t, ns, Options{})
	ns.NFT(t, "add chain inet amifend mine")
	ns.NFT(t, "add rule inet amifend mine tcp dport 22 accept")
	ensure(t, table)

	for _, list := range [][]string{
		{"list", "chain", "inet", "amifend", "mine"},
		{"list", "table", "inet", "other"},
	} {
		if out := ns.NFT(t, list...); !strings.Contains(out, "tcp dport 22 accept") {
			t.Errorf("%v lost its rule:\n%s", list, out)
		}
	}

	if out := ns.NFT(t, "list", "tables"); strings.Contains(out, "probe") {
		t.Errorf("the probe left its table:\n%s", out)
	}
}

func TestSetAllow(t *testing.T) {
	ns := firewalltest.New(t)
	table := open(t, ns, Options{Allow: prefixes("10.0.0.0/8")})
	many := prefixes("::ffff:192.0.2.0/120", "fe80::/10")

	// Several messages in one transaction. The prefixes are apart from each other, so that they
	// stay 3000 intervals.
	for i := range 3000 {
		many = append(many, prefixes("2001:db8::/127")[0])
		b := many[len(many)-1].Addr().As16()
		b[6], b[7] = byte(i>>8), byte(i)
		many[len(many)-1], _ = addr16(b).Prefix(64 + i%64)
	}

	if err := table.SetAllow(t.Context(), many); err != nil {
		t.Fatal(err)
	}
	listing := ns.NFT(t, "list", "set", "inet", "amifend", "allow6")
	if got := strings.Count(listing, "2001:db8:"); got != 3000 {
		t.Errorf("allow6 has %d of the intervals, want 3000", got)
	}

	if out := ns.NFT(t, "list", "set", "inet", "amifend", "allow4"); strings.Contains(out,
		"10.0.0.0") || !strings.Contains(out, "192.0.2.0/24") {
		t.Errorf("allow4 was not replaced:\n%s", out)
	}

	// nft adds an end without a start as well, so the set is replaced whole. Then each list follows
	// from the one before.
	ns.NFT(t, "add element inet amifend allow4 { 203.0.113.0/24 }")
	for _, list := range [][]string{
		{"10.0.0.0/8"},
		{"0.0.0.0/0"},
		{"192.168.0.0/16", "255.255.255.255/32"},
		nil,
		{"172.16.0.0/16", "172.18.0.0/16"},
		{"172.16.0.0/14"},
		{"172.17.0.0/16"},
	} {
		if err := table.SetAllow(t.Context(), prefixes(list...)); err != nil {
			t.Fatal(err)
		}

		listing := ns.NFT(t, "list", "set", "inet", "amifend", "allow4")
		for _, p := range list {
			if !strings.Contains(listing, " "+strings.TrimSuffix(p, "/32")+" ") &&
				!strings.Contains(listing, " "+p+",") && !strings.Contains(listing,
				" "+strings.TrimSuffix(p, "/32")+"\n") {
				t.Errorf("allow4 lacks %s:\n%s", p, listing)
			}
		}

		if got := strings.Count(listing, "."); got != 3*len(list) {
			t.Errorf("allow4 holds more than %q:\n%s", list, listing)
		}
	}

	ns.NFT(t, "flush ruleset")
	if err := table.SetAllow(t.Context(), nil); !errors.Is(err, ErrGone) {
		t.Errorf("SetAllow of nothing without a table: %v, want ErrGone", err)
	}
	if err := table.SetAllow(t.Context(), prefixes("172.16.0.0/12")); !errors.Is(err, ErrGone) {
		t.Errorf("SetAllow without a table: %v, want ErrGone", err)
	}

	ensure(t, table)
	if out := ns.NFT(t, "list", "set", "inet", "amifend", "allow4"); !strings.Contains(out,
		"172.16.0.0/12") {
		t.Errorf("Ensure did not put back the last list:\n%s", out)
	}
}
