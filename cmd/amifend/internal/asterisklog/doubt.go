package asterisklog

import (
	"net/netip"
)

// A message may hold text of its sender in which line ends are. Then the lines behind it may be a
// part of that text, and its real end is further down: in front of an injected line end, the sender
// can write a perfect line, with somebody else's address, or the perfect end of this one. So what
// such a message and the lines that fit into its text tell of is held until no end of that message
// can come any more. If one comes, only what names the same sender as that message is believed.

// text is text of a sender that may hold line ends.
type text struct {
	at      int // where in the message it begins
	longest int // how many bytes it has at most
	end     func(line []byte) (sender, bool)
	sender  netip.Addr // of the message, if it stands in front of the text
	event   bool       // the message is a security line
}

// sender is who a message's end tells to have sent it.
type sender struct {
	at     int        // where the end begins
	addr   netip.Addr // invalid if the end does not tell
	source netip.AddrPort
}

// opening is a text that may still go on.
type opening struct {
	first uint64 // the number of its line
	until int64  // the offset up to which it may reach
	end   func(line []byte) (sender, bool)
	from  netip.Addr
	event bool // it is of a security line
}

// held is an event that waits.
type held struct {
	event   Event
	line    uint64
	until   int64 // the offset behind which it is certain
	certain bool  // it waits for nothing but its turn
	doubt   bool
	pending bool   // its place only: the decoder holds the event
	buffer  []byte // its account and its session
}

// doubts holds events back.
type doubts struct {
	openings []opening
	queue    []*held
	free     []*held

	// Whether a line looked like the end of the last security line, and who sent it if so: that one
	// is torn then.
	closed bool
	closer netip.Addr
}

// idle reports whether nothing is held and no text may go on: the common case, of most logs.
func (d *doubts) idle() bool { return len(d.openings) == 0 && len(d.queue) == 0 }

// fits reports whether a line that ends at end may be a part of the text of a message in front of
// it.
func (d *doubts) fits(end int64) bool {
	for i := range d.openings {
		if end <= d.openings[i].until {
			return true
		}
	}
	return false
}

// within reports whether a line that begins at offset may belong to a message in front of it.
func (d *doubts) within(offset int64) bool {
	for i := range d.openings {
		if offset <= d.openings[i].until {
			return true
		}
	}
	return false
}

// close notes that a line, which begins at offset and has the number n, may be the end of messages
// in front of it.
func (d *doubts) close(line []byte, offset int64, n uint64) {
	for i := range d.openings {
		o := &d.openings[i]
		if n == o.first || offset > o.until {
			continue
		}
		s, ok := o.end(line)
		if !ok || offset+int64(s.at) > o.until {
			continue
		}
		from := o.from
		if !from.IsValid() {
			from = s.addr
		}
		if o.event {
			d.closed, d.closer = true, from
		}
		for _, h := range d.queue { // an end that tells no address leaves nobody believed
			if h.line >= o.first && h.line <= n && !h.certain && h.event.Source.Addr() != from {
				h.doubt = true
			}
		}
	}
}

// broken notes that a line is not whole: it may have been the end of any message in front of it,
// and nobody knows whose.
func (d *doubts) broken() {
	for i := range d.openings {
		o := &d.openings[i]
		for _, h := range d.queue {
			known := o.from.IsValid() && h.event.Source.Addr() == o.from
			if h.line >= o.first && !h.certain && !known {
				h.doubt = true
			}
		}
	}
}

// open notes that a text in line n, whose message begins at an offset, may go on.
func (d *doubts) open(t *text, message int64, n uint64) {
	const slack = 32 // the end begins about there
	d.openings = append(d.openings, opening{
		first: n, until: message + int64(t.at+t.longest+slack),
		end: t.end, from: t.sender, event: t.event,
	})
}

// hold keeps an event of line n. A certain one waits for those in front of it only.
func (d *doubts) hold(ev *Event, n uint64, certain bool) {
	var h *held
	if i := len(d.free) - 1; i >= 0 {
		h, d.free = d.free[i], d.free[:i]
	} else {
		h = new(held)
	}
	*h = held{event: *ev, line: n, certain: certain, buffer: h.buffer[:0]}
	for i := range d.openings {
		if o := &d.openings[i]; !certain && o.first <= n {
			h.until = max(h.until, o.until)
		}
	}

	h.keep()
	d.queue = append(d.queue, h)
}

// keep copies the bytes of an event, which are those of the line: the next one overwrites them.
func (h *held) keep() {
	ev := &h.event
	h.buffer = append(append(append(h.buffer[:0], ev.Account...), ev.Session...), ev.Detail...)
	account, session := len(ev.Account), len(ev.Account)+len(ev.Session)
	ev.Account = h.buffer[:account:account]
	ev.Session = h.buffer[account:session:session]
	ev.Detail = h.buffer[session:]
}

// reserve keeps a place for an event that the decoder holds, so that lines behind it come behind
// it.
func (d *doubts) reserve() {
	d.hold(&Event{}, 0, true)
	d.queue[len(d.queue)-1].pending = true
}

// fill puts an event that the decoder held into its place. False means that there is none.
func (d *doubts) fill(ev *Event) bool {
	for _, h := range d.queue {
		if h.pending {
			h.event, h.pending = *ev, false
			h.keep()
			return true
		}
	}
	return false
}

// cancel gives up the places of events that the decoder dropped.
func (d *doubts) cancel() {
	kept := d.queue[:0]
	for _, h := range d.queue {
		if h.pending {
			d.free = append(d.free, h)
			continue
		}
		kept = append(kept, h)
	}
	d.queue = kept
}

// release emits what is certain before a line that begins at offset, and returns how many events
// were left out.
func (d *doubts) release(offset int64, emit func(Event)) (left uint64) {
	kept := d.openings[:0]
	for _, o := range d.openings {
		if o.until >= offset {
			kept = append(kept, o)
		}
	}
	d.openings = kept

	n := 0
	for ; n < len(d.queue); n++ {
		h := d.queue[n]
		if h.pending || !h.certain && h.until >= offset {
			break // all behind it waits, too: events keep their order
		}
		if h.doubt {
			left++
		} else {
			emit(h.event)
		}
		d.free = append(d.free, h)
	}
	if n > 0 {
		d.queue = d.queue[:copy(d.queue, d.queue[n:])]
	}
	return left
}
