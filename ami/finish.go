package ami

import "bytes"

// finish judges the current packet once it is whole.
func (d *Decoder) finish(emit func(Event), respond func([]byte)) {
	p := &d.cur
	d.stats.Packets++
	if p.oversize {
		d.stats.Oversize++
	}

	// A packet that ends within reach of a sender's text may be written by that sender.
	p.reach = d.offset <= d.textEnd
	switch {
	case p.suspect:
		// The torn packet and its rest: the sender is not certain in either.
		d.stats.Dropped[d.injected.event.Taint]++
		d.stats.Dropped[TaintOrphan]++
		d.state = stateClean
	case p.begun:
		d.finishEvent(emit)
	case d.isForeign():
		d.finishForeign(respond)
	default:
		d.finishOrphan(emit)
	}

	// Asterisk prints no packet without a head there: the sender wrote it, so no packet within its
	// reach counts.
	if p.reach && !p.begun {
		d.spoilEnd = d.textEnd
	}

	// From here on this packet's own sender may have written.
	if p.textEnd > 0 && !p.suspect {
		d.textEnd = p.textEnd
		if p.taint != Untainted {
			d.spoilEnd = p.textEnd
		}
	}
}

// isForeign reports whether the current packet is whole and not a security event. While another
// packet waits, it must not end like the rest of that one: injected text can make an orphan look
// like a response. A foreign packet does not end the wait, because injected text has room for both
// a forged tail and a foreign packet. After a torn packet only a response is foreign. It must get
// through: a session without the answer to its Ping is lost.
func (d *Decoder) isForeign() bool {
	p := &d.cur
	if p.class != classEvent && p.class != classResponse {
		return false
	}

	switch d.state {
	case stateTorn:
		return p.class == classResponse && !p.remote && !p.reach
	case stateHeld, stateAccused:
		return !p.remote && !p.reach
	default:
		return !p.remote || !d.early
	}
}

func (d *Decoder) finishForeign(respond func([]byte)) {
	p := &d.cur
	switch {
	case p.tooLong:
	case p.alien:
		d.stats.Events[KindUnknown]++
	default:
		d.stats.Others++
		respond(d.frame.buf[p.start:p.end])
	}
}

// finishEvent judges a security event with a complete head.
func (d *Decoder) finishEvent(emit func(Event)) {
	p := &d.cur
	ended := p.ended()
	switch {
	case p.tooLong:
		p.taint = TaintTooLong
	case p.taint == Untainted && !ended:
		p.taint = TaintTorn
	}

	switch {
	case d.offset <= d.spoilEnd:
		// The sender of an event before has written this one.
		d.stats.Dropped[TaintOrphan]++
	case p.taint == Untainted:
		d.hold(emit)
	case p.reach:
		// The sender of the event before may have written this one: its address proves nothing.
		d.stats.Dropped[p.taint]++
	case p.textEnd > 0:
		d.accuseWriter(emit)
	default:
		// The sender is at the end of the packet, or of an orphan that follows.
		d.injected.accuse(d.frame.buf, p, p.taint)
		d.state = stateTorn
		if ended {
			d.identify(emit)
		}
	}
}

// hold keeps the current packet, an untainted event, until it is final.
func (d *Decoder) hold(emit func(Event)) {
	p := &d.cur
	d.held, d.state = *p, stateHeld
	if p.service == ServicePJSIP && !p.inexact && !p.reach {
		d.early = p.textEnd == 0 // else an orphan is not late: the sender's own text may follow
		d.emitHeld(emit)
	}
}

// accuseWriter emits the injection of a sender that writes the tail of its own event. Such a sender
// can write only after RemoteAddress, so the first one in the packet is its own.
func (d *Decoder) accuseWriter(emit func(Event)) {
	p := &d.cur
	if p.tooLong {
		d.stats.Dropped[p.taint]++
		return
	}

	d.injected.accuse(d.frame.buf, p, p.taint)
	p.source = p.sender
	d.injected.identify(d.frame.buf, p)
	d.emitInjected(emit)
}

