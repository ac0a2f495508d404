package feed

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
)

// The bounds of a list.
const (
	mostPrefixes = 500_000
	mostBytes    = 32 << 20 // unpacked
	mostLine     = 64 << 10 // bytes of a line
	widest4      = 8        // bits of the widest prefix of IPv4
	widest6      = 19
	shownBad     = 5  // lines that are not prefixes, whose numbers are shown
	fewBad       = 10 // such lines that never matter

	// most4 is 2 % of the addresses of IPv4.
	most4 = (1 << 32) / 50
	// most6 is 2 % of the global unicast addresses of IPv6 (2000::/3), in networks of /64.
	most6 = (1 << 61) / 50
)

// RefusedError is returned for a list that is not taken. Its text holds nothing of the list.
type RefusedError struct{ text string }

func (r *RefusedError) Error() string { return r.text }

func refuse(format string, args ...any) error { return &RefusedError{fmt.Sprintf(format, args...)} }

// Parsed is the content of a list.
type Parsed struct {
	// sorted; none of them is in another one, or in a private or reserved network
	Prefixes []netip.Prefix
	Entries  int   // that were read
	Ignored  int   // entries in private or reserved networks
	Bad      int   // lines that are neither an entry nor a comment
	BadLines []int // the numbers of the first of these
}

// Parse reads a list: text with an address or a prefix a line, comments behind # and ;, and the first
// column of CSV, or the JSON lines of Spamhaus. The error is a [*RefusedError]: for a prefix that is too
// wide, for a list that is too long, cut off or empty, and for one that is mostly something else.
func Parse(r io.Reader) (*Parsed, error) {
	p := &parser{records: -1}
	limited := &io.LimitedReader{R: r, N: mostBytes + 1}
	lines := bufio.NewScanner(limited)
	lines.Buffer(make([]byte, 0, 4096), mostLine)

	for n := 1; lines.Scan(); n++ {
		if err := p.line(n, lines.Bytes()); err != nil {
			return nil, err
		}
	}

	switch err := lines.Err(); {
	case limited.N <= 0:
		return nil, refuse("it has more than %d MB", mostBytes>>20)
	case errors.Is(err, bufio.ErrTooLong):
		return nil, refuse("it has a line of more than %d bytes", mostLine)
	case err != nil:
		return nil, err // of the connection, for the caller to describe
	}
	return p.end()
}

// parser holds the state of one Parse.
type parser struct {
	Parsed
	lines   int // with content
	records int // that a last line of JSON promised; -1: it did not
}

// line reads one line.
func (p *parser) line(n int, text []byte) error {
	if n == 1 {
		text = bytes.TrimPrefix(text, []byte("\ufeff"))
	}

	// JSON has no comments, and may hold # in a text.
	text = bytes.TrimSpace(text)
	isJSON := len(text) > 0 && text[0] == '{'
	if i := bytes.IndexAny(text, "#;"); i >= 0 && !isJSON {
		text = bytes.TrimSpace(text[:i])
	}
	if len(text) == 0 {
		return nil
	}

	p.lines++
	if p.lines == 1 && text[0] == '<' {
		return refuse("it is HTML, not a list")
	}

	entry := string(text)
	if isJSON {
		var ok bool
		if entry, ok = p.object(text); !ok {
			return nil
		}
	} else if first, _, ok := strings.Cut(entry, ","); ok {
		entry = strings.Trim(strings.TrimSpace(first), `"'`)
	}
	return p.entry(n, entry)
}

// object returns the entry of a JSON line. It reports false for the last line, which is about the
// list.
func (p *parser) object(text []byte) (string, bool) {
	var o struct {
		CIDR    string `json:"cidr"`
		Type    string `json:"type"`
		Records *int   `json:"records"`
	}
	if err := json.Unmarshal(text, &o); err != nil {
		return "", true // a bad line
	}
	if o.Type != "metadata" {
		return o.CIDR, true
	}

	p.lines--
	if o.Records != nil {
		p.records = *o.Records
	}
	return "", false
}

// entry adds an address or a prefix.
func (p *parser) entry(n int, text string) error {
	prefix, ok := parsePrefix(text)
	if !ok {
		if p.Bad++; p.Bad <= shownBad {
			p.BadLines = append(p.BadLines, n)
		}
		return nil
	}
	if p.Entries++; p.Entries > mostPrefixes {
		return refuse("it has more than %d entries", mostPrefixes)
	}

	// A private or reserved network is no mistake in a list of what must not come from outside. It
	// is spared anyway, however wide it is.
	if isReserved(prefix) {
		p.Ignored++
		return nil
	}

	widest := widest4
	if prefix.Addr().Is6() {
		widest = widest6
	}
	if prefix.Bits() < widest {
		return refuse("line %d has a prefix that is wider than /%d", n, widest)
	}
	p.Prefixes = append(p.Prefixes, prefix)
	return nil
}

