package firewall

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/firewall/firewalltest"
)

// olderPackets is what each element of an older table has counted.
const olderPackets = 7

// A start after an upgrade adds the sets that are new. The bans go on throughout, with what is left
// of them and what they counted. The files are the output of `nft list ruleset` for the tables of
// older amifends.
func TestEnsureUpgradesAnOlderTable(t *testing.T) {
	t.Run("without sets for /56 and /48", func(t *testing.T) {
		testUpgrade(t, "testdata/older.nft",
			"192.0.2.66/32 all", "203.0.113.0/24 all", "2001:db8::66/128 all",
			"2001:db8:2:2::/64 all", "198.51.100.2/32 sip", "203.0.112.0/24 sip",
			"2001:db8:1::2/128 sip", "2001:db8:2:3::/64 sip")
	})
	t.Run("without scope stream", func(t *testing.T) {
		testUpgrade(t, "testdata/nostream.nft",
			"192.0.2.66/32 all", "203.0.113.0/24 all", "2001:db8:1::1/128 all",
			"2001:db8:2:2::/64 all", "2001:db8:3:300::/56 all", "2001:db8:4::/48 all",
			"198.51.100.2/32 sip", "203.0.112.0/24 sip", "2001:db8:1::2/128 sip",
			"2001:db8:2:3::/64 sip", "2001:db8:3:400::/56 sip", "2001:db8:5::/48 sip")
	})
}

// testUpgrade upgrades the table of a file, which has these bans.
func testUpgrade(t *testing.T, file string, older ...string) {
	s := newSite(t, Options{Allow: prefixes("10.0.0.0/8")})
	s.pbx.NFT(t, "flush ruleset")
	s.pbx.NFT(t, "-f", file)

	if there, err := s.table.Inspect(t.Context()); err != nil || !there {
		t.Errorf("Inspect: %t, %v", there, err)
	}
	if _, err := s.table.Bans(t.Context()); !errors.Is(err, ErrGone) {
		t.Errorf("Bans before Ensure: %v, want ErrGone", err)
	}
	rejected, err := s.table.Apply(t.Context(),
		[]Change{ban("2001:db8::/56", ScopeStream, time.Hour)})
	if !errors.Is(err, ErrGone) || len(rejected) != 0 {
		t.Errorf("Apply before Ensure: %v, %v, want ErrGone", rejected, err)
	}

	// The ban of the older table drops before, while and after the upgrade.
	stopCount := firewalltest.Count(s.pbx.ListenUDP(t, pbx4+":5060"))
	stopFlood := firewalltest.Flood(s.outside.DialUDP(t, attacker4+":0", pbx4+":5060"))
	dropped := s.awaitDrops(t, olderPackets)
	ensure(t, s.table)
	s.awaitDrops(t, dropped)
	sent := stopFlood()

	if leaked := stopCount(); leaked != 0 {
		t.Errorf("%d of %d packets leaked", leaked, sent)
	}

	const days30 = "43200"
	var want []string
	for _, b := range older {
		want = append(want, b+" "+days30)
	}

	got := bans(t, s.table)
	if !slices.Equal(listed(got), want) {
		t.Errorf("bans after Ensure: %q, want %q", listed(got), want)
	}

	// The counters go on as well.
	flooder := netip.MustParsePrefix(attacker4 + "/32")
	for _, e := range got {
		if e.Prefix != flooder && e.Packets != olderPackets || e.Prefix == flooder &&
			e.Packets < olderPackets+uint64(sent) {
			t.Errorf("%s counted %d packets; %d were sent", e.Prefix, e.Packets, sent)
		}
	}

	if ok, err := s.table.complete(s.table.read); err != nil || !ok {
		t.Errorf("complete after Ensure: %t, %v", ok, err)
	}

	apply(t, s.table, ban("2001:db8::/56", ScopeAll, time.Hour))
	if arrives(t, s.outside, s.pbx, lastOf56, pbx6, "5060", 100) {
		t.Error("a new set of the upgraded table drops nothing")
	}
	apply(t, s.table, ban(phone4+"/32", ScopeStream, time.Hour))
	if connects(t, s.outside, s.pbx, phone4, pbx4, "5061") {
		t.Error("a new scope of the upgraded table drops nothing")
	}
}

// awaitDrops waits until the ban of the attacker has dropped a hundred packets more than since, and
// returns how many it has dropped then.
func (s *site) awaitDrops(t *testing.T, since uint64) uint64 {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		e, ok, err := s.table.Element(t.Context(), netip.MustParsePrefix(attacker4+"/32"), ScopeAll)
		if err != nil || !ok || time.Now().After(deadline) {
			t.Fatalf("element %+v, %t, %v; want more than %d packets", e, ok, err, since+100)
		}
		if e.Packets > since+100 {
			return e.Packets
		}
	}
}

// After a downgrade, the bans in sets that this amifend does not know are kept for the next
// upgrade, though they drop nothing.
func TestEnsureKeepsTheSetsOfANewerTable(t *testing.T) {
	ns := firewalltest.New(t)
	table := open(t, ns, Options{})
	ns.NFT(t, "add set inet amifend ban6_40 { type ipv6_addr; flags timeout; }")
	ns.NFT(t, "add element inet amifend ban6_40 { 2001:db8:: timeout 1h }")
	ns.NFT(t, "add rule inet amifend pre ip6 saddr & ffff:ffff:ff00:: == @ban6_40 counter drop")
	ensure(t, table)

	if out := ns.NFT(t, "list", "set", "inet", "amifend", "ban6_40"); !strings.Contains(out,
		"2001:db8:: timeout 1h") {
		t.Errorf("the element is gone:\n%s", out)
	}
	if ok, err := table.complete(table.read); err != nil || !ok {
		t.Errorf("complete: %t, %v", ok, err)
	}
}
