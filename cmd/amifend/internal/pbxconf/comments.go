package pbxconf

import "strings"

// comments removes comments from lines. A comment reaches from ; to the end of the line, or from
// ;-- to --; over several lines, and the latter may be nested. \; is a semicolon. The rules are
// those of config_text_file_load in Asterisk's main/config.c.
type comments struct {
	depth int // of nested blocks
}

// strip returns a line without its comments.
func (c *comments) strip(line string) string {
	var out strings.Builder
	keep := func(s string) {
		if c.depth == 0 {
			out.WriteString(s)
		}
	}

	start := 0 // of the part that is still to be read
	for {
		i := strings.IndexByte(line[start:], ';')
		if i < 0 {
			keep(line[start:])
			return out.String()
		}

		// A semicolon is part of the text, begins or ends a block, or ends the line.
		before, after := line[start:start+i], line[start+i+1:]
		switch {
		case strings.HasSuffix(before, `\`):
			keep(before[:len(before)-1] + ";")
		case strings.HasPrefix(after, "--") && !strings.HasPrefix(after, "---"):
			keep(before)
			c.depth++
			i += 2
		case c.depth > 0 && strings.HasSuffix(before, "--"):
			c.depth--
		case c.depth == 0:
			keep(before)
			return out.String()
		}

		start += i + 1
	}
}
