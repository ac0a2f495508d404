package ami

// keepText bounds the bytes that are kept of a field of a tainted event.
const keepText = 128

// injection describes a packet with injected text: its head, and its sender once that is known.
type injection struct {
	event   Event
	account [keepText]byte
	session [keepText]byte
	nA, nS  int
}

// accuse sets e from the packet that holds the injected text.
func (e *injection) accuse(buf []byte, p *packet, cause Taint) {
	e.event = Event{
		Time: p.time, Kind: p.kind, Service: p.service, Taint: cause,
		Oversize: p.oversize,
	}
	e.nA = copy(e.account[:], p.value(buf, p.account))
}

// identify takes the sender from the end of packet p.
func (e *injection) identify(buf []byte, p *packet) {
	e.event.Transport = p.source.transport
	e.event.Source = p.source.addrPort
	e.event.Local = p.local.addrPort
	e.event.Oversize = e.event.Oversize || p.oversize
	e.nS = copy(e.session[:], p.value(buf, p.session))
}

// borrowed returns the event; its text is valid until e changes.
func (e *injection) borrowed() Event {
	ev := e.event
	ev.Account, ev.Session = e.account[:e.nA], e.session[:e.nS]
	return ev
}
