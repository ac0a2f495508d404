package ami

// keepText is how many bytes of a tainted event's fields are kept.
const keepText = 128

// evidence is a packet with injected text: what its head said, and who sent it once that is known.
type evidence struct {
	event   Event
	account [keepText]byte
	session [keepText]byte
	nA, nS  int
}

// accuse starts from the packet that the injected text stands in.
func (e *evidence) accuse(buf []byte, p *packet, cause Taint) {
	e.event = Event{
		Time: p.time, Kind: p.kind, Service: p.service, Taint: cause,
		Oversize: p.oversize,
	}
	e.nA = copy(e.account[:], p.value(buf, p.account))
}

// identify takes the sender from the end of packet p.
func (e *evidence) identify(buf []byte, p *packet) {
	e.event.Transport, e.event.Source, e.event.Local = p.source.transport, p.source.addrPort,
		p.local.addrPort
	e.event.Oversize = e.event.Oversize || p.oversize
	e.nS = copy(e.session[:], p.value(buf, p.session))
}

// borrowed returns the event; its text is valid until e changes.
func (e *evidence) borrowed() Event {
	ev := e.event
	ev.Account, ev.Session = e.account[:e.nA], e.session[:e.nS]
	return ev
}
