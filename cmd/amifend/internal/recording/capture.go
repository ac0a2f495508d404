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

// Errors of a capture of AMI that a text editor or a terminal has changed. Such a capture is
// refused, because the change looks like text that an attacker injected. AMI ends each line with CR
// LF, and keeps the blank behind the colon of an empty value.
var (
	errLF = errors.New("was changed on its way: no line of it ends in CR LF, as all of AMI do. A " +
		"copy as text, or a terminal, did that; capture it with nc and copy it as it is")
	errCR = errors.New("was changed on its way: its lines end in CR CR LF. A copy as text " +
		"did that; copy the capture as it is")
	errBlanks = errors.New("was changed on its way: blanks at line ends were cut off. An editor " +
		"does that; copy the capture as it is")
	errWhole = errors.New("was changed on its way: events are in it, and none is whole. Line " +
		"ends, blanks or empty lines were changed; copy the capture as it is")
	errBOM = errors.New("was changed on its way: it begins with a byte order mark. An editor " +
		"does that; copy the capture as it is")
)

// changed returns an error if the beginning of a capture shows that it was changed on its way.
func changed(head []byte) error {
	if bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) {
		return errBOM
	}

	// The first line is enough, since a program changes all of them alike.
	line, _, ok := bytes.Cut(head, []byte{'\n'})

	switch {
	case !ok && bytes.IndexByte(head, '\r') >= 0:
		return errCRAlone
	case !ok:
		return nil
	case bytes.HasSuffix(line, []byte("\r\r")):
		return errCR
	case !bytes.HasSuffix(line, []byte{'\r'}) && !bytes.Contains(head, []byte("\r\n")):
		return errLF
	}

	return nil
}

// capture reads the recorded bytes of an AMI connection.
type capture struct {
	in      *bufio.Reader
	decoder *ami.Decoder
	err     error

	started bool

	// kept is set once an empty value with its blank was seen: blanks were not cut off. An attacker
	// can write an empty value without a blank, but cannot keep the PBX from writing values with
	// one. The challenges of phones and attackers have such a value.
	kept   bool
	recent []byte // the piece before and this one, while kept is not set
	piece  int    // how many bytes of recent are the piece before

	addresses uint64 // how often a source is named
	lines     uint64 // how often at the beginning of a line
	tail      []byte // the end of the piece before, in which such a line may begin
}

// Read reads a piece and calls emit with its events. At the end it releases what the decoder
// holds, as a session does when it is closed.
func (c *capture) Read(emit func(asterisklog.Event)) error {
	if c.err != nil {
		return c.err
	}
	if !c.started {
		// Challenges come early, so for most captures the beginning shows that blanks were kept.
		head, _ := c.in.Peek(sniffed)
		c.started = true
		c.kept = hasEmpty(head, ": \r\n")

		// The reason is known before the first event, so that nobody is accused.
		if !c.kept && hasEmpty(head, ":\r\n") {
			c.err = errBlanks
			return c.err
		}
	}

	buffer := c.decoder.Buffer()
	n, err := c.in.Read(buffer)

	// The packet that an event comes from may have begun in the piece before.
	c.remember(buffer[:n])
	c.count(buffer[:n])

	told := func(ev ami.Event) {
		// A blank that was cut off looks like an injection. So check the capture before the event
		// counts against its sender.
		if ev.Taint != ami.Untainted && c.blanksCut() {
			c.err = errBlanks
		}
		if c.err == nil {
			emit(asterisklog.Event{Event: ev})
		}
	}

	// A dropped packet is the other sign that blanks were cut off.
	before := dropped(c.decoder.Stats())
	c.decoder.Advance(n, told, func([]byte) {})
	if err != nil {
		// No byte follows, so the event that was held is final.
		c.decoder.Release(told)
		if errors.Is(err, io.EOF) {
			err = io.EOF
		}
	}

	if (err != nil || dropped(c.decoder.Stats()) > before) && c.blanksCut() {
		c.err = errBlanks
	}
	if err != nil && c.addresses > 0 && c.accounted() == 0 {
		c.err = cmp.Or(c.err, errWhole)
	}
	return cmp.Or(c.err, err)
}

// count counts how often a source is named, whatever stands around it.
func (c *capture) count(piece []byte) {
	const sign = "RemoteAddress: IPV"

	// A line may begin in the piece before.
	c.tail = append(c.tail, piece...)
	for i := 0; ; {
		n := bytes.Index(c.tail[i:], []byte(sign))
		if n < 0 {
			break
		}
		c.addresses++
		if at := i + n; at > 0 && (c.tail[at-1] == '\n' || c.tail[at-1] == '\r') {
			c.lines++
		}
		i += n + len(sign)
	}

	// Too short to hold the sign with the line end in front of it a second time.
	keep := min(len(c.tail), len(sign))
	c.tail = append(c.tail[:0], c.tail[len(c.tail)-keep:]...)
}

// accounted returns the number of events that the decoder knows of, whether it believes them or
// not.
func (c *capture) accounted() (n uint64) {
	s := c.decoder.Stats()
	for _, e := range s.Events {
		n += e
	}
	for _, e := range s.Tainted {
		n += e
	}
	return n + dropped(s)
}

// lost returns the number of events that the capture holds and the decoder does not know of: parts
// of the capture were changed on its way.
func (c *capture) lost() uint64 {
	s := c.decoder.Stats()
	injected := dropped(s)
	for _, n := range s.Tainted {
		injected += n
	}

	// Injected text may name several sources. The last packet may be cut off.
	const most = 8
	if n := c.accounted() + most*injected + 1; c.lines > n {
		return c.lines - n
	}
	return 0
}

// captureStart returns where a capture begins in head, the beginning of a file. What stands in front
// of the banner is of the tool that recorded it, such as telnet or script. It reports false if the
// file is no capture.
func captureStart(head []byte) (int, bool) {
	if isCapture(head) {
		return 0, true
	}

	const first = 2 << 10
	if i := bytes.Index(head[:min(len(head), first)], []byte("\nAsterisk Call Manager/")); i >= 0 {
		return i + 1, true
	}

	// A part of a capture begins within an event, which is left out.
	if !bytes.Contains(head, []byte("\nRemoteAddress: IPV")) {
		return 0, false
	}
	i := bytes.Index(head, []byte("\r\n\r\nEvent: "))
	return i + len("\r\n\r\n"), i >= 0
}

// dropped returns the number of packets that gave no event because of their text.
func dropped(s ami.Stats) (n uint64) {
	for _, d := range s.Dropped {
		n += d
	}
	return n + s.Orphans
}

// remember keeps the last two pieces, which hold the packet of the current event.
func (c *capture) remember(piece []byte) {
	if c.kept {
		return
	}
	c.recent = append(c.recent[:0], c.recent[c.piece:]...)
	c.piece = len(c.recent)
	c.recent = append(c.recent, piece...)
}

// blanksCut reports whether blanks at line ends were cut off: there is an empty value without its
// blank, and none with it. It is called only before an event counts as an injection.
func (c *capture) blanksCut() bool {
	c.kept = c.kept || hasEmpty(c.recent, ": \r\n")
	return !c.kept && hasEmpty(c.recent, ":\r\n")
}

// hasEmpty reports whether b holds a key that is followed by end, an empty value with its line end.
func hasEmpty(b []byte, end string) bool {
	for _, key := range [...]string{"Challenge", "ExpectedResponse", "AccountID", "ACLName"} {
		if bytes.Contains(b, []byte("\n"+key+end)) {
			return true
		}
	}
	return false
}
