// Package manual writes the man pages and the completions of shells, from the one definition of the
// commands that the command line itself is parsed by.
package manual

import (
	"cmp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// command is a command as users write it.
type command struct {
	*kong.Node
	path []string // its words behind the program's name; none for the program itself
}

// commands are the program and all of its commands, in the order of the definition.
func commands(app *kong.Application) []command {
	var out []command
	var walk func(n *kong.Node, path []string)
	walk = func(n *kong.Node, path []string) {
		if n.Hidden {
			return
		}
		out = append(out, command{n, path})
		for _, c := range n.Children {
			walk(c, append(slices.Clone(path), c.Name))
		}
	}

	walk(app.Node, nil)
	return out
}

// words are the names of the commands below c.
func (c command) words() (names []string) {
	for _, child := range c.Children {
		if !child.Hidden {
			names = append(names, child.Name)
		}
	}
	return names
}

// flags are the flags of c, sorted, those of the commands above it included.
func (c command) flags() (out []*kong.Flag) {
	for _, group := range c.AllFlags(true) {
		out = append(out, group...)
	}
	slices.SortFunc(out, func(a, b *kong.Flag) int { return cmp.Compare(a.Name, b.Name) })
	return slices.CompactFunc(out, func(a, b *kong.Flag) bool { return a.Name == b.Name })
}

// values are what a flag or an argument may be, nil if that is not a closed list.
func values(v *kong.Value) (out []string) {
	if v.Enum == "" {
		return nil
	}

	for _, s := range v.EnumSlice() {
		if s != "" {
			out = append(out, s)
		}
	}

	return out
}

// isFile tells whether a value names a file.
func isFile(v *kong.Value) bool { return v.Tag != nil && v.Tag.Type == "path" }

// sentence is a help text without what completions have no room for: its first sentence, without
// the full stop.
func sentence(help string) string {
	help, _, _ = strings.Cut(help, ". ")
	return strings.TrimSuffix(strings.Join(strings.Fields(help), " "), ".")
}
