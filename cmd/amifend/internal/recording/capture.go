package recording

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/asterisklog"
)

// A capture of AMI that was changed on its way accuses nobody: what a text editor or a terminal did to it looks like text that
// an attacker injected. AMI ends each line with CR LF, and keeps the blank behind the colon of an empty value.
var (
	errLF = errors.New("was changed on its way: no line of it ends in CR LF, as all of AMI do. A copy as text, or a terminal, did " +
		"that; capture it with nc and copy it as it is")
	errCR     = errors.New("was changed on its way: its lines end in CR CR LF. A copy as text did that; copy the capture as it is")
	errBlanks = errors.New("was changed on its way: blanks at line ends were cut off. An editor does that; copy the capture as it is")
	errBOM    = errors.New("was changed on its way: it begins with a byte order mark. An editor does that; copy the capture as it is")
)

// changed reports how a capture was changed on its way, as its beginning shows.
func changed(head []byte) error {
	if bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) {
		return errBOM
	}
	line, _, ok := bytes.Cut(head, []byte{'\n'})
	switch {
	case !ok:
		return nil
	case bytes.HasSuffix(line, []byte("\r\r")):
		return errCR
	case !bytes.HasSuffix(line, []byte{'\r'}) && !bytes.Contains(head, []byte("\r\n")):
		return errLF
	}
	return nil
}

// capture reads the bytes of an AMI connection.
type capture struct {
	in      *bufio.Reader
	decoder *ami.Decoder
	blanks  blanks
	err     error
}

// Read reads a piece. What waits for more at the end is released, as in a session that is closed.
func (c *capture) Read(emit func(asterisklog.Event)) error {
	if c.err != nil {
		return c.err
	}
	if !c.blanks.started {
		head, _ := c.in.Peek(sniffed)
		c.blanks = blanks{started: true, kept: hasEmpty(head, ": \r\n")}
	}
	buffer := c.decoder.Buffer()
	n, err := c.in.Read(buffer)
	if c.blanks.cut(buffer[:n]) {
		// The packet with the cut line has not ended before this piece, so it accused nobody yet.
		c.err = errBlanks
		return c.err
	}

	told := func(ev ami.Event) { emit(asterisklog.Event{Event: ev}) }
	c.decoder.Advance(n, told, func([]byte) {})
	if err != nil {
		c.decoder.Release(told)
		if errors.Is(err, io.EOF) {
			return io.EOF
		}
	}
	return err
}

// blanks finds out whether the blanks at line ends were cut off a capture: it has an empty value without its blank, and none
// with it. An attacker can write one without, but cannot keep the PBX from writing one with it: challenges have it.
type blanks struct {
	started bool
	kept    bool
	joint   []byte // the end of the piece before and the beginning of this one
}

// longestEmpty is how long a line with an empty value is at most, with the line ends around it.
const longestEmpty = len("\nExpectedResponse: \r\n")

// cut reports whether a piece, the next one of a capture, shows that blanks were cut off.
func (b *blanks) cut(piece []byte) bool {
	if b.kept {
		return false
	}
	b.joint = append(b.joint, piece[:min(len(piece), longestEmpty)]...)
	found := hasEmpty(piece, ":\r\n") || hasEmpty(b.joint, ":\r\n")
	b.kept = hasEmpty(piece, ": \r\n") || hasEmpty(b.joint, ": \r\n")
	b.joint = append(b.joint[:0], piece[max(0, len(piece)-longestEmpty):]...)
	return found && !b.kept
}

// hasEmpty reports whether bytes of a capture have an empty value with an end.
func hasEmpty(b []byte, end string) bool {
	for _, key := range [...]string{"Challenge", "ExpectedResponse", "AccountID", "ACLName"} {
		if bytes.Contains(b, []byte("\n"+key+end)) {
			return true
		}
	}
	return false
}