// parsePrefix reads an address or a prefix. One of IPv4 in the form of IPv6 becomes one of IPv4. Bits
// behind the length are a mistake: nobody knows whether the network was meant, or the address.
func parsePrefix(text string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), a.Zone() == ""
	}

	p, err := netip.ParsePrefix(text)
	if err != nil || p != p.Masked() {
		return netip.Prefix{}, false
	}
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p, true
}

// isReserved reports whether a prefix holds private and reserved addresses only.
func isReserved(p netip.Prefix) bool {
	for _, r := range reserved {
		if r.Bits() <= p.Bits() && r.Contains(p.Addr()) {
			return true
		}
	}
	return false
}

// reserved are the networks that are not on the internet (RFC 6890, RFC 5771, RFC 1112), with 224/3 as
// a whole.
//
//nolint:gochecknoglobals // a table that does not change
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("224.0.0.0/3"),
	netip.MustParsePrefix("::/128"), netip.MustParsePrefix("::1/128"),
	netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("ff00::/8"),
}

// end checks the list as a whole.
func (p *parser) end() (*Parsed, error) {
	switch {
	case p.Bad > fewBad && p.Bad*10 > p.lines:
		return nil, refuse("%d of its %d lines are neither an address nor a prefix, the first is line %d",
			p.Bad, p.lines, p.BadLines[0])
	case p.records >= 0 && p.records != p.Entries+p.Bad:
		return nil, refuse("it is cut off: it has %d entries and promises %d", p.Entries+p.Bad,
			p.records)
	case len(p.Prefixes) == 0 && p.Bad > 0:
		return nil, refuse("it has no address and no prefix; line %d is neither", p.BadLines[0])
	case len(p.Prefixes) == 0:
		return nil, refuse("it has no address and no prefix")
	}

	p.Prefixes = outermost(p.Prefixes)
	return &p.Parsed, nil
}

// outermost sorts prefixes, and leaves out those that are in another one.
func outermost(all []netip.Prefix) []netip.Prefix {
	slices.SortFunc(all, netip.Prefix.Compare)
	out := all[:0]
	for _, p := range all {
		if n := len(out); n > 0 && out[n-1].Bits() <= p.Bits() && out[n-1].Contains(p.Addr()) {
			continue
		}
		out = append(out, p)
	}
	return slices.Clip(out)
}

// Summary is the size of a list.
type Summary struct {
	Prefixes int
	Addrs4   uint64 // addresses of IPv4
	Nets6    uint64 // networks of /64; a longer prefix counts as one
}

// Sum returns the size of a list whose prefixes do not overlap.
func Sum(prefixes []netip.Prefix) Summary {
	s := Summary{Prefixes: len(prefixes)}
	for _, p := range prefixes {
		if p.Addr().Is4() {
			s.Addrs4 += 1 << (32 - p.Bits())
		} else {
			s.Nets6 += 1 << (64 - min(p.Bits(), 64))
		}
	}
	return s
}

// check returns a [*RefusedError] if a list covers too much.
func (s Summary) check() error {
	switch {
	case s.Addrs4 > most4:
		return refuse("it covers more than 2 %% of the addresses of IPv4")
	case s.Nets6 > most6:
		return refuse("it covers more than 2 %% of the addresses of IPv6")
	}
	return nil
}

// The rule of sudden growth. A list that is published changes by some per cent a day. One of twice the
// size is another list, or one that somebody has tampered with. Small lists may double within an hour,
// so some growth is always allowed: a thousand entries, and as much room as a /16 and a /32 of IPv6.
const (
	growthFactor   = 2
	growthPrefixes = 1000
	growthAddrs4   = 1 << 16
	growthNets6    = 1 << 32

	// mostAtFirst is how many prefixes the first list of a feed may have without an operator's yes.
	mostAtFirst = 100_000
)

// doubted returns why an operator must accept a list, given the size of the one in force; "": it need
// not be. nil: there is none in force.
func (s Summary) doubted(old *Summary) string {
	switch {
	case old == nil && s.Prefixes > mostAtFirst:
		return fmt.Sprintf("it has %d prefixes, and a first list of more than %d takes a yes",
			s.Prefixes, mostAtFirst)
	case old == nil:
		return ""
	case s.Prefixes > growthFactor*old.Prefixes+growthPrefixes:
		return fmt.Sprintf("it has grown from %d to %d prefixes", old.Prefixes, s.Prefixes)
	case s.Addrs4 > growthFactor*old.Addrs4+growthAddrs4:
		return fmt.Sprintf("it has grown from %d to %d addresses of IPv4", old.Addrs4, s.Addrs4)
	case s.Nets6 > growthFactor*old.Nets6+growthNets6:
		return fmt.Sprintf("it has grown from %d to %d networks of IPv6", old.Nets6, s.Nets6)
	}
	return ""
}
