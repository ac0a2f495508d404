package denylist

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"go4.org/netipx"
	"pgregory.net/rapid"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
)

func listed(prefixes ...string) (out []config.Denied) {
	for i, p := range prefixes {
		out = append(out,
			config.Denied{Prefix: netip.MustParsePrefix(p), File: "drop.txt", Line: i + 1})
	}
	return out
}

func TestWhatIsNeverBannedIsTakenOut(t *testing.T) {
	p := netip.MustParsePrefix
	never := protect.Set{
		Entries: []protect.Entry{
			{Prefix: p("10.1.2.1/32"), Reason: "default gateway via eth0"},
			{Prefix: p("127.0.0.0/8"), Reason: "loopback"},
			{Prefix: p("198.51.100.0/24"), Reason: "allowlist"},
			{Prefix: p("203.0.113.9/32"), Reason: "server office"},
			{Prefix: p("2001:db8:1::5/128"), Reason: "DNS resolver"},
		},
		OnLink: []netip.Prefix{p("10.1.2.0/24"), p("172.16.0.0/16"), p("fe80::/64")},
	}

	l := New(listed("10.0.0.0/8", "127.0.0.0/8", "198.51.100.7/32", "198.51.100.8/29",
		"203.0.113.0/28", "172.16.5.0/24", "10.1.2.77/32", "2001:db8::/32", "8000::/1"), never)
	for addr, want := range map[string]string{
		"10.200.0.1": "drop.txt:1", "10.1.3.0": "drop.txt:1",
		"10.1.2.5": "", "10.1.2.1": "", // a neighbour; the gateway
		"10.1.2.77":   "drop.txt:1", // listed by itself
		"127.0.0.1":   "",
		"172.16.5.9":  "drop.txt:6", // a part of our network
		"172.16.6.9":  "",
		"203.0.113.8": "drop.txt:5", "203.0.113.9": "", "203.0.113.10": "drop.txt:5",
		"203.0.113.16": "",
		"198.51.100.7": "", "198.51.100.9": "",
		"2001:db8:1::5": "", "2001:db8:1::6": "drop.txt:8", "fe80::1": "",
		"fe80:0:0:1::": "drop.txt:9",
	} {
		a := netip.MustParseAddr(addr)
		d, ok := l.Find(a)
		got := ""
		if ok {
			got = d.Where()
		}
		if got != want || l.Set.Contains(a) != ok {
			t.Errorf("%s: %q, in the set: %t, want %q", addr, got, l.Set.Contains(a), want)
		}
	}

	var out []string
	for _, x := range l.Out {
		out = append(out,
			fmt.Sprintf("%s %s: %s +%d", x.Prefix, x.Reason, x.Listed.Where(), x.More))
	}

	want := []string{
		"127.0.0.0/8 loopback: drop.txt:2 +0",
		"198.51.100.0/24 allowlist: drop.txt:3 +1",
		"203.0.113.9/32 server office: drop.txt:5 +0",
		"2001:db8:1::5/128 DNS resolver: drop.txt:8 +0",
		"10.1.2.0/24 " + ownNetwork + ": drop.txt:1 +0",
		"fe80::/64 " + ownNetwork + ": drop.txt:9 +0",
	}
	if !slices.Equal(out, want) {
		t.Errorf("taken out: %q, want %q", out, want)
	}
}

// Nothing protected is ever in the result, nor anything that is not listed; and all else that is
// listed is.
func TestNewTakesOutNoMoreAndNoLess(t *testing.T) {
	prefix := rapid.Custom(func(t *rapid.T) netip.Prefix {
		n := rapid.Uint16().Draw(t, "host")
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, byte(n >> 8), byte(n)}),
			rapid.IntRange(18, 32).Draw(t, "bits")).Masked()
	})

	rapid.Check(t, func(t *rapid.T) {
		var lists []config.Denied
		for _, p := range rapid.SliceOfN(prefix, 0, 12).Draw(t, "listed") {
			lists = append(lists, config.Denied{Prefix: p})
		}

		var never protect.Set
		for _, p := range rapid.SliceOfN(prefix, 0, 8).Draw(t, "protected") {
			never.Entries = append(never.Entries, protect.Entry{Prefix: p, Reason: "r"})
		}

		never.OnLink = rapid.SliceOfN(prefix, 0, 3).Draw(t, "on-link")
		l := New(lists, never)

		// Mistakes show at the edges of prefixes. The rule is written here a second time, one
		// address at a time and without sets.
		for _, a := range edges(lists, never) {
			ours := slices.ContainsFunc(never.OnLink, func(n netip.Prefix) bool {
				return n.Contains(a) && slices.ContainsFunc(lists, func(d config.Denied) bool {
					return covers(d.Prefix, n)
				})
			})

			want := slices.ContainsFunc(lists, func(d config.Denied) bool {
				return d.Prefix.Contains(a) && (!ours || !coversAny(d.Prefix, never.OnLink))
			})
			for _, e := range never.Entries {
				want = want && !e.Prefix.Contains(a)
			}

			if got := l.Set.Contains(a); got != want {
				t.Fatalf("%s is dropped: %t, want %t", a, got, want)
			}
		}
	})
}

// edges are the first and last addresses of all prefixes, and their neighbours.
func edges(lists []config.Denied, never protect.Set) (out []netip.Addr) {
	all := slices.Clone(never.OnLink)
	for _, d := range lists {
		all = append(all, d.Prefix)
	}

	for _, e := range never.Entries {
		all = append(all, e.Prefix)
	}

	for _, p := range all {
		r := netipx.RangeOfPrefix(p)
		out = append(out, r.From().Prev(), r.From(), r.To(), r.To().Next())
	}

	return out
}
