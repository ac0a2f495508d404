package feed

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	many := strings.Repeat("x\n", 11) + "203.0.113.7\n"
	for _, tt := range []struct {
		name, text string
		want       string // the prefixes, or a part of the error
	}{
		{
			"text", "# a\n; b\n203.0.113.7\n198.51.100.0/24 ; SBL1\n2001:db8::/32 # c\n",
			"198.51.100.0/24 203.0.113.7/32 2001:db8::/32",
		},
		{
			"CSV", "ip,last seen\n203.0.113.7,2026-01-01\n\"203.0.113.8\",x\n",
			"203.0.113.7/32 203.0.113.8/32",
		},
		{
			"a byte order mark, and lines of Windows", "\ufeff203.0.113.7\r\n203.0.113.8",
			"203.0.113.7/32 203.0.113.8/32",
		},
		{
			"JSON of Spamhaus", `{"cidr":"203.0.113.0/24","sblid":"SBL#1","rir":"x"}` + "\n" +
				`{"type":"metadata","timestamp":1,"size":9,"records":1}`, "203.0.113.0/24",
		},
		{"JSON that is cut off", `{"cidr":"203.0.113.0/24"}` + "\n" + `{"type":"metadata","records":2}`, "cut off"},
		{"duplicates and overlaps", "203.0.113.7\n203.0.113.0/24\n203.0.113.7\n203.0.113.128/25", "203.0.113.0/24"},
		{"IPv4-mapped", "::ffff:203.0.113.0/120\n::ffff:198.51.100.1", "198.51.100.1/32 203.0.113.0/24"},
		{"IPv4-mapped and too wide", "203.0.113.7\n::ffff:4.0.0.0/102", "line 2 has a prefix that is wider than /8"},
		{"mapped, with bits behind its length", "203.0.113.7\n::ffff:0.0.0.0/90", "203.0.113.7/32"},
		{"too wide", "203.0.113.7\n4.0.0.0/7", "line 2 has a prefix that is wider than /8"},
		{"everything", "0.0.0.0/0", "line 1 has a prefix that is wider than /8"},
		{"IPv6, too wide", "2001::/18", "wider than /19"},
		{"as wide as can be", "4.0.0.0/8\n2a00::/19", "4.0.0.0/8 2a00::/19"},
		{"private and reserved", "10.0.0.0/8\n224.0.0.0/3\n127.0.0.1\nfe80::/10\n203.0.113.7", "203.0.113.7/32"},
		{"HTML", "<!DOCTYPE html><html>\n203.0.113.7", "HTML"},
		{"nothing", "# nothing\n", "no address"},
		{"mostly something else", many, "11 of its 12 lines"},
		{"host bits", "203.0.113.7/24\n203.0.113.8", "203.0.113.8/32"},
		{"a zone", "fe80::1%eth0\n203.0.113.8", "203.0.113.8/32"},
		{"a long line", strings.Repeat("a", mostLine+1), "a line of more than"},
		{"too many", strings.Repeat("203.0.113.7\n", mostPrefixes+1), "more than 500000 entries"},
		{"too long", strings.Repeat(strings.Repeat("#", 1023)+"\n", 1+mostBytes/1024), "more than 32 MB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Parse(strings.NewReader(tt.text))
			if err != nil {
				if !strings.Contains(describe(err), tt.want) {
					t.Errorf("%v, want %s", err, tt.want)
				}
				return
			}
			var got []string
			for _, x := range p.Prefixes {
				got = append(got, x.String())
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// Lines that are neither an entry nor a comment are counted, and the first are named.
func TestParseNamesBadLines(t *testing.T) {
	p, err := Parse(strings.NewReader("#\nsecret\n203.0.113.7\n1.2.3\n10.0.0.1\n{\n"))
	if err != nil {
		t.Fatal(err)
	}
	if p.Bad != 3 || !slices.Equal(p.BadLines, []int{2, 4, 6}) || p.Ignored != 1 || p.Entries != 2 {
		t.Errorf("%+v", p)
	}
}

func TestSizes(t *testing.T) {
	var five []netip.Prefix
	for i := range 6 {
		five = append(five, netip.MustParsePrefix(fmt.Sprintf("%d.0.0.0/8", 20+i)))
	}
	if Sum(five[:5]).check() != nil || Sum(five).check() == nil {
		t.Error("the limit is not between five and six networks of /8")
	}
	var wide []netip.Prefix
	for i := range 2000 {
		wide = append(wide, netip.PrefixFrom(netip.AddrFrom16([16]byte{
			0x20 + byte(i>>11), byte(i >> 3), byte(i << 5),
		}), 19))
	}
	if Sum(wide[:1310]).check() != nil || Sum(wide).check() == nil {
		t.Error("the limit of IPv6 is not 2 %")
	}

	for _, tt := range []struct {
		old, now Summary
		doubted  bool
	}{
		{Summary{Prefixes: 10}, Summary{Prefixes: 1020}, false},
		{Summary{Prefixes: 10}, Summary{Prefixes: 1021}, true},
		{Summary{Prefixes: 5000, Addrs4: 5000}, Summary{Prefixes: 11000, Addrs4: 11000}, false},
		{Summary{Prefixes: 5000, Addrs4: 5000}, Summary{Prefixes: 5001, Addrs4: 1 << 24}, true},
		{Summary{Prefixes: 5000, Nets6: 1 << 32}, Summary{Prefixes: 5001, Nets6: 1<<33 + 1<<32 + 1}, true},
		{Summary{Prefixes: 5000}, Summary{Prefixes: 1}, false},
	} {
		if got := tt.now.doubted(&tt.old); (got != "") != tt.doubted {
			t.Errorf("from %+v to %+v: %q", tt.old, tt.now, got)
		}
	}
	if (Summary{Prefixes: mostAtFirst}).doubted(nil) != "" ||
		(Summary{Prefixes: mostAtFirst + 1}).doubted(nil) == "" {
		t.Error("the limit of a first list is not 100,000")
	}
}

// Whatever comes, a list holds no prefix that is too wide, reserved, unmasked, or in another one.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"203.0.113.7\n", "1.2.3.0/24;x", `{"cidr":"1.2.3.0/24"}`, "::ffff:1.2.3.0/120", "a,b\n1.2.3.4,",
		"\ufeff<html>", "2001:db8::/32\n2001:db8:1::/48", `{"type":"metadata","records":-1}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(strings.NewReader(text))
		if err != nil {
			return
		}
		for i, x := range p.Prefixes {
			if x != x.Masked() || x.Addr().Is4In6() || isReserved(x) ||
				x.Addr().Is4() && x.Bits() < widest4 || x.Addr().Is6() && x.Bits() < widest6 {
				t.Fatalf("%q gives %s", text, x)
			}
			if i > 0 && (p.Prefixes[i-1].Overlaps(x) || p.Prefixes[i-1].Compare(x) >= 0) {
				t.Fatalf("%q gives %s behind %s", text, x, p.Prefixes[i-1])
			}
		}
	})
}