// finishOrphan judges a packet without a head.
func (d *Decoder) finishOrphan(emit func(Event)) {
	p := &d.cur

	// No packet waits, so this is a broken packet rather than a rest.
	if d.state == stateClean && p.hasFault() {
		d.stats.Dropped[p.taint]++
		return
	}

	d.stats.Orphans++
	switch d.state {
	case stateClean:
		if d.early {
			d.stats.LateOrphans++
		}
		d.stats.Dropped[TaintOrphan]++
		return
	case stateHeld:
		// The orphan is the rest of the held event, whose tail was forged.
		if d.held.reach {
			d.stats.Dropped[TaintOrphan]++
			d.state = stateClean
			return
		}
		d.injected.accuse(d.frame.buf, &d.held, TaintOrphan)
	case stateTorn, stateAccused:
		// One more part of the same injection.
	}

	// Only an orphan with a whole tail names the sender. Until one comes, the injection waits.
	d.state = stateTorn
	if p.ended() {
		d.identify(emit)
	}
}

// hasFault reports whether the head of a security event is in order, but for a value that Asterisk
// would not print.
func (p *packet) hasFault() bool {
	return p.class == classSecurity && p.taint >= TaintSeverity
}

// identify takes the sender of injected text from the end of the current packet, if it is certain
// there. It is not certain when the packet may also be a real event of a kind that we do not know.
func (d *Decoder) identify(emit func(Event)) {
	e := &d.injected
	service, kind := e.event.Service, e.event.Kind
	if d.cur.tooLong || d.cur.alien || service == ServiceUnknown ||
		senderWritesTail(service, kind) {
		d.stats.Dropped[e.event.Taint]++
		d.state = stateClean
		return
	}

	e.identify(d.frame.buf, &d.cur)
	d.state = stateAccused
	if service == ServicePJSIP {
		d.emitInjected(emit)
	}
}

func (d *Decoder) emitInjected(emit func(Event)) {
	d.state = stateClean
	d.stats.Tainted[d.injected.event.Taint]++
	emit(d.injected.borrowed())
}

func (d *Decoder) emitHeld(emit func(Event)) {
	d.state = stateClean
	ev := d.held.event(d.frame.buf)
	if !d.ownSeen && d.isOwn(&ev) {
		ev.Own, d.ownSeen = true, true
	}
	d.stats.Events[ev.Kind]++
	emit(ev)
}

// isOwn reports whether ev is the event of our own login. Only the first one of a connection can
// be: another program that uses our name and secret later must not pass for us.
func (d *Decoder) isOwn(ev *Event) bool {
	return len(d.username) > 0 && ev.Kind == KindSuccessfulAuth && ev.Service == ServiceAMI &&
		bytes.Equal(ev.Account, d.username)
}

// tooLong discards the bytes of the packet that is being read. Its lines are still judged.
func (d *Decoder) tooLong(p *packet) {
	p.tooLong = true
	d.stats.TooLong++
}

// event returns the untainted event; its text is borrowed from buf.
func (p *packet) event(buf []byte) Event {
	ev := Event{
		Time:          p.time,
		Kind:          p.kind,
		Service:       p.service,
		Transport:     p.source.transport,
		Source:        p.source.addrPort,
		Local:         p.local.addrPort,
		Account:       p.value(buf, p.account),
		Session:       p.value(buf, p.session),
		Detail:        p.value(buf, p.detail),
		UsingPassword: p.usingPass,
		Oversize:      p.oversize,
	}

	if p.kind == KindChallengeResponseFailed && p.service == ServicePJSIP {
		ev.Challenge = p.value(buf, p.sent)
	}

	// Only chan_sip prints both challenges.
	if p.kind == KindInvalidPassword && p.service == ServiceSIP {
		sent := p.value(buf, p.sent)
		ev.RoundTrip = len(sent) > 0 && bytes.Equal(sent, p.value(buf, p.received))
	}
	return ev
}

// value returns the bytes of v, or none when the packet's bytes were discarded.
func (p *packet) value(buf []byte, v span) []byte {
	if p.tooLong || v.to <= v.from {
		return nil
	}
	return buf[p.start+v.from : p.start+v.to : p.start+v.to]
}
