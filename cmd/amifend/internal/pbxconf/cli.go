package pbxconf

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// maxCLI bounds the output that is read: 100,000 peers print about 15 MB.
const maxCLI = 64 << 20

var colours = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")

// FromCLI reads the trunks out of what one or more of [Commands] printed. Lines that are none of
// theirs are passed over.
//
// Asterisk cuts long names in these tables; one that was cut is a Problem. It is an error if
// nothing in the input is output of these commands.
func FromCLI(r io.Reader) ([]Trunk, []Problem, error) {
	c := &cli{}
	s := bufio.NewScanner(io.LimitReader(r, maxCLI))
	s.Buffer(nil, 1<<20)

	for s.Scan() {
		c.line(strings.TrimRight(colours.ReplaceAllString(s.Text(), ""), " \r"))
	}

	if err := s.Err(); err != nil {
		return nil, nil, fmt.Errorf("read the output of Asterisk: %w", err)
	}

	if !c.known {
		return nil, nil,
			errors.New(`read the output of Asterisk: found none of its tables; try: asterisk -rx "pjsip show identifies"`)
	}

	return c.trunks, c.problems, nil
}

// cli reads line by line. A table goes from its header to an empty line or to a line that counts
// its rows.
type cli struct {
	finder
	known    bool         // a table was seen
	row      func(string) // reads a row of the table that we are in
	identify string       // the one whose matches follow
}

func (c *cli) line(line string) {
	word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch {
	case word == "Identify:":
		c.table(nil)
		c.identify = strings.TrimSpace(rest)
	case word == "Match:":
		// not the legend, nor a match by a SIP header
		if rest = strings.TrimSpace(rest); !strings.ContainsAny(rest, " <") {
			c.host(rest, fmt.Sprintf("pjsip show identifies: %s", c.identify))
		}
	case strings.HasPrefix(line, "Name/username "):
		c.peers(line)
	case strings.HasPrefix(line, "Host ") && strings.Contains(line, " dnsmgr "):
		c.registry(line)
	case strings.Contains(line, "<Registration/ServerURI"):
		c.registrations(line)

	case line == "No objects found." || strings.HasSuffix(line, " SIP registrations.") ||
		strings.Contains(line, " sip peers ["):
		c.table(nil)
	case strings.HasPrefix(line, "===") || line == "":
	case c.row != nil:
		c.row(line)
	}
}

func (c *cli) table(row func(string)) { c.known, c.row = true, row }

// peers reads `sip show peers`: static hosts are trunks, or phones that nobody minds to see
// allowed.
func (c *cli) peers(header string) {
	host, dyn := strings.Index(header, "Host "), strings.Index(header, "Dyn ")
	if host < 0 || dyn < host {
		return
	}

	c.table(func(line string) {
		name, value := column(line, 0, host), column(line, host, dyn)
		if dynamic := strings.HasPrefix(column(line, dyn, dyn+4), "D"); dynamic ||
			strings.HasPrefix(value, "(") {
			return
		}
		c.cut(value, dyn-host-1, "sip show peers: "+name, c.host)
	})
}

// registry reads `sip show registry`.
func (c *cli) registry(header string) {
	end := strings.Index(header, "dnsmgr ")
	c.table(func(line string) {
		c.cut(column(line, 0, end), end-1, "sip show registry", c.host)
	})
}

// registrations reads `pjsip show registrations`: NAME/URI, with no more than the legend's width.
func (c *cli) registrations(header string) {
	start := strings.Index(header, "<Registration/")
	end := start + strings.IndexByte(header[start:], '>') + 1
	if end <= start {
		return
	}

	c.table(func(line string) {
		name, uri, ok := strings.Cut(column(line, start, end), "/")
		if ok {
			c.cut(uri, end-start-len(name)-1, "pjsip show registrations: "+name, c.uris)
		}
	})
}

// cut hands a value on, unless it fills its column: then its end may be missing, unless the host's
// end is seen.
func (c *cli) cut(value string, width int, where string, add func(text, where string)) {
	if len(value) >= width && !strings.HasSuffix(value, ":") {
		c.problems = append(c.problems,
			Problem{where, "Asterisk cut the name off; look it up in its config"})
		return
	}
	add(strings.TrimSuffix(value, ":"), where)
}

// column is the text between two byte positions of a line.
func column(line string, from, to int) string {
	from, to = min(from, len(line)), min(to, len(line))
	return strings.TrimSpace(line[from:to])
}
