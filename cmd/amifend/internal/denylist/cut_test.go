package denylist

import (
	"net/netip"
	"slices"
	"testing"

	"go4.org/netipx"
	"pgregory.net/rapid"

	"github.com/amifend/amifend/cmd/amifend/internal/protect"
)

// A public list drops nothing that is never banned, nothing of our own and of private networks, and
// nothing that is exempt. All else that it lists is dropped. What is spared is told.
func TestCutPublicSparesNoMoreAndNoLess(t *testing.T) {
	// The prefixes lie around the edges of a private network, 192.168.0.0/16.
	prefix := rapid.Custom(func(t *rapid.T) netip.Prefix {
		n := rapid.Uint16().Draw(t, "host")
		third := byte(160 + n>>8&15)
		if n&1 == 0 {
			return netip.PrefixFrom(netip.AddrFrom4([4]byte{192, third, byte(n), 0}),
				rapid.IntRange(8, 32).Draw(t, "bits")).Masked()
		}
		six := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, third, 15: byte(n)})
		return netip.PrefixFrom(six, rapid.IntRange(19, 128).Draw(t, "bits")).Masked()
	})
	several := func(most int) *rapid.Generator[[]netip.Prefix] { return rapid.SliceOfN(prefix, 0, most) }

	rapid.Check(t, func(t *rapid.T) {
		listed := several(10).Draw(t, "listed")
		var (
			never  protect.Set
			exempt []Exempt
		)
		for _, p := range several(4).Draw(t, "protected") {
			never.Entries = append(never.Entries, protect.Entry{Prefix: p, Reason: "r"})
		}
		for _, p := range several(3).Draw(t, "learned") {
			never.Learned = append(never.Learned, protect.Learned{Addr: p.Addr(), Reason: "r"})
		}
		never.OnLink = several(2).Draw(t, "on-link")
		for _, p := range several(3).Draw(t, "exempt") {
			exempt = append(exempt, Exempt{p, "r"})
		}

		// The rule is written here a second time, one address at a time and without sets.
		spared := slices.Concat(never.OnLink, private())
		for _, e := range never.Entries {
			spared = append(spared, e.Prefix)
		}
		for _, l := range never.Learned {
			spared = append(spared, netip.PrefixFrom(l.Addr, l.Addr.BitLen()))
		}
		for _, e := range exempt {
			spared = append(spared, e.Prefix)
		}
		contains := func(all []netip.Prefix, a netip.Addr) bool {
			return slices.ContainsFunc(all, func(p netip.Prefix) bool { return p.Contains(a) })
		}

		c := CutPublic(listed, never, exempt)
		for _, p := range slices.Concat(listed, spared) {
			r := netipx.RangeOfPrefix(p)
			for _, a := range []netip.Addr{r.From().Prev(), r.From(), r.To(), r.To().Next()} {
				want := contains(listed, a) && !contains(spared, a)
				if got := c.Set.Contains(a); got != want {
					t.Fatalf("%s is dropped: %t, want %t", a, got, want)
				}
				if contains(listed, a) && contains(spared, a) && !contains(prefixes(c.Out), a) {
					t.Fatalf("%s is spared, and nobody is told", a)
				}
			}
		}
	})
}

func prefixes(all []Exempt) (out []netip.Prefix) {
	for _, e := range all {
		out = append(out, e.Prefix)
	}
	return out
}
