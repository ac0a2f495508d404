// Package asterisklog reads Asterisk's log files as the security events that they tell of.
//
// Two kinds of lines count. `SecurityEvent="…",…` of the security channel (res_security_log.c) are
// events themselves. NOTICE and WARNING lines of PJSIP, chan_sip, chan_iax2 and manager.c tell of
// failed requests, which raised events: see [Family]. Both hold text that the sender of a packet
// chose, and a log is weaker evidence than AMI: it has no framing but line ends, and an attacker
// can write those. What the package promises:
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
//   - `Failed to authenticate device …` and its like name no address but the sender's own words:
//     they are never read.
//
// Its limit: who can make Asterisk print a message with line ends in it that is of none of these
// families, a dialplan that logs a caller's decoded name for one, or an HTTP login with
// `webenabled`, can write a perfect line. Asterisk's JSON log and a capture of AMI do not have that
// weakness.
package asterisklog

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"time"

	"github.com/amifend/amifend/ami"
)

// maxLine is the longest line that can be whole. Asterisk cuts a message, with the line end, at
// LOGMSG_SIZE: 8192 bytes at least (main/logger.c 16.28.0, 22.10.1; BUFSIZ of glibc, which is that,
// until 13.38.3), and the next message follows on the same line. No real event is as long.
// maxCarried is the same with what JSON and other carriers add.
const (
	maxLine    = 8000
	maxCarried = 48 << 10
)

// Options say what a log does not.
type Options struct {
	Location *time.Location // of time stamps without an offset; nil: the system's
	Modified time.Time      // when the file was last written: tells the year of time stamps without one; zero: now
}

// Event is one event of a log.
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
	session  []byte   // scratch: a session's name
	attempt  attempt  // scratch: what a line tells of
	stranger stranger // the last request that no endpoint matched
	emit     func(Event)

	started  bool
	offset   int64 // of the current line, in bytes of Asterisk's text: what carries it does not count
	direct   bool  // nothing but lines without a stamp followed the last security line
	heldFrom int64 // the end of the last security line
	dumpEnd  int64 // up to here a printed SIP message of chan_sip may reach
	relearn  int   // how many security lines until the offset is learned anew
}

// NewReader returns a reader of a log.
func NewReader(r io.Reader, o Options) *Reader {
	return &Reader{
		in: bufio.NewReaderSize(r, 64<<10), decoder: ami.NewDecoder(""), clock: newStampReader(o),
		packet: make([]byte, 0, 2*maxLine),
	}
}

// Stats returns what was counted so far.
func (r *Reader) Stats() Stats {
	s := r.stats
	s.Decoder = r.decoder.Stats()
	return s
}

// Read reads one line and calls emit with the events that are certain by now, none as a rule. They
// borrow their bytes: see [ami.Event]. At the end of the file it returns io.EOF, after it emitted
// what was left.
func (r *Reader) Read(emit func(Event)) error {
	if !r.started {
		r.started = true
		r.learn()
	}
	line, err := r.in.ReadSlice('\n')
	size := int64(len(line))
	whole := err == nil
	for errors.Is(err, bufio.ErrBufferFull) { // far beyond maxLine: read it away
		var more []byte
		more, err = r.in.ReadSlice('\n')
		size += int64(len(more))
	}

	r.emit = emit
	if size > 0 {
		r.stats.Lines++
		r.settle(r.offset)
		if whole && size <= maxCarried {
			r.line(line[:len(line)-1])
		} else {
			r.cut(line, size)
			r.offset += size
			r.doubts.broken()
		}
	}
	if err != nil {
		r.decoder.Release(r.told)
		r.doubts.cancel()
		r.settle(1<<63 - 1)
	}
	return err
}

// learn reads ahead for the first security line: its EventTV tells the offset of the stamps in
// front of it, too.
func (r *Reader) learn() {
	head, _ := r.in.Peek(r.in.Size())
	head = bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))
	for n := 0; n < 1000; n++ {
		line, rest, ok := bytes.Cut(head, []byte{'\n'})
		if !ok {
			return
		}
		head = rest
		if !bytes.Contains(line, []byte(eventStart)) {
			continue
		}
		fr := r.framer.frame(bytes.TrimSuffix(line, []byte{'\r'}), false)
		if p, ok := parsePrefix(fr.text); ok && p.isSecurity() && !fr.foreign {
			r.learnFrom(&fr, &p)
			r.clock.last = time.Time{} // the first line is an earlier one
			return
		}
	}
}

