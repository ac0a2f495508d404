package firewall

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"unicode/utf8"
)

// Answer is an answer of a SIP server, as it left. Its texts are those of the packet: a client
// chose most of them. They are valid as long as the packet is.
type Answer struct {
	From, To netip.AddrPort // source and destination of the packet
	Stream   bool           // over TCP: SIP or WebSocket, without TLS
	Status   int            // such as 401
	CallID   []byte
	Account  []byte // the user in the To header: for REGISTER the account; not unescaped
	Method   []byte // of the request

	via []byte // the topmost one
}

// ParseAnswer reads an answer from an IP packet. It reports false for what is none, for one whose
// first headers, through CSeq, are not all there, and for what no server sends. It allocates
// nothing.
func ParseAnswer(packet []byte) (Answer, bool) {
	a, payload, ok := parsePacket(packet)
	if !ok {
		return Answer{}, false
	}

	// A short message over WebSocket has a header of two bytes, but no answer is that short.
	const frameText, frameLonger = 0x81, 126
	if a.Stream && len(payload) > frameHeader && payload[0] == frameText && payload[1] == frameLonger {
		payload = payload[frameHeader:]
	}
	const start = "SIP/2.0 "
	if len(payload) < len(answerOK) || string(payload[:len(start)]) != start ||
		payload[len(answerOK)-1] != ' ' {
		return Answer{}, false
	}
	for _, c := range payload[len(start) : len(start)+3] {
		if c < '0' || c > '9' {
			return Answer{}, false
		}
		a.Status = a.Status*10 + int(c-'0')
	}
	return a, a.readHeaders(payload)
}

// parsePacket reads the headers of IP and UDP or TCP. The kernel made them.
func parsePacket(p []byte) (a Answer, payload []byte, ok bool) {
	const header4, header6 = 20, 40
	if len(p) < header4 {
		return a, nil, false
	}

	var from, to netip.Addr
	var proto byte
	switch p[0] >> 4 {
	case 4:
		size := int(p[0]&0xf) * 4
		if size < header4 || size > len(p) {
			return a, nil, false
		}
		proto = p[9]
		from, to = netip.AddrFrom4([4]byte(p[saddr4Offset:])), netip.AddrFrom4([4]byte(p[daddr4Offset:]))
		p = p[size:]
	case 6:
		if len(p) < header6 {
			return a, nil, false
		}
		proto = p[6] // a server sends no extension headers
		from, to = netip.AddrFrom16([16]byte(p[saddr6Offset:])), netip.AddrFrom16([16]byte(p[daddr6Offset:]))
		p = p[header6:]
	default:
		return a, nil, false
	}

	size := udpHeader
	if a.Stream = Protocol(proto) == TCP; a.Stream {
		const header, dataOffset = 20, 12
		if len(p) < header {
			return a, nil, false
		}
		size = max(header, int(p[dataOffset]>>4)*4)
	} else if Protocol(proto) != UDP {
		return a, nil, false
	}
	if len(p) < size {
		return a, nil, false
	}
	a.From = netip.AddrPortFrom(from, binary.BigEndian.Uint16(p[sportOffset:]))
	a.To = netip.AddrPortFrom(to, binary.BigEndian.Uint16(p[dportOffset:]))
	return a, p[size:], true
}

// readHeaders reads the headers that count, of each the first one. It reports whether all are there.
func (a *Answer) readHeaders(payload []byte) bool {
	var to, seq []byte
	for {
		// Only CR LF ends a line: PJSIP echoes a lone CR.
		end := bytes.Index(payload, []byte("\r\n"))
		if end <= 0 {
			return false // no whole line is left, or the headers have ended
		}
		line := payload[:end]
		payload = payload[end+2:]

		name, value, ok := bytes.Cut(line, []byte(": "))
		if !ok {
			continue
		}
		var field *[]byte
		switch string(name) {
		case "Via", "v":
			field = &a.via
		case "Call-ID", "i":
			field = &a.CallID
		case "To", "t":
			field = &to
		case "CSeq":
			field = &seq
		default:
			continue
		}
		if *field == nil {
			*field = value
		}
		if a.via != nil && a.CallID != nil && to != nil && seq != nil {
			break
		}
	}

	a.Account = userOf(to)
	_, a.Method, _ = bytes.Cut(seq, []byte(" "))
	return true
}

// userOf returns the user of the URI in a To header; nil if there is none.
func userOf(to []byte) []byte {
	// A display name may be a quoted string, with brackets in it.
	if len(to) > 0 && to[0] == '"' {
		i := 1
		for i < len(to) && to[i] != '"' {
			if to[i] == '\\' {
				i++
			}
			i++
		}
		to = to[min(i, len(to)):]
	}
	if _, after, ok := bytes.Cut(to, []byte("<")); ok {
		to, _, _ = bytes.Cut(after, []byte(">"))
	}

	scheme, rest, ok := bytes.Cut(to, []byte(":"))
	if !ok || string(scheme) != "sip" && string(scheme) != "sips" {
		return nil
	}
	user, _, ok := bytes.Cut(rest, []byte("@"))
	if !ok {
		return nil
	}
	user, _, _ = bytes.Cut(user, []byte(":")) // a password
	return user
}

// Unseen reports whether the Call-ID is not valid UTF-8. Asterisk raises no security event for a
// request with such a one, and no phone sends one.
func (a *Answer) Unseen() bool { return !utf8.Valid(a.CallID) }

// Sender returns who sent the request: over TCP the destination, over UDP the address that the
// server wrote into the topmost Via (received), else the destination. Over UDP the sender may have
// forged it. The port is 0 where only the address is known.
func (a *Answer) Sender() netip.AddrPort {
	if a.Stream {
		return a.To
	}
	_, after, ok := bytes.Cut(a.via, []byte(";received="))
	if !ok {
		return a.To
	}

	text, _, _ := bytes.Cut(after, []byte(";"))
	text = bytes.TrimSuffix(bytes.TrimPrefix(text, []byte("[")), []byte("]"))
	const longest = 45 // an IPv6 address as text
	if len(text) > longest {
		return a.To
	}
	addr, err := netip.ParseAddr(string(text))
	switch addr = addr.Unmap(); {
	case err != nil || addr.Zone() != "":
		return a.To
	case addr == a.To.Addr():
		return a.To
	}
	return netip.AddrPortFrom(addr, 0)
}
