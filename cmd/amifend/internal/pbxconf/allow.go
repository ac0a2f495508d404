package pbxconf

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"unicode"
)

// Allow returns the [allow] table to paste into amifend's config: each prefix once, with where it
// comes from. addrs are the addresses of the trunks' names; a name without any becomes a comment
// that says so.
func Allow(trunks []Trunk, addrs map[string][]netip.Addr) string {
	where := map[netip.Prefix][]string{}
	unresolved := map[string][]string{}
	add := func(p netip.Prefix, note string) {
		if !neverBanned(p) && !slices.Contains(where[p], note) {
			where[p] = append(where[p], note)
		}
	}
	for _, t := range trunks {
		if t.Host == "" {
			add(t.Prefix, t.Where)
			continue
		}

		for _, a := range addrs[t.Host] {
			a = a.Unmap().WithZone("")
			add(netip.PrefixFrom(a, a.BitLen()), t.Host+", "+t.Where)
		}

		if len(addrs[t.Host]) == 0 {
			unresolved[t.Host] = append(unresolved[t.Host], t.Where)
		}
	}

	var b strings.Builder
	b.WriteString("[allow]\nprefixes = [\n")
	for _, p := range slices.SortedFunc(maps.Keys(where), netip.Prefix.Compare) {
		text := p.String()
		if p.IsSingleIP() {
			text = p.Addr().String()
		}
		fmt.Fprintf(&b, "    %-24s # %s\n", `"`+text+`",`, printable(strings.Join(where[p], "; ")))
	}

	for _, host := range slices.Sorted(maps.Keys(unresolved)) {
		fmt.Fprintf(&b, "    # %s does not resolve now: add its addresses by hand (%s)\n",
			printable(host), printable(strings.Join(unresolved[host], "; ")))
	}

	b.WriteString("]\n")
	return b.String()
}

// printable makes a text fit for a comment of TOML and for a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s)
}
