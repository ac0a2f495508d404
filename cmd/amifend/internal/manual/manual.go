// Package manual writes the man pages and the shell completions from the definition of the commands
// that also parses the command line.
package manual

import (
	"cmp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// command is a command of the program.
type command struct {
	*kong.Node
	path []string // the words behind the program's name; none for the program itself
}

// commands returns the program and all its commands, in the order of the definition.
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

// words returns the names of the commands below c.
func (c command) words() (names []string) {
	for _, child := range c.Children {
		if !child.Hidden {
			names = append(names, child.Name)
		}
	}
	return names
}

// flags returns the flags of c, with those of the commands above it and of its default command,
// sorted.
func (c command) flags() (out []*kong.Flag) {
	groups := c.AllFlags(true)
	if c.DefaultCmd != nil {
		groups = append(groups, c.DefaultCmd.AllFlags(true)...)
	}
	for _, group := range groups {
		out = append(out, group...)
	}
	slices.SortFunc(out, func(a, b *kong.Flag) int { return cmp.Compare(a.Name, b.Name) })
	return slices.CompactFunc(out, func(a, b *kong.Flag) bool { return a.Name == b.Name })
}

// values returns the possible values of a flag or an argument, or nil if the list is not closed.
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

// live returns the command that lists the values which a flag or an argument has now, or "". The tag
// complete names the list.
func live(app *kong.Application, v *kong.Value) string {
	if v.Tag == nil || !v.Tag.Has("complete") {
		return ""
	}
	return app.Name + " words " + v.Tag.Get("complete") + " 2>/dev/null"
}

// isFile reports whether a value names a file.
func isFile(v *kong.Value) bool { return v.Tag != nil && v.Tag.Type == "path" }

// sentence returns the first sentence of a help text, without the full stop. Completions have no
// room for more.
func sentence(help string) string {
	help, _, _ = strings.Cut(help, ". ")
	return strings.TrimSuffix(strings.Join(strings.Fields(help), " "), ".")
}
