package advisory

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// mostChangelog bounds what is read of a changelog, unpacked.
const mostChangelog = 16 << 20

// named matches the names of advisories in a changelog.
var named = regexp.MustCompile(`(?i)\b(CVE-20\d\d-\d{4,7}|AST-20\d\d-\d{3}|GHSA(?:-[0-9a-z]{4}){3})\b`)

// Mentioned returns the names of advisories in the changelog of a package, in the form of the table.
// The text may be packed by gzip.
func Mentioned(r io.Reader) (map[string]bool, error) {
	buffered := bufio.NewReader(r)
	if magic, err := buffered.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		unpacked, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, fmt.Errorf("unpack the changelog: %w", err)
		}
		buffered = bufio.NewReader(unpacked)
	}

	names := map[string]bool{}
	s := bufio.NewScanner(io.LimitReader(buffered, mostChangelog))
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		for _, name := range named.FindAllString(s.Text(), -1) {
			names[canonical(name)] = true
		}
	}
	if err := s.Err(); err != nil {
		return names, fmt.Errorf("read the changelog: %w", err)
	}
	return names, nil
}

// canonical returns a name as the table writes it: GHSA names have small letters.
func canonical(name string) string {
	if len(name) > 4 && strings.EqualFold(name[:4], "GHSA") {
		return "GHSA" + strings.ToLower(name[4:])
	}
	return strings.ToUpper(name)
}

// In reports whether any name of the advisory is among names.
func (a Advisory) In(names map[string]bool) bool {
	return slices.ContainsFunc(a.Names(), func(name string) bool { return names[name] })
}

// Names returns all names of the advisory.
func (a Advisory) Names() []string { return append([]string{a.ID}, strings.Fields(a.CVE)...) }
