package asterisklog

import (
	"bytes"
	"net/netip"

	"github.com/amifend/amifend/ami"
)

// Family is a kind of log lines, by the part of Asterisk that printed them.
type Family uint8

// The families. Lines of the security channel are events themselves; all others report a failed
// request.
const (
	FamilySecurity Family = iota
	FamilyPJSIP           // pjsip_distributor.c, res_pjsip_session.c, res_pjsip_registrar.c
	FamilySIP             // chan_sip.c
	FamilyIAX2            // chan_iax2.c, which raises no security event at all
	FamilyAMI             // manager.c
	NumFamilies
)

// String returns the family's name in Asterisk.
func (f Family) String() string {
	switch f {
	case FamilySecurity:
		return "security channel"
	case FamilyPJSIP:
		return "PJSIP"
	case FamilySIP:
		return "chan_sip"
	case FamilyIAX2:
		return "IAX2"
	case FamilyAMI:
		return "AMI"
	default:
		return "unknown"
	}
}

// attempt is a failed request that a line reports.
type attempt struct {
	family    Family
	kind      ami.Kind
	service   ami.Service
	transport ami.Transport
	source    netip.AddrPort
	account   []byte // text of the sender
	session   []byte // the Call-ID, if the line has it
	detail    string

	// text is the sender's text in the message, if it may hold line ends: the lines that follow may
	// be a part of it. It is nil if there is none.
	text *text
}

// finding is the result of parsing a message.
type finding uint8

const (
	findingOther    finding = iota // it belongs to no family
	findingAttempt                 // it reports an attempt
	findingUser                    // it reports a mistake of a user or of the PBX, not an attempt
	findingBroken                  // it belongs to a family, but is not as Asterisk prints it
	findingUnclear                 // its text makes it unclear who the sender is
	findingNoSender                // it names no sender
)

// parse reads the message by the format of its source file, and stores what it finds in a.
func (p *prefix) parse(a *attempt) finding {
	// All formats that are read are printed on these two levels.
	if p.level != levelNotice && p.level != levelWarning {
		return findingOther
	}

	// The file decides the format: in a message of another file the same words are quoted text.
	switch p.file {
	case fileChanSIP:
		return parseChanSIP(p.message, a)
	case fileDistributor:
		return parseRequest(p.message, a)
	case fileSession:
		return parseCall(p.message, a)
	case fileRegistrar:
		return parseRegistrar(p.message, a)
	case fileIAX2:
		return parseIAX2(p.message, p.level, a)
	case fileManager:
		return parseManager(p.message, a)
	case fileOther, fileSecurity, fileLogger:
	}

	return findingOther
}

// between returns the text between start, with which the message must begin, and the first end.
// rest is the text behind that end.
func between(message []byte, start, end string) (inner, rest []byte, ok bool) {
	message, ok = bytes.CutPrefix(message, []byte(start))
	if !ok {
		return nil, nil, false
	}

	// The first end counts: behind it the sender may have written the same.
	return bytes.Cut(message, []byte(end))
}

// parseSource reads an address with a port, or without one: old versions, chan_iax2 and manager.c
// leave it out. Some files print an IPv6 address with a port and without brackets: see
// parseHostPort.
func parseSource(b []byte) (netip.AddrPort, bool) {
	const longest = len("[0000:0000:0000:0000:0000:0000:0000:0000]:65535")
	if len(b) == 0 || len(b) > longest {
		return netip.AddrPort{}, false
	}

	// A zone names an interface of the PBX: no address from elsewhere has one.
	s := string(b)
	if a, err := netip.ParseAddrPort(s); err == nil && a.Addr().Zone() == "" {
		return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), true
	}

	return parseAddr(s)
}

// parseAddr reads an address without a port. ast_sockaddr_stringify_addr (main/netsock2.c 22.10.1)
// prints no brackets and no scope.
func parseAddr(s string) (netip.AddrPort, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a.Unmap(), 0), true
}

// parseHostPort reads an address and a port that were printed by `%s:%d`. Most versions print IPv6
// without brackets there.
func parseHostPort(b []byte) (netip.AddrPort, bool) {
	i := bytes.LastIndexByte(b, ':')
	if i < 0 {
		return netip.AddrPort{}, false
	}

	// Some versions print IPv6 with brackets.
	host := bytes.TrimSuffix(bytes.TrimPrefix(b[:i], []byte{'['}), []byte{']'})
	if len(host) > 64 {
		return netip.AddrPort{}, false
	}

	// The port is digits only. strconv would also accept a sign.
	a, err := netip.ParseAddr(string(host))
	port := countDigits(b[i+1:])
	if err != nil || a.Zone() != "" || port == 0 || port > 5 || i+1+port != len(b) {
		return netip.AddrPort{}, false
	}

	// Five digits may be more than the largest port.
	n := 0
	for _, c := range b[i+1:] {
		n = n*10 + int(c-'0')
	}

	if n > 65535 {
		return netip.AddrPort{}, false
	}

	// An IPv4-mapped address is the same host as the IPv4 address.
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), true
}

// transportOf returns the transport by the name that PJSIP prints in front of an address. It
// reports false for any other name.
func transportOf(name []byte) (ami.Transport, bool) {
	switch string(bytes.TrimSuffix(name, []byte{'6'})) {
	case "UDP", "udp":
		return ami.TransportUDP, true
	case "TCP", "tcp":
		return ami.TransportTCP, true
	case "TLS", "tls":
		return ami.TransportTLS, true
	case "WS", "ws":
		return ami.TransportWS, true
	case "WSS", "wss":
		return ami.TransportWSS, true
	}

	return ami.TransportUnknown, false
}
