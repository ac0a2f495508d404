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
	// Key is such as "policy.threshold" or "server[2].address", counted from 1; "" for the whole
	// file.
	Key  string
	Line int    // 0 if unknown
	Text string // what is wrong and what to write instead
}

// Error lists all problems of a config file: first those of the file, by line, then those of its
// lists.
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

// entry returns what to call an entry of a list in an error, which must not show the entry.
func entry(i int) string { return "entry " + strconv.Itoa(i+1) }
