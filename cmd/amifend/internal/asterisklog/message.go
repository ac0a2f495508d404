package asterisklog

import (
	"strconv"
	"time"

	"github.com/amifend/amifend/ami"
)

// message takes a line that is not the text of a printed SIP message.
func (r *Reader) message(fr *frame, p *prefix, ok bool) {
	stamped := ok || isStamped(fr.text)
	switch {
	case ok && p.isSecurity():
		r.security(fr, p)
	case r.waits() && !stamped:
		r.feed(appendRest(r.packet[:0], fr.text))
	case r.decoder.Held() && endsLikeEvent(fr.text):
		// Perhaps the rest of an injection, perhaps the text of somebody else: nobody is believed.
		r.stats.Unread[UnreadDoubtful]++
		r.feed(append(r.packet[:0], "?\r\n\r\n"...))
	default:
		r.direct = r.direct && !stamped
		r.other(fr, p, ok)
	}
}

// security takes a line of the security channel.
func (r *Reader) security(fr *frame, p *prefix) {
	r.stats.Security++
	end := r.offset + int64(len(fr.text))
	fits := r.doubts.fits(end)
	if t, ok := accountText(p.message); ok && !fr.whole {
		r.doubts.open(&t, end-int64(len(p.message)), r.stats.Lines)
	}
	switch {
	case r.offset < r.dumpEnd, fits:
		r.stats.Unread[UnreadDoubtful]++
		r.direct = false
		return
	case holdsTwo(p.message):
		r.stats.Unread[UnreadCut]++
		r.direct = false
		return
	}

	r.learnFrom(fr, p)
	packet, ok := appendPacket(r.packet[:0], p.message)
	if !ok {
		r.stats.Unread[UnreadForm]++
	}
	r.feed(packet)
	r.doubts.closed = false
	if r.doubts.cancel(); r.decoder.Held() {
		r.doubts.reserve()
	}
	r.direct, r.heldFrom = !fr.whole, end+1
}

// other takes a line that is not of the security channel.
func (r *Reader) other(fr *frame, p *prefix, ok bool) {
	a := &r.attempt
	*a = attempt{}
	found := findingOther
	if ok {
		found = p.parse(a)
	}
	if fr.whole {
		a.text = nil // what its text holds is a part of the line
	}
	if a.text != nil {
		r.doubts.open(a.text, r.offset+int64(len(fr.text)-len(p.message)), r.stats.Lines)
	}

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
	case found == findingOther && (!ok || p.level == levelNotice || p.level == levelWarning) &&
		isSuspicious(fr.text):
		r.suspicious(fr, p, ok)
	}
}

// suspicious counts a line that looks like a failure, and is none that is read.
func (r *Reader) suspicious(fr *frame, p *prefix, ok bool) {
	switch {
	case r.offset < r.dumpEnd:
		r.stats.Unread[UnreadDoubtful]++
	case ok:
		r.stats.Unread[UnreadNoSender]++
	case isStamped(fr.text) || fr.stamp != nil:
		r.stats.Unread[UnreadForm]++
	}
}

// found takes an attempt.
func (r *Reader) found(fr *frame, p *prefix) {
	a := &r.attempt
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
	if a.family == FamilyPJSIP && len(a.session) > 0 {
		r.stranger.fold(&ev.Event)
	}
	if len(a.session) == 0 {
		// A line is one request. It names no session, so each gets one of its own.
		r.session = strconv.AppendUint(append(r.session[:0], "line "...), r.stats.Lines, 10)
		ev.Session = r.session
	}

	// What begins within the text of a message in front of it is held, and so is a message that may
	// go on.
	switch within := r.doubts.within(r.offset); {
	case within, a.text != nil:
		r.doubts.hold(&ev, r.stats.Lines, false)
	case len(r.doubts.queue) > 0:
		r.doubts.hold(&ev, r.stats.Lines, true)
	default:
		r.emit(ev)
	}
}

// time returns the time of a line: the carrier's if that has an offset, else Asterisk's own.
func (r *Reader) time(fr *frame, p *prefix) (time.Time, bool) {
	if !fr.at.IsZero() {
		return fr.at, true
	}
	if fr.stamp != nil && p.stamp != nil && hasOffset(fr.stamp) {
		if at, ok := r.clock.parse(fr.stamp); ok {
			return at, true
		}
	}
	stamp := p.stampOr(fr.stamp)
	if at, ok := r.clock.parse(stamp); ok {
		return at, true
	}
	if p.stamp != nil && fr.stamp != nil {
		if at, ok := r.clock.parse(fr.stamp); ok {
			return at, true
		}
	}
	r.stats.Unread[UnreadTime]++
	if r.stats.Stamp == "" {
		r.stats.Stamp = ami.Quote(stamp)
	}
	return time.Time{}, false
}
