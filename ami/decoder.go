package ami

import (
	"bytes"
	"time"
)

// HoldTime is the time that a caller waits for a byte, while [Decoder.Held] is true, before it
// calls [Decoder.Release]. Before Release, the caller must read the bytes that arrived while its
// process was not running, even if HoldTime is long past.
const HoldTime = 20 * time.Millisecond

// Decoder turns the byte stream of one AMI connection into events. It does no I/O and reads no
// clock: the same bytes give the same events however they are split. It is not safe for concurrent
// use.
//
// # What it trusts
//
// Asterisk prints fields unescaped, and an attacker can put line ends into some of them: into the
// AccountID by percent-encoding the user of a SIP address (36 bytes at most in PJSIP:
// pjsip_distributor.c 12.8.2 to 22.10.1, AST_UUID_STR_LEN; about 215 bytes in chan_sip: chan_sip.c
// 16.28.0, register_verify). So a packet is an event only if every header stands in Asterisk's
// order, once, with a value that Asterisk would print.
//
// A packet of PJSIP in exact order with the exact tail of its kind is final at once: 36 bytes are
// too few to forge the shortest tail. Any other packet is held until the next one has begun with a
// complete head: chan_sip's 215 bytes are enough to forge a tail, but not a tail and a head. A
// packet without a head is an orphan: the rest of the packet before it, whose end was injected.
//
// One event has text of its sender after RemoteAddress: ChallengeResponseFailed of PJSIP with an
// old pjproject. That text has 318 bytes, which are enough for a whole forged event. The rest of
// the real packet then follows as an orphan. So a packet that ends within reach of that text is
// held too, and it is dropped if the packet before or after it is out of order. Real events are
// usually too long to end within reach.
//
// A packet with injected text is emitted as a tainted event, evidence against its sender, when the
// sender is certain: the packet ends with the exact tail that Asterisk prints after all injected
// text. For PJSIP that is known at once, for the others when the next packet has begun. Where the
// sender is not certain, the packet is counted and dropped.
//
// # Limits
//
// With `webenabled = yes` one HTTP request prints events that are perfect to the byte. No decoder
// can tell them from real ones.
//
// When the network stalls for longer than HoldTime exactly between a forged event that is held and
// its orphan, Release emits the forged event. Asterisk writes both at once, so the attacker would
// have to make the network lose the right TCP segment. The orphan then counts as late: if
// Stats.LateOrphans is above 0, either an event was forged or the decoder has a fault.
type Decoder struct {
	frame    frame
	cur      packet
	held     packet // when state is stateHeld
	injected injection
	state    state
	stats    Stats
	banner   []byte

	offset int // of the end of the last line in the stream
	// up to here the sender of a ChallengeResponseFailed may have written, see textReach
	textEnd int
	// up to here a sender did write: the packets are not as Asterisk prints them
	spoilEnd int

	username []byte
	greeted  bool // the first line was seen
	ownSeen  bool // our own login's event was seen
	// early is set from an event that was emitted before the next packet began, until one begins.
	early bool
}

// state names what the packet before the current one waits for.
type state uint8

const (
	stateClean   state = iota // nothing
	stateHeld                 // held: an event, unless an orphan follows
	stateTorn                 // injected text, whose end and sender have not come yet
	stateAccused              // injected text and its sender, unless another orphan follows
)

// NewDecoder returns a decoder for one connection. The first SuccessfulAuth of the manager user
// username is marked Own; the empty name marks none, as for the replay of a capture.
func NewDecoder(username string) *Decoder {
	return &Decoder{username: []byte(username)}
}

// Buffer returns where to read the next bytes to, at least 2 KiB. It starts at 4 KiB and grows on
// demand: to 64 KiB when reads fill it, and for long packets to 1 MiB at most.
func (d *Decoder) Buffer() []byte {
	d.compact()
	return d.frame.free()
}

// compact moves the bytes that are still needed to the front.
func (d *Decoder) compact() {
	f, to := &d.frame, 0
	if d.state == stateHeld {
		d.held.end = copy(f.buf, f.buf[d.held.start:d.held.end])
		d.held.start, to = 0, d.held.end
	}

	// The current packet follows the held one, or begins the buffer.
	shift := d.cur.start - to
	if shift == 0 {
		return
	}

	f.end = to + copy(f.buf[to:], f.buf[d.cur.start:f.end])
	d.cur.start = to
	f.line -= shift
	f.scan -= shift
	f.cr -= shift
}

