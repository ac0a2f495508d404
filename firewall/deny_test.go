package firewall

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"go4.org/netipx"
	"pgregory.net/rapid"

	"github.com/amifend/amifend/firewall/firewalltest"
)

// denyPrefixes returns the prefixes of a set, nil for nil.
func denyPrefixes(set *netipx.IPSet) []netip.Prefix {
	if set == nil {
		return nil
	}
	return set.Prefixes()
}

// ipSet returns the set of the prefixes in, without those of out.
func ipSet(t testing.TB, in []string, out ...string) *netipx.IPSet {
	t.Helper()
	var b netipx.IPSetBuilder
	for _, p := range in {
		b.AddPrefix(netip.MustParsePrefix(p))
	}

	for _, p := range out {
		b.RemovePrefix(netip.MustParsePrefix(p))
	}
	set, err := b.IPSet()
	if err != nil {
		t.Fatal(err)
	}

	return set
}

// manyDenied returns n prefixes that neither overlap nor touch, one in ten of them IPv6. Two
// variants share half of their prefixes.
func manyDenied(t testing.TB, n, variant int) *netipx.IPSet {
	t.Helper()
	var b netipx.IPSetBuilder
	for i := range n {
		// Every second prefix moves with the variant.
		shift := i * 512
		if i%2 == 1 {
			shift += variant * 128
		}

		if i%10 == 9 {
			b.AddPrefix(netip.PrefixFrom(netip.AddrFrom16([16]byte{
				0x20, 0x01, 0x0d, 0xb8,
				byte(i >> 16), byte(i >> 8), byte(i), byte(variant),
			}), 64))
			continue
		}

		b.AddPrefix(netip.PrefixFrom(netip.AddrFrom4([4]byte{
			16 + byte(shift>>24),
			byte(shift >> 16), byte(shift >> 8), byte(shift),
		}), 25).Masked())
	}

	set, err := b.IPSet()
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// inKernel reads the deny sets back.
func inKernel(t testing.TB, table *Table) (found []netipx.IPRange) {
	t.Helper()
	for _, is6 := range []bool{false, true} {
		elems, err := table.read.GetSetElements(denySet(table.table, is6))
		if err != nil {
			t.Fatal(err)
		}
		ends, ok := endsOf(elems)
		ivs, ours := kernelIntervals(ends)
		if !ok || !ours {
			t.Fatalf("%v are not intervals that we made", elems)
		}

		for _, iv := range ivs {
			found = append(found, netipx.IPRangeFrom(iv.first, iv.last))
		}
	}

	return found
}

func setDeny(t testing.TB, table *Table, deny *netipx.IPSet) {
	t.Helper()
	if err := table.SetDeny(t.Context(), denyPrefixes(deny)); err != nil {
		t.Fatal(err)
	}

	var want []netipx.IPRange
	if deny != nil {
		want = deny.Ranges()
	}
	if got := inKernel(t, table); !slices.Equal(got, want) {
		t.Fatalf("the kernel has %d ranges, want %d", len(got), len(want))
	}
}

// Denied packets are dropped at every port, without a ban. Packets from an address that is taken
// out of the list, or allowed, pass.
func TestWhatDenyDrops(t *testing.T) {
	s := newSite(t, Options{})
	try := func(when string, want map[string]bool) {
		t.Helper()
		for src, arrive := range want {
			dst := pbx4
			if strings.Contains(src, ":") {
				dst = pbx6
			}

			for _, port := range []string{"5060", "20000"} {
				if got := arrives(t, s.outside, s.pbx, src, dst, port, 100); got != arrive {
					t.Errorf("%s: from %s to %s arrives: %t, want %t", when, src, port, got, arrive)
				}
			}
		}
	}

	try("before", map[string]bool{attacker4: true, attacker6: true})
	setDeny(t, s.table, ipSet(t, []string{"192.0.2.0/24", "2001:db8::/48"}, phone4+"/32",
		phone6+"/128"))
	try("denied", map[string]bool{
		attacker4: false, phone4: true, attacker6: false, phone6: true,
		lastOf48: false, next48: true,
	})

	// Three denied sources, two ports each.
	d, err := s.table.Denied(t.Context())
	if err != nil || d.Packets != 6 || d.Bytes < 600 {
		t.Errorf("%+v, %v; want 6 packets", d, err)
	}

	// Ensure replaces the rules, and leaves the lists and their counter.
	ensure(t, s.table)
	try("laid out again", map[string]bool{attacker4: false, phone4: true, attacker6: false})

	if d, err := s.table.Denied(t.Context()); err != nil || d.Packets != 10 {
		t.Errorf("%+v, %v; want 10 packets: the counter goes on", d, err)
	}

	// The allowlist wins over the deny lists.
	setDeny(t, s.table, ipSet(t, []string{"192.0.2.0/24"}))
	if err := s.table.SetAllow(t.Context(), prefixes(phone4+"/32")); err != nil {
		t.Fatal(err)
	}
	try("allowed inside", map[string]bool{attacker4: false, phone4: true, attacker6: true})
	setDeny(t, s.table, nil)
	try("emptied", map[string]bool{attacker4: true, phone4: true})
}

func TestDenyComesBackAfterAFlush(t *testing.T) {
	s := newSite(t, Options{})
	deny := ipSet(t, []string{"192.0.2.66/32"})
	setDeny(t, s.table, deny)
	s.pbx.NFT(t, "flush ruleset")

	if err := s.table.SetDeny(t.Context(), denyPrefixes(deny)); !errors.Is(err, ErrGone) {
		t.Errorf("SetDeny without a table: %v, want ErrGone", err)
	}
	if _, err := s.table.Denied(t.Context()); !errors.Is(err, ErrGone) {
		t.Errorf("Denied without a table: %v, want ErrGone", err)
	}

	ensure(t, s.table)
	setDeny(t, s.table, deny)
	if arrives(t, s.outside, s.pbx, attacker4, pbx4, "5060", 100) {
		t.Error("what is denied arrives after the table was put back")
	}
}

// Elements that others add to the deny sets, or remove, are restored, and Watch reports it.
func TestDenyUndoesWhatOthersDo(t *testing.T) {
	ns := firewalltest.New(t)
	table := open(t, ns, Options{})
	deny := ipSet(t, []string{"198.51.100.0/24", "203.0.113.0/28"})
	setDeny(t, table, deny)

	damaged := make(chan struct{}, 100)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- table.Watch(ctx, func() { damaged <- struct{}{} }) }()
	for _, damage := range []string{
		// nft adds an end without a start as well
		"add element inet amifend deny4 { 192.0.2.0/24 }",
		"add element inet amifend deny6 { 2001:db8::/32 }",
		"delete element inet amifend deny4 { 198.51.100.0/24 }",
		"flush set inet amifend deny4",
	} {
		ns.NFT(t, damage)
		select {
		case <-damaged:
		case <-time.After(5 * time.Second):
			t.Errorf("%s: Watch did not report it", damage)
		}
		setDeny(t, table, deny)
	}

	// Our own change, however large, is not reported.
	for len(damaged) > 0 {
		<-damaged
	}
	setDeny(t, table, manyDenied(t, 2000, 0))
	time.Sleep(50 * time.Millisecond)

	if len(damaged) > 0 {
		t.Error("Watch reported our own change")
	}

	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Large lists, of which one replaces another: more than one transaction, and more than a socket's
// buffer.
func TestDenyLargeLists(t *testing.T) {
	table := open(t, firewalltest.New(t), Options{})
	for variant := range 2 {
		setDeny(t, table, manyDenied(t, 40_000, variant))
	}
	setDeny(t, table, ipSet(t, []string{"0.0.0.0/0", "::/0"}))
	setDeny(t, table, manyDenied(t, 10_000, 0))
	setDeny(t, table, nil)
}

// While one large list replaces another, addresses in both are dropped throughout, and bans are
// applied in between.
func TestReplacingDenyListsLeaksNothing(t *testing.T) {
	s := newSite(t, Options{})
	lists := []*netipx.IPSet{}
	for variant := range 2 {
		var b netipx.IPSetBuilder
		b.AddSet(manyDenied(t, 20_000, variant))
		b.AddPrefix(netip.PrefixFrom(netip.MustParseAddr(attacker4), 32-variant).Masked())

		set, err := b.IPSet()
		if err != nil {
			t.Fatal(err)
		}
		lists = append(lists, set)
	}

	setDeny(t, s.table, lists[0])
	stopCount := firewalltest.Count(s.pbx.ListenUDP(t, pbx4+":5060"))
	stopFlood := firewalltest.Flood(s.outside.DialUDP(t, attacker4+":0", pbx4+":5060"))

	// Replace the lists in one goroutine, and ban in this one until it is done.
	var longest time.Duration
	replaced := make(chan error)
	go func() {
		for i := range 6 {
			if err := s.table.SetDeny(t.Context(), denyPrefixes(lists[(i+1)%2])); err != nil {
				replaced <- err
				return
			}
		}
		replaced <- nil
	}()

	for done := false; !done; {
		began := time.Now()
		apply(t, s.table, ban("198.51.100.1/32", ScopeAll, time.Hour))
		longest = max(longest, time.Since(began))

		select {
		case err := <-replaced:
			if done = true; err != nil {
				t.Error(err)
			}
		default:
		}
	}

	sent := stopFlood()
	if leaked := stopCount(); leaked != 0 || sent < 1000 {
		t.Errorf("%d of %d packets leaked", leaked, sent)
	}
	t.Logf("%d packets dropped; a ban took %s at most", sent, longest)
}

// The steps lead from any list to any other, and no interval of one step overlaps or touches one of
// another.
func TestDenySteps(t *testing.T) {
	list := rapid.Custom(func(t *rapid.T) []interval {
		var b netipx.IPSetBuilder
		for range rapid.IntRange(0, 40).Draw(t, "prefixes") {
			host := rapid.Uint16().Draw(t, "host")
			b.AddPrefix(netip.PrefixFrom(netip.AddrFrom4([4]byte{
				192, 0, byte(host >> 8),
				byte(host),
			}), rapid.IntRange(20, 32).Draw(t, "bits")).Masked())
		}

		set, err := b.IPSet()
		if err != nil {
			t.Fatal(err)
		}

		v4, _, err := intervals(set.Prefixes())
		if err != nil {
			t.Fatal(err)
		}
		return v4
	})

	rapid.Check(t, func(t *rapid.T) {
		have, want := list.Draw(t, "have"), list.Draw(t, "want")
		now := slices.Clone(have)
		var last netip.Addr
		for _, s := range denySteps(have, want, rapid.IntRange(1, 5).Draw(t, "step")) {
			all := slices.Concat(s.gone, s.new)
			for _, iv := range all {
				if last.IsValid() && !last.Next().Less(iv.first) {
					t.Fatalf("%v follows %s of a step before", iv, last)
				}
			}

			for _, iv := range all {
				if !last.IsValid() || last.Less(iv.last) {
					last = iv.last
				}
			}

			now = slices.DeleteFunc(now, func(iv interval) bool {
				return slices.Contains(s.gone, iv)
			})
			now = append(now, s.new...)
		}

		slices.SortFunc(now, compareIntervals)
		if !slices.Equal(now, want) {
			t.Fatalf("the steps lead to %v, want %v", now, want)
		}
	})
}
