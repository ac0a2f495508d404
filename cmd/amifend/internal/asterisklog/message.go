package asterisklog

import (
	"strconv"
	"time"

	"github.com/amifend/amifend/ami"
)

// message reads a line that is not part of a printed SIP message.
func (r *Reader) message(fr *frame, p *prefix, ok bool) {
	// A line without a stamp may be the rest of an event that an injected line end tore.
	stamped := ok || isStamped(fr.text)
	switch {
	case ok && p.isSecurity():
		r.security(fr, p)
	case r.waits() && !stamped:
		r.feed(appendRest(r.packet[:0], fr.text))
	case r.decoder.Held() && endsLikeEvent(fr.text):
		// The rest of an injection, or the text of another sender: neither can be trusted.
		r.stats.Unread[UnreadDoubtful]++
		r.feed(append(r.packet[:0], "?\r\n\r\n"...))
	default:
		r.direct = r.direct && !stamped
		r.other(fr, p, ok)
	}
}

// security reads a line of the security channel.
func (r *Reader) security(fr *frame, p *prefix) {
	r.stats.Security++

	// This is asked before the line opens a text of its own, which would include the line.
	end := r.offset + int64(len(fr.text))
	fits := r.doubts.fits(end)
	if t, ok := accountText(p.message); ok && !fr.whole {
		r.doubts.open(&t, p.message, end-int64(len(p.message)), r.stats.Lines)
	}

	switch {
	case r.offset < r.dumpEnd, fits:
		// Text of a message in front may have written it.
		r.stats.Unread[UnreadDoubtful]++
		r.direct = false
		return
	case holdsTwo(p.message):
		r.stats.Unread[UnreadCut]++
		r.direct = false
		return
	}

	// Only a line that is believed may set the clock.
	r.learnFrom(fr, p)
	packet, ok := appendPacket(r.packet[:0], p.message)
	if !ok {
		r.stats.Unread[UnreadForm]++
	}

	// A broken packet is fed too, so that the decoder sees the end of the event in front of it.
	r.feed(packet)
	r.doubts.closed = false

	// By now the decoder has emitted or dropped the event before. This one keeps a place.
	if r.doubts.cancel(); r.decoder.Held() {
		r.doubts.reserve()
	}

	r.direct = !fr.whole
	r.heldFrom = end + 1
}

// other reads a line that is not of the security channel.
func (r *Reader) other(fr *frame, p *prefix, ok bool) {
	a := &r.attempt
	*a = attempt{}

	// A line without a prefix belongs to no family, but it may look like a failure.
	found := findingOther
	if ok {
		found = p.parse(a)
	}

	if fr.whole {
		a.text = nil // what its text holds is a part of the line
	}

	// The text is noted even if the message is broken: a torn message looks so, and the lines
	// behind it are doubtful too.
	if a.text != nil {
		r.doubts.open(a.text, p.message, r.offset+int64(len(fr.text)-len(p.message)),
			r.stats.Lines)
	}

	// A line that gives no event is counted, so that an attack that was not read does not look like
	// a quiet PBX.
	switch {
	case found == findingAttempt && r.offset < r.dumpEnd:
		r.stats.Unread[UnreadDoubtful]++
	case found == findingAttempt:
		r.found(fr, p)
	case found == findingUnclear:
		r.stats.Unread[UnreadUnclear]++
	case found == findingBroken:
		r.stats.Unread[UnreadForm]++
	case found == findingNoSender:
		r.stats.Unread[UnreadNoSender]++
	case ok && p.level == levelSecurity && r.offset >= r.dumpEnd:
		// The channel holds nothing but events, so this one is cut or changed.
		r.stats.Unread[UnreadForm]++
	case found == findingOther && (!ok || p.level == levelNotice || p.level == levelWarning) &&
		isSuspicious(fr.text):
		r.suspicious(ok)
	}
}

// suspicious counts a line that looks like a failure but is of no format that is read.
func (r *Reader) suspicious(ok bool) {
	switch {
	case r.offset < r.dumpEnd:
		r.stats.Unread[UnreadDoubtful]++
	case ok:
		r.stats.Unread[UnreadNoSender]++
	case r.doubts.within(r.offset):
		// It is the rest of a message, whose beginning was read or counted.
	default:
		r.stats.Unread[UnreadForm]++
	}
}

// foreign counts a line of another program. One that begins as a message of Asterisk may be of a
// PBX whose container or unit has another name.
func (r *Reader) foreign(fr *frame) {
	r.stats.Foreign++
	p, ok := parsePrefix(fr.text)
	if !ok {
		return
	}

	var a attempt
	if !p.isSecurity() && p.parse(&a) != findingAttempt {
		return
	}

	r.stats.Unread[UnreadForeign]++
	if r.stats.Program == "" {
		r.stats.Program = ami.Quote(fr.program)
	}
}

// found emits the current attempt as an event, or holds it.
func (r *Reader) found(fr *frame, p *prefix) {
	a := &r.attempt

	// An event without a time has no place among the others; r.time counts it.
	at, ok := r.time(fr, p)
	if !ok {
		return
	}

	r.stats.Attempts[a.family]++
	ev := Event{Family: a.family, Event: ami.Event{
		Time: at, Kind: a.kind, Service: a.service, Transport: a.transport, Source: a.source,
		Account: a.account, Session: a.session,
		Detail: []byte(a.detail),
	}}

	// PJSIP prints two lines for one request that answered a challenge.
	if a.family == FamilyPJSIP && len(a.session) > 0 {
		r.stranger.fold(&ev.Event)
	}
	if len(a.session) == 0 {
		// A line is one request. It names no session, so each gets one of its own.
		r.session = strconv.AppendUint(append(r.session[:0], "line "...), r.stats.Lines, 10)
		ev.Session = r.session
	}

	// An event is held if its line begins within the text of a message in front of it, or if its
	// own message may go on.
	switch within := r.doubts.within(r.offset); {
	case within, a.text != nil:
		r.doubts.hold(&ev, r.stats.Lines, false)
	case len(r.doubts.queue) > 0:
		r.doubts.hold(&ev, r.stats.Lines, true)
	default:
		r.emit(ev)
	}
}

// time returns the time of a line: the carrier's if that has an offset, else Asterisk's own. It
// reports false, and counts the line, if neither is understood.
func (r *Reader) time(fr *frame, p *prefix) (time.Time, bool) {
	if !fr.at.IsZero() {
		return fr.at, true
	}

	// Asterisk's own stamp is nearer to the event, unless only the carrier's has an offset.
	if fr.stamp != nil && p.stamp != nil && hasOffset(fr.stamp) {
		if at, ok := r.clock.parse(fr.stamp); ok {
			return at, true
		}
	}

	stamp := p.stampOr(fr.stamp)
	if at, ok := r.clock.parse(stamp); ok {
		return at, true
	}

	// Asterisk's own stamp is not understood (dateformat): the carrier's will do.
	if p.stamp != nil && fr.stamp != nil {
		if at, ok := r.clock.parse(fr.stamp); ok {
			return at, true
		}
	}

	// One example is kept, so that a note can say what is not understood.
	r.stats.Unread[UnreadTime]++
	if r.stats.Stamp == "" {
		r.stats.Stamp = ami.Quote(stamp)
	}

	return time.Time{}, false
}
