package config

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Bounds of the deny lists. The kernel needs a second or two for 100,000 prefixes.
const (
	maxList      = 64 << 20 // bytes of a file
	mostDenied   = 500_000  // prefixes in all
	mostProblems = 20       // lines that are reported for one file
)

// Denied is one prefix of the deny lists, and its place.
type Denied struct {
	Prefix netip.Prefix // masked, not IPv4-mapped
	// "": [deny] prefixes of the config
	File string
	Line int // in File; 0: File is no file, but says who denied it by command
}

// Where returns the place: FILE:LINE, the key of the config, or the command.
func (d Denied) Where() string {
	switch {
	case d.File == "":
		return "[deny] prefixes"
	case d.Line == 0:
		return d.File
	}
	return fmt.Sprintf("%s:%d", d.File, d.Line)
}

// everyDenied completes the error for a prefix of [deny] that contains every address.
const everyDenied = "so nothing could reach this machine; write the prefixes that you mean"

// deny reads the prefixes of [deny], then those of its files.
func (l *loader) deny(raw rawDeny) []Denied {
	const key = "deny.prefixes"
	var out []Denied
	for i, s := range get(l, key, raw.Prefixes, nil) {
		p, err := parsePrefix(s, everyDenied)
		if err != nil {
			l.problem(key, "%s %s", entry(i), err)
			continue
		}
		out = append(out, Denied{Prefix: p})
	}

	// The lists keep their order, since the first place of a prefix is the one that is reported.
	for i, name := range get(l, "deny.files", raw.Files, nil) {
		switch {
		case name == "":
			l.problem("deny.files", "holds an empty text; write names of files")
		case l.policyOnly:
		default:
			out = append(out, l.denyFile(entry(i), l.abs(name))...)
		}
	}

	// With more prefixes, the kernel would take many seconds at each start.
	if len(out) > mostDenied {
		l.problem("deny", "its lists hold %d prefixes; %d are possible: leave a list out, or "+
			"take one that merges neighbours", len(out), mostDenied)
	}

	return out
}

// denyFile reads a list with one address or prefix a line, and comments behind # or ;. An error
// names the file by which, its entry in the config.
func (l *loader) denyFile(which, path string) []Denied {
	text, mode, err := readRegular(path, maxList)
	if err != nil {
		l.problem("deny.files", "%s: %s; write the name of a list that amifend can read, or take "+
			"it out", which, unnamed(err))
		return nil
	}

	// Whoever can change the list can cut off any phone. A deny list is no secret, so all may read.
	if mode&0o002 != 0 {
		l.warnings = append(l.warnings,
			fmt.Sprintf("%s can be changed by every user of this machine: chmod o-w %[1]s", path))
	}

	// Editors of Windows begin a file with a byte order mark.
	var out []Denied
	problems := 0
	lines := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	lines.Buffer(nil, len(text)+1)

	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if i := strings.IndexAny(line, "#;"); i >= 0 {
			line = line[:i]
		}

		if line = strings.TrimSpace(line); line == "" {
			continue
		}

		p, err := parseDenied(line)
		if err == nil {
			out = append(out, Denied{Prefix: p, File: path, Line: n})
			continue
		}

		// A file that is not a list has a problem in every line. The first few are enough.
		if problems++; problems <= mostProblems {
			l.problems = append(l.problems,
				Problem{File: path, Line: n, Text: "the line " + err.Error()})
		}
	}

	if more := problems - mostProblems; more > 0 {
		l.problem("deny.files", "%s has %d more lines that are not prefixes; is it the right file?",
			path, more)
	}

	return out
}

// parseDenied reads one line of a list, without its comment.
func parseDenied(line string) (netip.Prefix, error) {
	switch {
	case line[0] == '<':
		return netip.Prefix{},
			errors.New("is HTML; a list is text with an address or prefix a line")
	case line[0] == '{' || line[0] == '[':
		return netip.Prefix{},
			errors.New("is JSON; take the list as text, with an address or prefix a line")
	case len(strings.Fields(line)) > 1:
		return netip.Prefix{},
			errors.New("is more than an address or prefix; write one a line, and comments " +
				"behind # or ;")
	}

	return parsePrefix(line, everyDenied)
}
