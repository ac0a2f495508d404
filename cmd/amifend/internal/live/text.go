package live

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
)

// safe returns a text that holds no control character and nothing that moves, hides or turns other
// text. The daemon quotes what attackers wrote. This is the second lock, for a daemon that would not.
func safe(text string) string {
	bad := func(r rune) bool { return !unicode.IsPrint(r) || unicode.IsMark(r) }
	if !utf8.ValidString(text) || strings.IndexFunc(text, bad) >= 0 {
		return ami.Quote([]byte(text))
	}
	return text
}

// fit returns a text in exactly as many columns: cut, or filled with spaces.
func fit(text string, width int, s *style) string {
	text = safe(text)
	w := ansi.StringWidth(text)
	if w > width {
		text = ansi.Truncate(text, width, s.cut)
		w = ansi.StringWidth(text)
	}
	return text + strings.Repeat(" ", max(0, width-w))
}

// fitRight is fit with the text at the right.
func fitRight(text string, width int, s *style) string {
	text = safe(text)
	if w := ansi.StringWidth(text); w <= width {
		return strings.Repeat(" ", width-w) + text
	}
	return fit(text, width, s)
}

// style draws in the way that the terminal can show.
type style struct {
	colour bool
	sparks []rune // the smallest first; the first one is for no event
	cut    string // the end of a text that was cut
	line   string
	bar    string
	corner [4]string // of a frame: top left, top right, bottom left, bottom right
	here   string    // before the selected row
	dots   string    // between parts of a line
}

func newStyle(colour, ascii bool) style {
	if ascii {
		return style{
			colour: colour, sparks: []rune(".:-=+*#@"), cut: "~", line: "-", bar: "|",
			corner: [4]string{"+", "+", "+", "+"}, here: ">", dots: " - ",
		}
	}
	return style{
		colour: colour, sparks: []rune("▁▂▃▄▅▆▇█"), cut: "…", line: "─", bar: "│",
		corner: [4]string{"┌", "┐", "└", "┘"}, here: "▶", dots: " · ",
	}
}

// Styles beside those of package screen.
const (
	faint   screen.Style = "\x1b[2m"
	reverse screen.Style = "\x1b[7m"
	plain   screen.Style = ""
)

// text returns a safe text in a style.
func (s *style) text(with screen.Style, text string) string {
	if with == plain {
		return text
	}
	return screen.Screen{Colour: s.colour}.Style(with, text)
}

// spark draws values as one line of a width, the newest at the right. The highest is as high as the
// line. It leaves out the oldest ones for which there is no room.
func (s *style) spark(values []uint64, width int) string {
	if len(values) > width {
		values = values[len(values)-width:]
	}
	var most uint64
	for _, v := range values {
		most = max(most, v)
	}

	var b strings.Builder
	b.WriteString(strings.Repeat(" ", width-len(values)))
	steps := uint64(len(s.sparks) - 1)
	for _, v := range values {
		// One event in an hour of thousands is still not nothing.
		height := uint64(0)
		if v > 0 {
			height = max(1, uint64(float64(v)/float64(most)*float64(steps)+0.5))
		}
		b.WriteRune(s.sparks[min(height, steps)])
	}
	return b.String()
}
