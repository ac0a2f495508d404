// Package asterisklog reads security events from Asterisk's log files.
//
// Two kinds of lines count. The lines `SecurityEvent="…",…` of the security channel
// (res_security_log.c) are events themselves. NOTICE and WARNING lines of PJSIP, chan_sip,
// chan_iax2 and manager.c report failed requests, most of which raise an event too: see [Family].
// Both hold text that the sender of a packet chose. A log is weaker evidence than AMI, because only
// line ends separate its messages, and an attacker can write line ends. The package promises:
//
//   - A security line is rewritten as the AMI packet of the same event and judged by [ami.Decoder],
//     so the same strictness holds: the exact order of fields, each once, and look-ahead where a
//     forged end is possible.
//   - The address of a failed request is read only where Asterisk's format string fixes its place.
//     Where text of the sender makes that unclear, the line is left out and counted.
//   - A line that text of another message may have written is left out and counted, never believed:
//     see [Stats]. A message that may hold line ends is held back until no such line can come any
//     more.
//   - A printed SIP message is skipped by the length that Asterisk prints in front of it.
//   - `Failed to authenticate device …` and similar messages name no address except in the
//     sender's own words. They are never read.
//
// The limit: an attacker who makes Asterisk print line ends in a message of another family can
// write a perfect line. A dialplan that logs a caller's decoded name allows this, and so does an
// HTTP login with `webenabled`. Asterisk's JSON log and a capture of AMI do not have this weakness.
package asterisklog

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"time"

	"github.com/amifend/amifend/ami"
)

// maxLine is the length of the longest line that can be whole, in bytes. Asterisk cuts a longer
// message together with its line end, and the next message follows on the same line. It cuts at
// LOGMSG_SIZE, 8192 bytes at least (main/logger.c 16.28.0 and 22.10.1; until 13.38.3 at BUFSIZ of
// glibc, which is 8192 too). No real event is as long. maxCarried is the limit for a line with the
// text that JSON and other carriers add.
const (
	maxLine    = 8000
	maxCarried = 48 << 10
)

// Options supply what a log does not contain.
type Options struct {
	Location *time.Location // of time stamps without an offset; nil: the system's
	// Modified is the time of the file's last change. It gives the year of time stamps without one.
	// Zero means now.
	Modified time.Time
}

// Event is one event that was read from a log.
type Event struct {
	ami.Event
	Family Family // FamilySecurity for a line of the security channel
}

// Reader reads one log file. It is not safe for concurrent use.
type Reader struct {
	in      *bufio.Reader
	decoder *ami.Decoder
	framer  framer
	clock   stampReader
	doubts  doubts
	trace   trace
	stats   Stats

	packet   []byte   // scratch: an AMI packet
	head     []byte   // scratch: the beginning of a line that fills the buffer
	session  []byte   // scratch: a session's name
	attempt  attempt  // scratch: the attempt of the current line
	stranger stranger // the last request that no endpoint matched
	emit     func(Event)

	started bool
	// offset is where the current line begins, in bytes of Asterisk's own text. A carrier's bytes
	// do not count.
	offset   int64
	direct   bool  // only lines without a stamp have followed the last security line
	heldFrom int64 // the end of the last security line
	dumpEnd  int64 // the offset up to which a printed SIP message of chan_sip may reach
	relearn  int   // the number of security lines until the offset from UTC is learned again
}

// NewReader returns a Reader of the log r.
func NewReader(r io.Reader, o Options) *Reader {
	return &Reader{
		in: bufio.NewReaderSize(r, 64<<10), decoder: ami.NewDecoder(""), clock: newStampReader(o),
		packet: make([]byte, 0, 2*maxLine),
	}
}

// Stats returns the counts so far.
func (r *Reader) Stats() Stats {
	s := r.stats
	s.Decoder = r.decoder.Stats()
	return s
}

