package pbxconf

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// AllowTable is an [allow] table to paste into amifend's config.
type AllowTable struct {
	Prefixes []AllowPrefix
	Names    []string
	Trunks   []Trunk
	// Addrs are the addresses of the trunks' names. A name without any becomes a comment.
	Addrs map[string][]netip.Addr
}

// AllowPrefix is a prefix with a comment.
type AllowPrefix struct {
	Prefix netip.Prefix
	Note   string
}

// String returns the table in TOML: each prefix once, with its places as a comment.
func (t AllowTable) String() string {
	notes, unresolved := t.notes()
	var b strings.Builder
	b.WriteString("[allow]\nprefixes = [\n")
	for _, p := range slices.SortedFunc(maps.Keys(notes), netip.Prefix.Compare) {
		text := p.String()
		if p.IsSingleIP() {
			text = p.Addr().String()
		}
		fmt.Fprintf(&b, "    %-24s # %s\n", `"`+text+`",`, printable(strings.Join(notes[p], "; ")))
	}

	// A name without addresses becomes a comment, so that the user can add them.
	for _, host := range slices.Sorted(maps.Keys(unresolved)) {
		fmt.Fprintf(&b, "    # %s does not resolve now: add its addresses by hand (%s)\n",
			printable(host), printable(strings.Join(unresolved[host], "; ")))
	}
	b.WriteString("]\n")

	// The user replaces the whole old table, so the new one has the names too.
	if len(t.Names) > 0 {
		quoted := make([]string, len(t.Names))
		for i, name := range t.Names {
			quoted[i] = strconv.Quote(name)
		}
		fmt.Fprintf(&b, "names = [%s]\n", strings.Join(quoted, ", "))
	}
	return b.String()
}

// notes returns the comments of each prefix, and the places of each name without addresses.
func (t AllowTable) notes() (notes map[netip.Prefix][]string, unresolved map[string][]string) {
	notes, unresolved = map[netip.Prefix][]string{}, map[string][]string{}
	add := func(p netip.Prefix, note string) {
		if !neverBanned(p) && !slices.Contains(notes[p], note) {
			notes[p] = append(notes[p], note)
		}
	}
	for _, p := range t.Prefixes {
		add(p.Prefix, p.Note)
	}

	// The name of a trunk stands for all the addresses that it has now.
	for _, trunk := range t.Trunks {
		if trunk.Host == "" {
			add(trunk.Prefix, trunk.Where)
			continue
		}

		for _, a := range t.Addrs[trunk.Host] {
			a = a.Unmap().WithZone("")
			add(netip.PrefixFrom(a, a.BitLen()), trunk.Host+", "+trunk.Where)
		}
		if len(t.Addrs[trunk.Host]) == 0 &&
			!slices.Contains(unresolved[trunk.Host], trunk.Where) {
			unresolved[trunk.Host] = append(unresolved[trunk.Host], trunk.Where)
		}
	}

	return notes, unresolved
}

// printable returns a text that is safe in a comment of TOML and on a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s)
}
