package firewall

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func addr16(b [16]byte) netip.Addr { return netip.AddrFrom16(b) }

func TestIntervals(t *testing.T) {
	for name, tt := range map[string]struct {
		in   []netip.Prefix
		want []string
	}{
		"none": {nil, nil},
		"contained": {
			prefixes("10.1.0.0/16", "10.0.0.0/8", "10.255.255.255/32"),
			[]string{"10.0.0.0-10.255.255.255"},
		},
		"touching": {
			prefixes("192.0.2.128/25", "192.0.2.0/25"),
			[]string{"192.0.2.0-192.0.2.255"},
		},
		"apart": {prefixes("192.0.2.0/32", "192.0.2.2/32"), []string{
			"192.0.2.0-192.0.2.0",
			"192.0.2.2-192.0.2.2",
		}},
		"same twice":  {prefixes("::1/128", "::1/128"), []string{"::1-::1"}},
		"everything":  {prefixes("0.0.0.0/0", "255.0.0.0/8"), []string{"0.0.0.0-255.255.255.255"}},
		"bits beyond": {prefixes("192.0.2.9/24"), []string{"192.0.2.0-192.0.2.255"}},
		"mapped":      {prefixes("::ffff:192.0.2.9/128"), []string{"192.0.2.9-192.0.2.9"}},
		"families": {
			prefixes("ffff::/16", "255.255.255.255/32"),
			[]string{
				"255.255.255.255-255.255.255.255",
				"ffff::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			v4, v6, err := intervals(tt.in)
			if err != nil {
				t.Fatal(err)
			}

			var got []string
			for _, iv := range append(v4, v6...) {
				got = append(got, iv.first.String()+"-"+iv.last.String())
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}

	for _, bad := range []netip.Prefix{{}, netip.MustParsePrefix("::ffff:0.0.0.0/90")} {
		if _, _, err := intervals([]netip.Prefix{bad}); err == nil {
			t.Errorf("no error for %s", bad)
		}
	}
}

// An address is in the intervals if and only if it is in a prefix, and intervals are ascending with
// a gap between them.
func TestIntervalsHoldWhatThePrefixesHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		addr := rapid.Custom(func(t *rapid.T) netip.Addr { // few addresses, so that they meet
			return netip.AddrFrom4([4]byte{
				10, 0, byte(rapid.IntRange(0, 3).Draw(t, "c")),
				rapid.Byte().Draw(t, "d"),
			})
		})

		var in []netip.Prefix
		for range rapid.IntRange(0, 12).Draw(t, "n") {
			in = append(in, netip.PrefixFrom(addr.Draw(t, "addr"), rapid.IntRange(20, 32).Draw(t,
				"bits")))
		}

		v4, v6, err := intervals(in)
		if err != nil || len(v6) > 0 {
			t.Fatal(v6, err)
		}

		// The kernel returns elements in any order.
		ends, ok := endsOf(rapid.Permutation(intervalElements(v4)).Draw(t, "order"))
		back, ours := kernelIntervals(ends)
		if !ok || !ours || !slices.Equal(back, v4) {
			t.Fatalf("read back from the elements: %v, %t; want %v", back, ours, v4)
		}

		for i := 1; i < len(v4); i++ {
			if v4[i].first.Compare(v4[i-1].last.Next()) <= 0 {
				t.Fatalf("%v and %v overlap or touch", v4[i-1], v4[i])
			}
		}

		// All addresses that the prefixes can hold, and their neighbours.
		for c := range 4 {
			for d := range 256 {
				a := netip.AddrFrom4([4]byte{10, 0, byte(c), byte(d)})
				want := slices.ContainsFunc(in, func(p netip.Prefix) bool { return p.Contains(a) })
				got := slices.ContainsFunc(v4, func(iv interval) bool {
					return iv.first.Compare(a) <= 0 && a.Compare(iv.last) <= 0
				})
				if got != want {
					t.Fatalf("%s: in the intervals %t, in the prefixes %t", a, got, want)
				}
			}
		}
	})
}
