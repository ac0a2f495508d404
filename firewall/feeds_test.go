package firewall

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/firewall/firewalltest"
)

// A packet from a feed's prefix is dropped and counted for the feed, and one from an allowed address
// inside it is not.
func TestWhatFeedsDrop(t *testing.T) {
	s := newSite(t, Options{Feeds: []string{"one", "two-2"}})
	set := func(name string, texts ...string) {
		t.Helper()
		if err := s.table.SetFeed(t.Context(), name, nil, prefixes(texts...)); err != nil {
			t.Fatal(err)
		}
	}
	arrive := func(when, src, dst string, want bool) {
		t.Helper()
		if got := arrives(t, s.outside, s.pbx, src, dst, "5060", 100); got != want {
			t.Errorf("%s: a packet of %s arrives: %t, want %t", when, src, got, want)
		}
	}
	counts := func() map[string]Denied {
		t.Helper()
		c, err := s.table.FeedCounts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}

	arrive("empty", attacker4, pbx4, true)
	set("one", "192.0.2.0/24", "192.0.2.66/32")
	set("two-2", "192.0.2.66/32", "2001:db8::/48")
	if err := s.table.SetAllow(t.Context(), prefixes(phone4+"/32")); err != nil {
		t.Fatal(err)
	}
	arrive("listed", attacker4, pbx4, false)
	arrive("listed", attacker6, pbx6, false)
	arrive("allowed", phone4, pbx4, true)

	// A source of both feeds counts for the first one.
	if c := counts(); c["one"].Packets != 1 || c["two-2"].Packets != 1 || len(c) != 2 {
		t.Errorf("counted %v", c)
	}
	if d, err := s.table.Denied(t.Context()); err != nil || d.Packets != 0 {
		t.Errorf("the deny lists counted %v, %v", d, err)
	}

	// Laying out the table again keeps lists and counts.
	ensure(t, s.table)
	arrive("laid out again", attacker4, pbx4, false)
	if ok, err := s.table.complete(s.table.read); err != nil || !ok {
		t.Errorf("complete: %t, %v", ok, err)
	}
	if c := counts(); c["one"].Packets != 2 {
		t.Errorf("counted %v after Ensure", c)
	}

	// What the caller believes may be wrong.
	for _, have := range [][]netip.Prefix{{}, prefixes("198.51.100.0/24"), prefixes("192.0.2.0/24")} {
		want := prefixes("192.0.2.66/32", "2001:db8:1::/48")
		if err := s.table.SetFeed(t.Context(), "one", have, want); err != nil {
			t.Fatal(err)
		}
		arrive("replaced", attacker4, pbx4, false)
		set("one", "192.0.2.0/24", "192.0.2.66/32")
	}

	// A feed that goes is removed with its sets, and the other one stays as it is.
	if err := s.table.SetFeeds(t.Context(), []string{"two-2", "new"}); err != nil {
		t.Fatal(err)
	}
	arrive("one is gone", attacker4, pbx4, false)
	if c := counts(); c["two-2"].Packets != 2 || c["one"].Packets != 0 || len(c) != 2 {
		t.Errorf("counted %v after SetFeeds", c)
	}
	if out := s.pbx.NFT(t, "list table inet amifend"); strings.Contains(out, "feed4_one") ||
		strings.Contains(out, "feed_one") {
		t.Errorf("the feed is still there:\n%s", out)
	}

	err := s.table.SetFeed(t.Context(), "one", nil, prefixes("192.0.2.0/24"))
	if !errors.Is(err, ErrGone) {
		t.Errorf("a feed that is gone: %v, want ErrGone", err)
	}
	for _, names := range [][]string{{"One"}, {"a b"}, {""}, {"a", "a"}, {strings.Repeat("a", 33)}} {
		if err := s.table.SetFeeds(t.Context(), names); err == nil {
			t.Errorf("%q was taken", names)
		}
	}
}

// A start without the feeds of the run before removes their sets, and one with them keeps them.
func TestFeedsOverAStart(t *testing.T) {
	ns := firewalltest.New(t)
	first := open(t, ns, Options{Feeds: []string{"one", "two"}})
	for _, name := range []string{"one", "two"} {
		if err := first.SetFeed(t.Context(), name, nil, prefixes("192.0.2.0/24")); err != nil {
			t.Fatal(err)
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	open(t, ns, Options{Feeds: []string{"two"}})
	out := ns.NFT(t, "list table inet amifend")
	if strings.Contains(out, "feed4_one") || !strings.Contains(out, "192.0.2.0/24") {
		t.Errorf("after the start:\n%s", out)
	}
}

// BenchmarkLargestFeed puts a feed of 500,000 prefixes into the kernel, replaces a fifth of it, reads
// it back, and empties it again.
func BenchmarkLargestFeed(b *testing.B) {
	table := open(b, firewalltest.New(b), Options{Feeds: []string{"large"}})
	deny := make([]netip.Prefix, 0, 500_000)
	for i := range 500_000 {
		a := netip.AddrFrom4([4]byte{16 + byte(i>>23), byte(i >> 15), byte(i >> 7), byte(i << 1)})
		deny = append(deny, netip.PrefixFrom(a, 32))
	}
	other := slices.Clone(deny)
	for i := range 100_000 {
		other[i*5] = netip.PrefixFrom(other[i*5].Addr().Next(), 32)
	}

	for b.Loop() {
		have := []netip.Prefix{}
		for _, step := range []struct {
			name string
			list []netip.Prefix
		}{{"first-s", deny}, {"fifth-s", other}, {"read-s", other}, {"emptied-s", nil}} {
			if step.name == "read-s" {
				have = nil // as after a restart: the kernel is asked
			}
			longest, stop := banMeanwhile(b, table)
			began := time.Now()
			if err := table.SetFeed(b.Context(), "large", have, step.list); err != nil {
				b.Fatal(err)
			}
			have = step.list
			b.ReportMetric(time.Since(began).Seconds(), step.name)
			stop()
			b.Logf("%s: a ban took %s at most meanwhile", step.name, *longest)
		}
	}
}

// banMeanwhile bans again and again until stop is called.
func banMeanwhile(b *testing.B, table *Table) (longest *time.Duration, stop func()) {
	ctx, cancel := context.WithCancel(b.Context())
	longest = new(time.Duration)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			began := time.Now()
			_, err := table.Apply(ctx, []Change{ban("198.51.100.1/32", ScopeAll, time.Hour)})
			if err != nil && ctx.Err() == nil {
				b.Error(err)
			}
			*longest = max(*longest, time.Since(began))
			time.Sleep(time.Millisecond)
		}
	}()
	return longest, func() { cancel(); <-done }
}
