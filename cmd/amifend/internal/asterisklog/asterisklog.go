// Package asterisklog reads Asterisk's log files as the security events that they tell of.
//
// Two kinds of lines count: `SecurityEvent="…",…` of the security channel (res_security_log.c), and chan_sip's
// `Registration from '…' failed for '…' - …` (chan_sip.c). Both hold text that the sender of a packet chose, and a log is
// weaker evidence than AMI: it has no framing but line ends, and an attacker can write those. What the package promises:
//
//   - A security line is rewritten as the AMI packet of the same event and judged by [ami.Decoder], so the same strictness
//     holds: the exact order of fields, each once, and look-ahead where a forged end is possible.
//   - The address of a registration is read from the end of the line, behind all text of the sender.
//   - A line that text of another message may have written is left out and counted, never believed: see [Stats].
//   - `Failed to authenticate device …` and its like name no address but the sender's own words: they are never read.
//
// Its limit: who can make Asterisk print a message with line ends in it that is not named in reach.go, a dialplan that
// logs a caller's decoded name for one, can write a perfect line. A capture of AMI does not have that weakness.
package asterisklog

import (
	"bufio"
	"errors"
	"io"
	"time"

	"github.com/amifend/amifend/ami"
)

// maxLine is the longest line that can be whole. Asterisk cuts a message, with the line end, at LOGMSG_SIZE: 8192 bytes
// at least (main/logger.c 16.28.0, 22.10.1; BUFSIZ of glibc, which is that, until 13.38.3), and the next message follows
// on the same line. No real event is as long.
const maxLine = 8000

// Options say what a log does not.
type Options struct {
	Location *time.Location // of time stamps without an offset; nil: the system's
	Modified time.Time      // when the file was last written: tells the year of time stamps without one; zero: now
}

// Stats counts lines. Every line is in Lines; only the others that are named are looked at.
type Stats struct {
	Lines         uint64
	Security      uint64 // lines of the security channel
	Registrations uint64 // failed registrations that chan_sip told of, and that became events
	Twice         uint64 // failed registrations left out, since the same file has chan_sip's security events
	Doubtful      uint64 // left out: text of another message may have written them (SIP debugging, a call's extension)
	Cut           uint64 // left out: too long to be whole, two messages in one line, or without a line end
	Broken        uint64 // left out: no security event or registration as Asterisk prints them, or without a readable time
	Decoder       ami.Stats
}

// Reader reads one log file. It is not safe for concurrent use.
type Reader struct {
	in       *bufio.Reader
	decoder  *ami.Decoder
	clock    stampReader
	stats    Stats
	packet   []byte // scratch: an AMI packet
	session  []byte // scratch: a session's name
	offset   int64  // of the next line in the file
	chanSIP  bool   // a security line of chan_sip was seen
	direct   bool   // nothing but lines without a stamp followed the last security line
	heldFrom int64  // the end of the last security line
	callEnd  int64  // up to here the text of a call's extension may reach
	dumpEnd  int64  // up to here a printed SIP packet may reach
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

// Read reads one line and calls emit with the events that are certain by now, none as a rule. They borrow their bytes:
// see [ami.Event]. At the end of the file it returns io.EOF, after it emitted what was left.
func (r *Reader) Read(emit func(ami.Event)) error {
	line, err := r.in.ReadSlice('\n')
	size := int64(len(line))
	whole := err == nil
	for errors.Is(err, bufio.ErrBufferFull) { // far beyond maxLine: read it away
		var more []byte
		more, err = r.in.ReadSlice('\n')
		size += int64(len(more))
	}
	if size > 0 {
		r.stats.Lines++
		if whole && size <= maxLine {
			r.line(line[:len(line)-1], emit)
		} else {
			r.stats.Cut++
			r.direct = false
		}
		r.offset += size
	}
	if err != nil {
		r.decoder.Release(emit)
	}
	return err
}

// line takes one whole line without its line end.
func (r *Reader) line(line []byte, emit func(ami.Event)) {
	p, ok := parsePrefix(line)
	r.extend(line, p)
	switch {
	case ok && p.level == levelSecurity && p.file == fileSecurity && isSecurity(p.message):
		r.security(p.message, emit)
	case r.waits(emit) && !stamped(line):
		r.feed(appendRest(r.packet[:0], line), emit)
	case r.decoder.Held() && endsLikeEvent(line):
		// Perhaps the rest of an injection, perhaps the text of somebody else: nobody is believed.
		r.stats.Doubtful++
		r.feed(append(r.packet[:0], "?\r\n\r\n"...), emit)
	case ok && p.level == levelNotice && p.file == fileChanSIP && isRegistration(p.message):
		r.direct = false
		r.registration(p, emit)
	default:
		r.direct = r.direct && !stamped(line)
	}
}

// security takes a line of the security channel.
func (r *Reader) security(message []byte, emit func(ami.Event)) {
	r.stats.Security++
	switch {
	case r.offset < r.dumpEnd:
		r.stats.Doubtful++
		r.direct = false
		return
	case holdsTwo(message):
		r.stats.Cut++
		r.direct = false
		return
	}
	r.chanSIP = r.chanSIP || isChanSIP(message)
	packet, ok := appendPacket(r.packet[:0], message)
	if !ok {
		r.stats.Broken++
	}
	r.feed(packet, emit)
	r.direct, r.heldFrom = true, r.offset
}

// waits reports whether the last security line may still turn out to be torn. An event that no orphan can belong to any
// more is released.
func (r *Reader) waits(emit func(ami.Event)) bool {
	if r.offset-r.heldFrom > tornReach {
		r.decoder.Release(emit)
		r.direct = false
	}
	return r.direct
}

// feed hands an AMI packet to the decoder.
func (r *Reader) feed(packet []byte, emit func(ami.Event)) {
	r.packet = packet[:0]
	for len(packet) > 0 {
		n := copy(r.decoder.Buffer(), packet)
		r.decoder.Advance(n, emit, func([]byte) {})
		packet = packet[n:]
	}
}