// Read reads one line and calls emit with each event that is certain by now, often with none. The
// events borrow their bytes: see [ami.Event]. At the end of the file Read emits what is left and
// returns io.EOF.
func (r *Reader) Read(emit func(Event)) error {
	if !r.started {
		r.started = true
		r.learn()
	}

	line, err := r.in.ReadSlice('\n')
	size := int64(len(line))
	whole := err == nil

	// A line that fills the buffer is far beyond maxLine. The rest of it is read and not kept, so
	// that memory stays bounded. To read on overwrites the buffer, so the beginning is copied.
	if errors.Is(err, bufio.ErrBufferFull) {
		r.head = append(r.head[:0], line[:maxLine]...)
		line = r.head
	}
	for errors.Is(err, bufio.ErrBufferFull) {
		var more []byte
		more, err = r.in.ReadSlice('\n')
		size += int64(len(more))
	}

	r.emit = emit
	if size > 0 {
		r.stats.Lines++

		// First emit what this line can no longer put in doubt, so that events keep their order.
		r.settle(r.offset)
		if whole && size <= maxCarried {
			r.line(line[:len(line)-1])
		} else {
			// A line without its end, or one longer than any carrier writes, is not whole: nothing
			// in it can be believed.
			r.cut(line, size)
			r.offset += size
			r.doubts.broken()
		}
	}

	if err != nil {
		// No line follows that could contradict what was held back.
		r.decoder.Release(r.decoded)
		r.doubts.cancel()
		r.settle(1<<63 - 1)
	}

	return err
}

// learn reads ahead to the first security line. Its EventTV shows the offset from UTC, which the
// stamps of the lines before it have too.
func (r *Reader) learn() {
	head, _ := r.in.Peek(r.in.Size())
	if isPretty(head) {
		r.in = bufio.NewReaderSize(newPrettyReader(r.in), 64<<10)
		head, _ = r.in.Peek(r.in.Size())
	}

	// An editor on Windows writes a byte order mark.
	head = bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))
	for range 1000 {
		// The last line may go on behind what Peek returned.
		line, rest, ok := bytes.Cut(head, []byte{'\n'})
		if !ok {
			return
		}

		head = rest

		// A cheap test first, because few lines of a log are of the security channel.
		if !bytes.Contains(line, []byte(eventStart)) {
			continue
		}

		fr := r.framer.frame(bytes.TrimSuffix(line, []byte{'\r'}), false, false)
		if p, ok := parsePrefix(fr.text); ok && p.isSecurity() && !fr.foreign {
			r.learnFrom(&fr, &p)

			// The lines before this one are older, and this one is read again in its turn.
			r.clock.last = time.Time{}
			return
		}
	}
}

// learnFrom learns the offset of the PBX's clock from UTC from a security line.
func (r *Reader) learnFrom(fr *frame, p *prefix) {
	const often = 256

	// The offset changes twice a year, so it is learned from one line in many.
	if r.relearn > 0 && r.clock.offset == nil {
		r.relearn--
		return
	}

	r.relearn = often

	// Where the carrier gives a certain time, no offset is needed.
	if at, ok := eventTime(p.message); ok && fr.at.IsZero() {
		r.clock.learn(p.stampOr(fr.stamp), at)
	}
}

// cut counts a line that is not whole. size is its length in bytes, line its beginning.
func (r *Reader) cut(line []byte, size int64) {
	r.direct = false

	// Within a printed SIP message the text is the sender's, so it counts for nothing.
	if r.trace.left > 0 {
		r.trace.left -= min(size, r.trace.left)
		return
	}

	if isSuspicious(line) {
		r.stats.Unread[UnreadCut]++
	}
}