// learnFrom takes the offset of the PBX's clock from a security line.
func (r *Reader) learnFrom(fr *frame, p *prefix) {
	const often = 256
	if r.relearn > 0 && r.clock.offset == nil {
		r.relearn--
		return
	}
	r.relearn = often
	if at, ok := eventTime(p.message); ok && fr.at.IsZero() {
		r.clock.learn(p.stampOr(fr.stamp), at)
	}
}

// cut takes a line that is not whole.
func (r *Reader) cut(line []byte, size int64) {
	r.direct = false
	if r.trace.left > 0 {
		r.trace.left -= min(size, r.trace.left)
		return
	}
	if isSuspicious(line) {
		r.stats.Unread[UnreadCut]++
	}
}

// line takes one whole line without its line end.
func (r *Reader) line(raw []byte) {
	if r.stats.Lines == 1 {
		raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf")) // a byte order mark
	}
	line := bytes.TrimSuffix(raw, []byte{'\r'})
	fr := r.framer.frame(line, r.trace.left > 0 && !r.trace.json)
	if fr.foreign {
		r.stats.Foreign++
		return
	}
	r.framed(&fr, len(line) < len(raw))
	if len(r.doubts.openings) > 0 && !fr.whole {
		r.doubts.close(fr.text, r.offset, r.stats.Lines)
	}
	r.offset += int64(len(fr.text)) + 1
}

// framed takes a line out of its carrier. crlf is whether it ended in CR LF.
func (r *Reader) framed(fr *frame, crlf bool) {
	if r.trace.left > 0 {
		text := fr.text
		if crlf && !fr.json {
			text = append(r.packet[:0], text...)
			text = append(text, '\r')
		}
		if r.trace.skips(text) {
			r.stats.Traced++
			return
		}
	}
	if len(fr.text) > maxLine {
		r.cut(fr.text, int64(len(fr.text)))
		return
	}

	p, ok := parsePrefix(fr.text)
	if ok {
		r.stats.Messages++
	}
	if !fr.whole && r.traced(fr, &p, crlf) {
		return
	}
	r.message(fr, &p, ok)
}

// traced takes the head of a printed SIP message.
func (r *Reader) traced(fr *frame, p *prefix, crlf bool) bool {
	message := fr.text
	if p.message != nil {
		message = p.message
	}
	if !bytes.HasPrefix(message, []byte("<--- ")) {
		return false
	}
	if r.offset >= r.dumpEnd && r.trace.begin(message, crlf, fr.json) {
		r.stats.Messages++
		return true
	}
	// chan_sip prints no length, and nothing tells where its text ends that its sender could not
	// write too.
	r.dumpEnd = r.offset + int64(len(message)) + dumpReach
	return false
}

// dumpReach is how long a SIP packet is at most.
const dumpReach = 64 << 10

// waits reports whether the last security line may still turn out to be torn. An event that no
// orphan can belong to any more is released.
func (r *Reader) waits() bool {
	if r.offset-r.heldFrom > tornReach && r.decoder.Held() {
		r.decoder.Release(r.told)
		r.doubts.cancel()
		r.direct = false
	}
	return r.direct
}

// tornReach is how far behind a security line its rest can begin, when a line end was injected. The
// longest AccountID is chan_sip's, about 215 bytes.
const tornReach = 512

// feed hands an AMI packet to the decoder.
func (r *Reader) feed(packet []byte) {
	r.packet = packet[:0]
	for len(packet) > 0 {
		n := copy(r.decoder.Buffer(), packet)
		r.decoder.Advance(n, r.told, func([]byte) {})
		packet = packet[n:]
	}
}

// told takes an event of the security channel.
func (r *Reader) told(ev ami.Event) {
	if ev.Service != ami.ServicePJSIP && r.doubts.closed && ev.Source.Addr() != r.doubts.closer {
		r.stats.Unread[UnreadDoubtful]++ // the rest of it came further down, so its address is the sender's text
		return
	}
	out := Event{Event: ev, Family: FamilySecurity}
	if r.doubts.fill(&out) {
		return
	}
	if len(r.doubts.queue) > 0 {
		r.doubts.hold(&out, r.stats.Lines, true) // behind those that were read before it
		return
	}
	r.emit(out)
}

// settle emits what is certain before a line that begins at offset.
func (r *Reader) settle(offset int64) {
	if !r.doubts.idle() {
		r.stats.Unread[UnreadUnclear] += r.doubts.release(offset, r.emit)
	}
}
