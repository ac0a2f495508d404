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

// colours matches the escapes with which Asterisk colours its output.
var colours = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")

// Commands returns the commands whose output [FromCLI] reads: asterisk -rx "COMMAND".
func Commands() []string {
	return []string{
		"pjsip show identifies", "pjsip show registrations", "sip show peers",
		"sip show registry", "iax2 show peers", "iax2 show registry",
	}
}

// FromCLI reads the trunks from the output of one or more of [Commands]. It ignores other lines.
//
// Asterisk cuts long names in these tables; a cut name is a Problem. It is an error if nothing in
// the input is output of these commands.
func FromCLI(r io.Reader) (*Config, error) {
	c := &cli{}
	s := bufio.NewScanner(io.LimitReader(r, maxCLI))
	s.Buffer(nil, 1<<20)

	for s.Scan() {
		c.line(strings.TrimRight(colours.ReplaceAllString(s.Text(), ""), " \r"))
	}

	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("read the output of Asterisk: %w", err)
	}

	if !c.known {
		return nil, errors.New("read the output of Asterisk: found none of its tables; try: " +
			`asterisk -rx "pjsip show identifies"`)
	}

	return &c.Config, nil
}

// cli reads line by line. A table begins with its header and ends with an empty line, or with a
// line that counts its rows.
type cli struct {
	finder
	known    bool         // a table was found
	row      func(string) // reads a row of the current table
	identify string       // the identify whose matches follow
}

// line reads one line.
func (c *cli) line(line string) {
	word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch {
	case word == "Identify:":
		c.table(nil)
		c.identify = strings.TrimSpace(rest)
	case word == "Match:":
		// The legend has <, and a match by a SIP header has a space.
		if rest = strings.TrimSpace(rest); !strings.ContainsAny(rest, " <") {
			c.host(rest, fmt.Sprintf("pjsip show identifies: %s", c.identify))
		}
	case strings.HasPrefix(line, "Name/Username ") && strings.Contains(line, " Mask "):
		c.iaxPeers(line)
	case strings.HasPrefix(line, "Name/username "):
		c.peers(line)
	case strings.HasPrefix(line, "Host ") && strings.Contains(line, " dnsmgr "):
		c.registry(line)
	case strings.Contains(line, "<Registration/ServerURI"):
		c.registrations(line)
	case isFooter(line):
		c.table(nil)
	case strings.HasPrefix(line, "===") || line == "":
	case c.row != nil:
		c.row(line)
	}
}

// isFooter reports whether a line ends a table by counting its rows.
func isFooter(line string) bool {
	return line == "No objects found." || strings.HasSuffix(line, " SIP registrations.") ||
		strings.HasSuffix(line, " IAX2 registrations.") ||
		strings.Contains(line, " sip peers [") || strings.Contains(line, " iax2 peers [")
}

// table begins a table whose rows are read by row, or a state without rows.
func (c *cli) table(row func(string)) { c.known, c.row = true, row }

// peers reads the header of `sip show peers`. Static hosts are trunks, or phones that may be
// allowed as well.
func (c *cli) peers(header string) {
	host, dyn := strings.Index(header, "Host "), strings.Index(header, "Dyn ")
	if host < 0 || dyn < host {
		return
	}

	c.table(func(line string) {
		name, value := column(line, 0, host), column(line, host, dyn)
		dynamic := strings.HasPrefix(column(line, dyn, dyn+4), "D")
		if dynamic || strings.HasPrefix(value, "(") {
			return
		}
		c.cut(value, dyn-host-1, "sip show peers: "+name, c.host)
	})
}

// iaxPeers reads the header of `iax2 show peers`. Behind the host, (S) marks a static one and (D)
// one that registers itself. The columns of the rows do not stand below those of the header.
func (c *cli) iaxPeers(header string) {
	host := strings.Index(header, "Host ")
	if host < 0 {
		return
	}

	c.table(func(line string) {
		fields := strings.Fields(column(line, host, len(line)))
		if len(fields) > 1 && fields[1] == "(S)" {
			c.host(fields[0], "iax2 show peers: "+column(line, 0, host))
		}
	})
}

// registry reads the header of `sip show registry` or `iax2 show registry`.
func (c *cli) registry(header string) {
	command := "sip show registry"
	if strings.Contains(header, " Perceived ") {
		command = "iax2 show registry"
	}

	end := strings.Index(header, "dnsmgr ")
	c.table(func(line string) {
		c.cut(column(line, 0, end), end-1, command, c.host)
	})
}

// registrations reads the header of `pjsip show registrations`: NAME/URI, no wider than its legend.
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

// cut calls add with a value, unless Asterisk may have cut its end off: the value fills its column,
// and the colon that ends a host is not visible.
func (c *cli) cut(value string, width int, where string, add func(text, where string)) {
	if len(value) >= width && !strings.HasSuffix(value, ":") {
		c.Problems = append(c.Problems,
			Problem{where, "Asterisk cut the name off; look it up in its config"})
		return
	}
	add(strings.TrimSuffix(value, ":"), where)
}

// column returns the text between two byte positions of a line.
func column(line string, from, to int) string {
	from, to = min(from, len(line)), min(to, len(line))
	return strings.TrimSpace(line[from:to])
}
