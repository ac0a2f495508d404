package recording

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/asterisklog"
)

// A capture of AMI that was changed on its way accuses nobody: what a text editor or a terminal did
// to it looks like text that an attacker injected. AMI ends each line with CR LF, and keeps the
// blank behind the colon of an empty value.
var (
	errLF = errors.New("was changed on its way: no line of it ends in CR LF, as all of AMI do. A " +
		"copy as text, or a terminal, did " +
		"that; capture it with nc and copy it as it is")
	errCR = errors.New("was changed on its way: its lines end in CR CR LF. A copy as text " +
		"did that; copy the capture as it is")
	errBlanks = errors.New("was changed on its way: blanks at line ends were cut off. An editor " +
		"does that; copy the capture as it is")
	errBOM = errors.New("was changed on its way: it begins with a byte order mark. An editor " +
		"does that; copy the capture as it is")
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
	err     error

	// Whether an empty value with its blank was seen, so that blanks were not cut off: an attacker
	// can write an empty value without one, but cannot keep the PBX from writing one with it.
	// Challenges have it, of phones and attackers alike.
	started, kept bool
	recent        []byte // the piece before and this one, while that is not certain
	piece         int    // how many bytes of recent are the piece before
}

// Read reads a piece. What waits for more at the end is released, as in a session that is closed.
func (c *capture) Read(emit func(asterisklog.Event)) error {
	if c.err != nil {
		return c.err
	}
	if !c.started {
		head, _ := c.in.Peek(sniffed)
		c.started, c.kept = true, hasEmpty(head, ": \r\n")
	}
	buffer := c.decoder.Buffer()
	n, err := c.in.Read(buffer)
	c.remember(buffer[:n])

	told := func(ev ami.Event) {
		if ev.Taint != ami.Untainted && c.blanksCut() {
			c.err = errBlanks
		}
		if c.err == nil {
			emit(asterisklog.Event{Event: ev})
		}
	}
	before := dropped(c.decoder.Stats())
	c.decoder.Advance(n, told, func([]byte) {})
	if err != nil {
		c.decoder.Release(told)
		if errors.Is(err, io.EOF) {
			err = io.EOF
		}
	}
	if (err != nil || dropped(c.decoder.Stats()) > before) && c.blanksCut() {
		c.err = errBlanks
	}
	return cmp.Or(c.err, err)
}

// dropped is how many packets gave no event because of their text.
func dropped(s ami.Stats) (n uint64) {
	for _, d := range s.Dropped {
		n += d
	}
	return n + s.Orphans
}

// remember keeps the last two pieces: the packet that an event was read from is in them.
func (c *capture) remember(piece []byte) {
	if c.kept {
		return
	}
	c.recent = append(c.recent[:0], c.recent[c.piece:]...)
	c.piece = len(c.recent)
	c.recent = append(c.recent, piece...)
}

// blanksCut reports whether blanks at line ends were cut off: there is an empty value without its
// blank, and none with it. What is decided by it is an accusation, so only then is it looked for.
func (c *capture) blanksCut() bool {
	c.kept = c.kept || hasEmpty(c.recent, ": \r\n")
	return !c.kept && hasEmpty(c.recent, ":\r\n")
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
