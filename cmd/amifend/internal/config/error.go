package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Problem is one mistake in a config file, or in a list that it names.
type Problem struct {
	File string // "": the config file
	// Key names the key, such as "policy.threshold" or "server[2].address" of the second server;
	// "": the whole file.
	Key  string
	Line int    // 0 if unknown
	Text string // what is wrong and what to write instead
}

// Error lists all problems of a config file. Those of the file come first, by line, then those of
// its lists.
type Error struct {
	File     string
	Problems []Problem
}

// Error returns one line for each problem: FILE:LINE: KEY: TEXT.
func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte('\n')
		}

		// Editors and terminals turn FILE:LINE into a link.
		b.WriteString(cmp.Or(p.File, e.File))
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
		}
		if p.Key != "" {
			b.WriteString(": " + p.Key)
		}

		b.WriteString(": " + p.Text)
	}

	return b.String()
}

// sorted sorts problems by file and line.
func sorted(ps []Problem) []Problem {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return ps
}

// entry returns the name of an entry of a list for an error, such as "entry 3". An error must not
// show the entry itself.
func entry(i int) string { return "entry " + strconv.Itoa(i+1) }
