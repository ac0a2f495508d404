// Package finding defines what `amifend audit` reports: weaknesses of a PBX, each with what was
// seen, why it matters, what to do and how sure it is.
//
// [Kinds] is the closed list of kinds. A finding names accounts and places. It never holds a
// password: its texts come from the list, and what is added to them are names, addresses, file
// names and numbers.
package finding

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/amifend/amifend/ami"
)

// Severity orders findings.
type Severity uint8

// The severities. From Medium on, a finding is serious.
const (
	Low      Severity = iota + 1 // better otherwise
	Medium                       // helps an attacker who has another weakness
	High                         // a determined attacker gets in, or charges calls
	Critical                     // anybody gets in now
)

// String returns the severity's name.
func (s Severity) String() string {
	switch s {
	case Critical:
		return "critical"
	case High:
		return "high"
	case Medium:
		return "medium"
	case Low:
		return "low"
	}
	return "unknown"
}

// MarshalText returns the severity's name, for JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a severity's name.
func (s *Severity) UnmarshalText(text []byte) error {
	for _, one := range Severities() {
		if one.String() == string(text) {
			*s = one
			return nil
		}
	}
	return fmt.Errorf("%s is not a severity", ami.Quote(text))
}

// Severities returns all severities, the worst first.
func Severities() []Severity { return []Severity{Critical, High, Medium, Low} }

// Sure is how certain a finding is.
type Sure string

// The degrees.
const (
	Certain  Sure = "certain"  // it was read in the configuration, or seen on the wire
	Likely   Sure = "likely"   // what was seen has hardly another cause
	Possible Sure = "possible" // it depends on what amifend cannot see
)

// Depth is the way by which a finding was made.
type Depth string

// The depths.
const (
	Outside Depth = "outside" // from the network, without rights on the PBX
	Seen    Depth = "daemon"  // from what the daemon has seen
	Config  Depth = "config"  // from the PBX's configuration
	Version Depth = "version" // from the PBX's version
)

// Finding is one weakness. Places are the accounts, files and lines that have it.
type Finding struct {
	Kind     string   `json:"kind"`
	Severity Severity `json:"severity"`
	Sure     Sure     `json:"sure"`
	Depth    Depth    `json:"depth"`
	Server   string   `json:"server,omitempty"` // the server's name; "": one PBX, or all
	Title    string   `json:"title"`
	Seen     string   `json:"seen"`
	Why      string   `json:"why"`
	Do       string   `json:"do"`
	Places   []string `json:"places"`
}

// New returns a finding of a kind with the texts of [Kinds]. It panics if there is no such kind.
// seen is what was seen, "" for the kind's title. Both it and the places are made printable.
func New(kind string, seen string, places ...string) Finding {
	k, ok := KindOf(kind)
	if !ok {
		panic("no such kind of finding: " + kind)
	}

	f := Finding{
		Kind: k.Name, Severity: k.Severity, Sure: k.Sure, Depth: k.Depth,
		Title: k.Title, Seen: Plain(seen), Why: k.Why, Do: k.Do, Places: make([]string, 0, len(places)),
	}
	for _, p := range places {
		f.Places = append(f.Places, Plain(p))
	}
	return f
}

// Of returns the finding about a server.
func (f Finding) Of(server string) Finding {
	f.Server = Plain(server)
	return f
}

// KindOf returns the kind of a name.
func KindOf(name string) (Kind, bool) {
	i := slices.IndexFunc(kinds, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return Kind{}, false
	}
	return kinds[i], true
}

// Kinds returns all kinds, in the order of their depths.
func Kinds() []Kind { return slices.Clone(kinds) }

// Sort orders findings: the worst first, then by kind, server and text.
func Sort(all []Finding) {
	slices.SortStableFunc(all, func(a, b Finding) int {
		if a.Severity != b.Severity {
			return int(b.Severity) - int(a.Severity)
		}
		return strings.Compare(a.Kind+"\x00"+a.Server, b.Kind+"\x00"+b.Server)
	})
}

// mostShown bounds a text of others: names and lines of config files, headers of servers.
const mostShown = 200

// Plain returns a text that may hold what others chose, safe to print: quoted if anything in it
// could change a terminal, and of bounded length.
func Plain(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool {
		return r == unicode.ReplacementChar || !unicode.IsPrint(r)
	}) {
		return ami.Quote([]byte(text))
	}
	if len(text) <= mostShown {
		return text
	}

	// Cut between runes, so that the text stays valid.
	end := mostShown
	for end > 0 && text[end]&0xC0 == 0x80 {
		end--
	}
	return text[:end] + "…"
}
