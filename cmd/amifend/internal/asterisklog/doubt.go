package asterisklog

import (
	"net/netip"
)

// A message may hold text of its sender with line ends in it. The lines behind it may then be a
// part of that text, and its real end is further down: the sender can write a perfect line with
// another address, or the perfect end of this message. So the events of such a message, and of the
// lines that fit into its text, are held until its end cannot come any more. If the end comes,
// only the events with the same sender as that message count.

// text describes text of a sender, within a message, that may hold line ends.
type text struct {
	at      int // where in the message it begins
	longest int // how many bytes it has at most
	end     func(line []byte) (sender, bool)
	sender  netip.Addr // of the message, if it stands in front of the text
	event   bool       // the message is a security line
}

// sender is the sender that the end of a message names.
type sender struct {
	at     int        // where the message's end begins in the line
	addr   netip.Addr // invalid if the end has none
	source netip.AddrPort
}

// opening is a text that may continue on the lines that follow.
type opening struct {
	first uint64 // the number of its line
	until int64  // the offset up to which it may reach
	end   func(line []byte) (sender, bool)
	from  netip.Addr
	event bool // it is of a security line
	// torn is set while the message's own end is missing: its line does not have it, and no line
	// behind it was it. All lines within reach are then the sender's text.
	torn bool
}

// held is an event that waits until it is certain.
type held struct {
	event   Event
	line    uint64
	until   int64  // the offset behind which it is certain
	certain bool   // it only waits for its turn
	doubt   bool   // a line contradicts it
	pending bool   // a place without its event, which the decoder holds
	buffer  []byte // its account and its session
}

// doubts holds events back until no line can contradict them.
type doubts struct {
	openings []opening
	queue    []*held
	free     []*held

	// closed is set once a line looked like the end of the last security line, which is torn then.
	// closer is the sender that this end names.
	closed bool
	closer netip.Addr
}

// idle reports whether nothing is held and no text may go on, which is so in most of a log.
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

		// An end beyond the reach of the text is that of another message.
		s, ok := o.end(line)
		if !ok || offset+int64(s.at) > o.until {
			continue
		}

		o.torn = false

		// An address in front of the text is certain. Without one, the address of the end counts.
		from := o.from
		if !from.IsValid() {
			from = s.addr
		}

		// The decoder holds this event. decoded drops it if it names another address.
		if o.event {
			d.closed = true
			d.closer = from
		}

		// An end without an address puts all held events in doubt.
		for _, h := range d.queue {
			if h.line >= o.first && h.line <= n && !h.certain && h.event.Source.Addr() != from {
				h.doubt = true
			}
		}
	}
}

// broken handles a line that is not whole. It may have been the end of any message in front of it.
func (d *doubts) broken() {
	for i := range d.openings {
		o := &d.openings[i]
		for _, h := range d.queue {
			// The broken line cannot change an address that stands in front of the text.
			known := o.from.IsValid() && h.event.Source.Addr() == o.from
			if h.line >= o.first && !h.certain && !known {
				h.doubt = true
			}
		}
	}
}

// lost notes that the end of a torn message did not come: a filter such as grep took it out, so it
// is not known where its text ends.
func (d *doubts) lost(o *opening) {
	for _, h := range d.queue {
		known := o.from.IsValid() && h.event.Source.Addr() == o.from
		if h.line > o.first && !h.certain && !h.pending && !known && h.until >= o.until {
			h.doubt = true
		}
	}
}

// open notes that a text in line n may go on. message is the message as far as it is in that line,
// and offset is where it begins.
func (d *doubts) open(t *text, message []byte, offset int64, n uint64) {
	const slack = 32 // the end of the message may begin a few bytes behind the text
	_, ends := t.end(message)
	d.openings = append(d.openings, opening{
		first: n, until: offset + int64(t.at+t.longest+slack),
		end: t.end, from: t.sender, event: t.event, torn: !ends,
	})
}

// hold keeps an event of line n. A certain one waits only for those in front of it.
func (d *doubts) hold(ev *Event, n uint64, certain bool) {
	// The memory of held events is used again, since a flood may hold one for each line.
	var h *held
	if i := len(d.free) - 1; i >= 0 {
		h = d.free[i]
		d.free = d.free[:i]
	} else {
		h = new(held)
	}

	*h = held{event: *ev, line: n, certain: certain, buffer: h.buffer[:0]}

	// It waits for the longest text that it may be a part of.
	for i := range d.openings {
		if o := &d.openings[i]; !certain && o.first <= n {
			h.until = max(h.until, o.until)
		}
	}

	h.keep()
	d.queue = append(d.queue, h)
}

// keep copies the text of an event. It was borrowed from the line, and the next line overwrites it.
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

// fill puts an event that the decoder held into its place. It reports false if no place was kept.
func (d *doubts) fill(ev *Event) bool {
	// The decoder holds one event at a time, so the first place is its own.
	for _, h := range d.queue {
		if h.pending {
			h.event = *ev
			h.pending = false
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
		// The event of this place will not come, so its memory is free.
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
	for i := range d.openings {
		o := &d.openings[i]
		if o.until >= offset {
			kept = append(kept, *o)
		} else if o.torn {
			d.lost(o)
		}
	}

	d.openings = kept

	// Events leave in the order of their lines.
	n := 0
	for ; n < len(d.queue); n++ {
		h := d.queue[n]
		if h.pending || !h.certain && h.until >= offset {
			break // all events behind it wait too, so that they keep their order
		}

		// It may be text of a message in front of it, so it is counted instead of emitted.
		if h.doubt {
			left++
		} else {
			emit(h.event)
		}

		d.free = append(d.free, h)
	}

	if n > 0 {
		// The queue moves down, so that it does not grow for ever.
		d.queue = d.queue[:copy(d.queue, d.queue[n:])]
	}
	return left
}
