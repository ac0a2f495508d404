// Package screen fits the text of the commands to a terminal: it wraps lines to the width of the
// terminal, and colours the words that a reader looks for. Text that goes to a file or a pipe stays
// as it is, so that scripts see one fact on one line.
package screen

import (
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// When selects where colours are printed.
type When string

// The values of When.
const (
	Auto   When = "auto"   // on a terminal, unless NO_COLOR is set
	Always When = "always" // also in a pipe
	Never  When = "never"
)

// usualWidth is the width of a terminal that does not report its own.
const usualWidth = 80

// narrowest is the least width to which text is wrapped. Narrower lines are harder to read than
// those that the terminal breaks.
const narrowest = 40

// Screen is where a command writes. The zero value leaves text as it is.
type Screen struct {
	Width  int // in columns; 0: do not wrap
	Colour bool
}

// Of returns the screen for a file. getenv returns environment variables, as [os.Getenv] does.
func Of(f *os.File, when When, getenv func(string) string) Screen {
	terminal := IsTerminal(f)
	s := Screen{Colour: when == Always}
	if when == Auto {
		s.Colour = terminal && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
	}

	if terminal {
		s.Width = usualWidth
		size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
		if err == nil && size.Col > 0 {
			s.Width = max(narrowest, int(size.Col))
		}
	}

	return s
}

// IsTerminal reports whether a file is a terminal.
func IsTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// Style is how a text looks.
type Style string

// The styles, as SGR sequences of ECMA-48.
const (
	Bold Style = "\x1b[1m"
	Good Style = "\x1b[1;32m" // bold green
	Warn Style = "\x1b[1;33m" // bold yellow
	Bad  Style = "\x1b[1;31m" // bold red
)

const reset = "\x1b[0m"

// Style returns a text of one line in a style, or the text alone if the screen has no colours.
func (s Screen) Style(style Style, text string) string {
	if !s.Colour || text == "" {
		return text
	}
	return string(style) + text + reset
}

// First returns a text with its first line in a style.
func (s Screen) First(style Style, text string) string {
	first, rest, found := strings.Cut(text, "\n")
	if found {
		rest = "\n" + rest
	}
	return s.Style(style, first) + rest
}

// Wrap returns a text with the lines that are too long broken at spaces. The rest of a line begins
// below its text: behind the label if it has one, such as "  do: " or "  rule:   ". Text that is to
// be copied does not belong here.
func (s Screen) Wrap(text string) string {
	if s.Width == 0 {
		return text
	}

	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = s.wrapLine(l)
	}
	return strings.Join(lines, "\n")
}

// wrapLine breaks one line.
func (s Screen) wrapLine(line string) string {
	if columns(line) <= s.Width {
		return line
	}

	// A word that is longer than the line stays whole: it may be an address or a command.
	indent := strings.Repeat(" ", min(hang(line), s.Width/2))
	var b strings.Builder
	var word bool // whether the current line has a word
	at := 0
	for _, part := range words(line) {
		width := columns(strings.TrimRight(part, " "))
		if word && width > 0 && at+width > s.Width {
			b.WriteString("\n" + indent)
			at, word = len(indent), false
		}
		b.WriteString(part)
		at += columns(part)
		word = word || width > 0
	}

	return trimEnds(b.String())
}

// words returns the words of a line, each with the spaces behind it. What is quoted is one word,
// since a command with a line break in a quoted part does something else.
func words(line string) (out []string) {
	var quote byte // the quotation mark that ends the word; 0: a space ends it
	start := 0
	for i := range len(line) {
		switch c := line[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case i == start && (c == '\'' || c == '"') && strings.IndexByte(line[i+1:], c) >= 0:
			quote = c
		case c == ' ':
			out = append(out, line[start:i+1])
			start = i + 1
		}
	}
	return append(out, line[start:])
}

// trimEnds removes the spaces before line breaks.
func trimEnds(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " ")
	}
	return strings.Join(lines, "\n")
}

// hang returns the column where the text of a line begins.
func hang(line string) int {
	plain := strip(line)
	margin := len(plain) - len(strings.TrimLeft(plain, " "))
	label, rest, found := strings.Cut(plain[margin:], " ")
	if !found {
		return margin + 2
	}

	// A label ends in a colon, or more than one space follows it.
	gap := 1 + len(rest) - len(strings.TrimLeft(rest, " "))
	if !strings.HasSuffix(label, ":") && gap == 1 {
		return margin + 2
	}
	return margin + utf8.RuneCountInString(label) + gap
}

// columns returns the width of a text without its styles. The commands quote the characters of
// other widths than one.
func columns(text string) int { return utf8.RuneCountInString(strip(text)) }

// strip returns a text without its styles.
func strip(text string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, "\x1b[")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		_, text, _ = strings.Cut(after, "m")
	}
}