// line reads one whole line, which raw holds without its LF.
func (r *Reader) line(raw []byte) {
	if r.stats.Lines == 1 {
		raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf")) // a byte order mark
	}
	line := bytes.TrimSuffix(raw, []byte{'\r'})
	crlf := len(line) < len(raw)

	// A crash of the machine leaves zero bytes in front of a line. Asterisk prints none.
	line = bytes.TrimLeft(line, "\x00")

	// Within a printed SIP message lines are counted in bytes. One that begins like JSON, or has
	// colours, may be text of the message.
	skipped := false
	var fr frame
	if t := &r.trace; t.left > 0 {
		fr = r.framer.frame(line, !t.json, !t.coloured)
		if text, own := t.text(&fr); own {
			skipped = t.skips(text, crlf)
		}
	}
	if !skipped {
		fr = r.framer.frame(line, r.trace.left > 0 && !r.trace.json, false)
	}

	switch {
	case skipped:
		r.stats.Traced++
	case fr.foreign:
		r.foreign(&fr)
		return
	default:
		r.framed(&fr, crlf)
	}

	// Any line may be the end of a message in front of it, whatever it looks like.
	if len(r.doubts.openings) > 0 && !fr.whole {
		r.doubts.close(fr.text, r.offset, r.stats.Lines)
	}

	r.offset += int64(len(fr.text)) + 1
}

// framed reads a line that was taken out of its carrier. crlf is true if it ended in CR LF.
func (r *Reader) framed(fr *frame, crlf bool) {
	// Asterisk cuts messages of that length, so the line may hold two of them.
	if len(fr.text) > maxLine {
		r.cut(fr.text, int64(len(fr.text)))
		return
	}

	// A line without a prefix may still be the head of a printed SIP message.
	p, ok := parsePrefix(fr.text)
	if ok {
		r.stats.Messages++
	}

	if !fr.whole && r.traced(fr, &p, crlf) {
		return
	}
	r.message(fr, &p, ok)
}

// traced reports whether a line is the head of a printed SIP message whose text is skipped.
func (r *Reader) traced(fr *frame, p *prefix, crlf bool) bool {
	// Asterisk prints the head with a level in front or without.
	message := fr.text
	if p.message != nil {
		message = p.message
	}

	if !bytes.HasPrefix(message, []byte("<--- ")) {
		return false
	}

	// A head within a printed message of chan_sip is the sender's text. To skip lines because of it
	// would hide real ones.
	if r.offset >= r.dumpEnd && r.trace.begin(message, fr, crlf) {
		r.stats.Messages++
		return true
	}

	// chan_sip prints no length, and the sender can write any text that looks like the end. So the
	// longest possible message is assumed.
	r.dumpEnd = r.offset + int64(len(message)) + dumpReach
	return false
}

// dumpReach is the length of the longest SIP packet, in bytes.
const dumpReach = 64 << 10

// waits reports whether the last security line may still turn out to be torn. It releases an event
// when no orphan can belong to it any more.
func (r *Reader) waits() bool {
	if r.offset-r.heldFrom > tornReach && r.decoder.Held() {
		r.decoder.Release(r.decoded)
		r.doubts.cancel()
		r.direct = false
	}
	return r.direct
}

// tornReach is the largest distance in bytes between a security line and its rest, if a line end
// was injected. The longest AccountID is chan_sip's, about 215 bytes.
const tornReach = 512

// feed hands an AMI packet to the decoder.
func (r *Reader) feed(packet []byte) {
	r.packet = packet[:0]
	for len(packet) > 0 {
		// The decoder's buffer may be smaller than a packet.
		n := copy(r.decoder.Buffer(), packet)
		r.decoder.Advance(n, r.decoded, func([]byte) {})
		packet = packet[n:]
	}
}

// decoded receives an event of the security channel from the decoder.
func (r *Reader) decoded(ev ami.Event) {
	// The line was torn, and its real end came further down. So the address in it is text of the
	// sender.
	if ev.Service != ami.ServicePJSIP && r.doubts.closed && ev.Source.Addr() != r.doubts.closer {
		r.stats.Unread[UnreadDoubtful]++
		return
	}

	out := Event{Event: ev, Family: FamilySecurity}

	// An event that the decoder held has its place in the queue.
	if r.doubts.fill(&out) {
		return
	}

	// Events that were read before this one leave before it.
	if len(r.doubts.queue) > 0 {
		r.doubts.hold(&out, r.stats.Lines, true)
		return
	}

	r.emit(out)
}

// settle emits the events that are certain before a line that begins at offset.
func (r *Reader) settle(offset int64) {
	if !r.doubts.idle() {
		r.stats.Unread[UnreadUnclear] += r.doubts.release(offset, r.emit)
	}
}
