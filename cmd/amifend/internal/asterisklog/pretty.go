package asterisklog

import (
	"bufio"
	"bytes"
	"errors"
)

// `journalctl -o json-pretty` prints an entry on several lines: `{`, a line for each member, and
// `}`. prettyReader joins them, so that an entry is one line as with `-o json`. Strings in JSON
// have no line ends of their own.

// isPretty reports whether a file, by its beginning, is of that form. Text of a sender cannot be in
// front of it.
func isPretty(head []byte) bool {
	line, _, ok := bytes.Cut(head, []byte{'\n'})
	return ok && string(bytes.TrimRight(line, " \r")) == "{"
}

// prettyReader is an io.Reader of the joined lines.
type prettyReader struct {
	in    *bufio.Reader
	entry []byte // the lines of the current entry, joined
	out   []byte // what is left of a whole one
	err   error
}

func newPrettyReader(in *bufio.Reader) *prettyReader { return &prettyReader{in: in} }

func (p *prettyReader) Read(b []byte) (int, error) {
	for len(p.out) == 0 && p.err == nil {
		p.next()
	}
	if len(p.out) == 0 {
		return 0, p.err
	}

	n := copy(b, p.out)
	p.out = p.out[n:]
	return n, nil
}

// next reads one line.
func (p *prettyReader) next() {
	line, err := p.in.ReadSlice('\n')
	if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
		p.err = err
	}

	// An entry that is longer than any line that is read is cut off, so that memory stays bounded.
	trimmed := bytes.Trim(line, " \t\r\n")
	if room := maxCarried + 1 - len(p.entry); room > 0 {
		p.entry = append(p.entry, trimmed[:min(len(trimmed), room)]...)
	}

	// Members are indented, so only the end of an entry begins a line.
	if len(line) > 0 && line[0] == '}' || p.err != nil && len(p.entry) > 0 {
		p.out = append(p.entry, '\n')
		p.entry = p.entry[len(p.entry):len(p.entry):len(p.entry)]
	}
}