// Banner returns the first line of the stream without its line end, at most 128 bytes of it, and
// reports whether it is complete. It is empty and complete when the stream began with a packet.
// Asterisk sends `Asterisk Call Manager/` and the version of AMI. A stream with another banner is
// not from Asterisk, but it is decoded too. Print the bytes through [Quote].
func (d *Decoder) Banner() ([]byte, bool) {
	if d.greeted {
		return d.banner, true
	}
	return d.frame.buf[:min(d.frame.end, maxBanner)], false
}

const maxBanner = 128

// Advance decodes the n bytes that were read into Buffer. It calls emit for every event that is
// final. It calls respond for every other packet, with its line ends: responses, and events such as
// FullyBooted. Both borrow their bytes, and neither may call the decoder. A response may come
// before an event that waits for its end.
func (d *Decoder) Advance(n int, emit func(Event), respond func(packet []byte)) {
	f := &d.frame
	f.end += n
	f.full = f.end == len(f.buf)
	d.stats.Bytes += uint64(n)

	for {
		line, ok := f.next()
		if !ok {
			return
		}
		if d.greeted || !d.greet(line) {
			d.take(line, emit, respond)
		}

		f.advance()

		// Nothing refers to the bytes of a packet that has not begun or is too long: give them up.
		if d.cur.class == classNone || d.cur.tooLong {
			d.cur.start = f.line
		}
	}
}

// greet takes the first line of the stream, and reports whether it was a banner.
func (d *Decoder) greet(line []byte) bool {
	d.greeted = true
	if bytes.HasPrefix(line, []byte("Event: ")) || bytes.HasPrefix(line, []byte("Response: ")) {
		return false
	}
	d.banner = bytes.Clone(line[:min(len(line), maxBanner)])
	return true
}

// Held reports whether an event waits for the next packet or for Release. It returns false once
// part of the next packet has come: the rest of that packet decides, not the time.
func (d *Decoder) Held() bool {
	return d.state == stateHeld && d.cur.class == classNone && d.frame.end == d.cur.start
}

// Release emits the held event. Call it when no byte came for HoldTime, or when the stream ended.
// It does nothing when Held is false: when a stream ends within a packet, the event that was held
// before that packet is lost too.
func (d *Decoder) Release(emit func(Event)) {
	if !d.Held() {
		return
	}
	d.stats.Released++
	d.early = true
	d.emitHeld(emit)
}

// Stats returns the counters.
func (d *Decoder) Stats() Stats { return d.stats }

// take decodes one line of the current packet. An empty line ends the packet.
func (d *Decoder) take(line []byte, emit func(Event), respond func([]byte)) {
	p := &d.cur
	d.offset += len(line) + len("\r\n")
	if len(line) == 0 {
		p.end = d.frame.scan
		d.finish(emit, respond)
		d.cur = packet{start: d.frame.scan, context: d.context()}
		return
	}

	// Beyond MaxPacket the bytes of a packet are discarded. Its lines are still judged, because
	// they decide on the packet before it.
	begun, sent := p.begun, p.sender.addrPort.IsValid()
	if p.size += len(line) + 2; p.size > MaxPacket && !p.tooLong {
		d.tooLong(p)
	}
	p.line(line, d.frame.line-p.start)

	// Act on what this line completed: the head, or the address that the sender's own text follows.
	if !begun && p.begun {
		d.begin(emit)
	}
	if !sent && p.sender.addrPort.IsValid() && p.service == ServicePJSIP &&
		senderWritesTail(p.service, p.kind) {
		p.textEnd = d.offset + textReach
	}
}

// context returns the kind of the packet that waits: if the next packet is an orphan, it ends with
// the tail of that kind.
func (d *Decoder) context() Kind {
	switch d.state {
	case stateHeld:
		return d.held.kind
	case stateTorn, stateAccused:
		return d.injected.event.Kind
	default:
		return KindUnknown
	}
}

// begin is called when the current packet has a complete head. With it, the packet is not the rest
// of the packet before it.
func (d *Decoder) begin(emit func(Event)) {
	d.early = false

	// After a torn packet its rest must follow. Injected text of chan_sip has room for a head, so
	// this packet is that rest.
	if d.state == stateTorn && d.injected.event.Service != ServicePJSIP {
		d.cur.suspect = true
		return
	}
	d.settle(emit)
}

// settle decides on the packet that waits, because the next packet has begun.
func (d *Decoder) settle(emit func(Event)) {
	switch d.state {
	case stateHeld:
		d.emitHeld(emit)
	case stateAccused:
		d.emitInjected(emit)
	case stateTorn:
		d.stats.Dropped[d.injected.event.Taint]++
		d.state = stateClean
	case stateClean:
	}
}
