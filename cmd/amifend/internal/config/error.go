package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Problem is one thing that is wrong with a config file.
type Problem struct {
	File string // that it is in; "": the config file
	// as in "policy.threshold" or "server[2].address", counted from 1; "" for the file as a whole
	Key  string
	Line int    // 0 if unknown
	Text string // what is wrong, and what to write instead
}

// Error lists all that is wrong with a config file, in the order of its lines, and then with the
// lists that it names.
type Error struct {
	File     string
	Problems []Problem
}

// Error gives one line a problem: FILE:LINE: KEY: TEXT.
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

func sorted(ps []Problem) []Problem {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return ps
}

// quote shows a value of the file in an error: one line, of bounded length.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}
