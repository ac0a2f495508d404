package bans

import (
	"math"
	"net/netip"
	"strings"
	"unicode"
)

// Source returns a prefix as people write it: an address where it is one. It returns "" for an
// invalid one, as an alert has that is about an account or a server.
func Source(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}

	if p.IsSingleIP() {
		return p.Addr().String()
	}

	return p.String()
}

// Round rounds a number for people, to two decimals.
func Round(x float64) float64 { return math.Round(x*100) / 100 }

// Printable returns a text of a PBX or a config with a question mark for each character that a
// terminal might act on.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}
