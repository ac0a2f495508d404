package pbxconf

import "strings"

// comments takes the comments out of lines: from a ; to the end of the line, and from ;-- to --;
// over several lines, one within another. \; is a semicolon. It follows config_text_file_load of
// Asterisk's main/config.c.
type comments struct {
	depth int // of blocks
}

func (c *comments) strip(line string) string {
	var out strings.Builder
	keep := func(s string) {
		if c.depth == 0 {
			out.WriteString(s)
		}
	}

	start := 0 // of what was not looked at yet
	for {
		i := strings.IndexByte(line[start:], ';')
		if i < 0 {
			keep(line[start:])
			return out.String()
		}

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
