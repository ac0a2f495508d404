package firewall

import (
	"bytes"
	"encoding/binary"
	"net/netip"
)

// mostChallenges limits the challenges that are read of one answer. Asterisk makes one for each realm
// and algorithm.
const mostChallenges = 8

// Challenge is a refusal (401 or 407) that left over UDP, with where it went and the digest nonces in
// it. Its texts are those of the packet, valid as long as that is.
type Challenge struct {
	From, To netip.AddrPort

	// Received is where the request came from, as the server wrote it into the topmost Via. It is the
	// zero Addr if the Via has not the form in which servers write it.
	Received netip.Addr
	// Plain is whether there is one Via, of the form `SIP/2.0/UDP host[;ttl=][;rport=];received=`.
	// What the sender of the request invents comes later in it, so there is no `maddr` that would
	// have the answer sent elsewhere.
	Plain bool

	// Odd is whether a challenge could not be read, or there is none.
	Odd bool
	// Cut is whether a part of the packet is missing, or it cannot be read.
	Cut bool

	nonces [mostChallenges][]byte
	n      int
}

// Nonces returns the nonces of all challenges that could be read.
func (c *Challenge) Nonces() [][]byte { return c.nonces[:c.n] }

// ParseChallenge reads a refusal from an IP packet. It allocates nothing.
func ParseChallenge(packet []byte) (c Challenge) {
	a, payload, ok := parsePacket(packet)
	c.From, c.To = a.From, a.To
	if !ok || a.Stream || len(packet) != sizeOf(packet) || len(payload) < len(answerOK) ||
		len(payload)+udpHeader != int(binary.BigEndian.Uint16(packet[len(packet)-len(payload)-4:])) {
		c.Cut = true
		return c
	}

	vias := 0
	for first := true; ; first = false {
		// Only CR LF ends a line: PJSIP echoes a lone CR. The headers end with an empty line.
		line, rest, found := bytes.Cut(payload, []byte("\r\n"))
		if !found {
			c.Cut = true
			return c
		}
		if len(line) == 0 {
			break
		}
		if payload = rest; !first {
			vias += c.header(line, vias)
		}
	}

	c.Plain = c.Plain && vias == 1
	c.Odd = c.Odd || c.n == 0
	return c
}

// sizeOf returns the size of an IP packet, as its header says.
func sizeOf(p []byte) int {
	const size4, size6, header6 = 2, 4, 40
	if p[0]>>4 == 6 {
		return int(binary.BigEndian.Uint16(p[size6:])) + header6
	}
	return int(binary.BigEndian.Uint16(p[size4:]))
}

// header reads a header, and returns 1 if it is a Via. Those before it were so many.
func (c *Challenge) header(line []byte, vias int) int {
	name, value, _ := bytes.Cut(line, []byte(":"))
	name = bytes.TrimRight(name, " \t")
	switch {
	case bytes.EqualFold(name, []byte("Via")), bytes.EqualFold(name, []byte("v")):
		if vias == 0 {
			c.readVia(bytes.TrimPrefix(value, []byte(" ")))
		}
		return 1
	case bytes.EqualFold(name, []byte("WWW-Authenticate")),
		bytes.EqualFold(name, []byte("Proxy-Authenticate")):
		nonce, ok := digestNonce(bytes.TrimPrefix(value, []byte(" ")))
		if !ok || c.n == mostChallenges {
			c.Odd = true
			return 0
		}
		c.nonces[c.n] = nonce
		c.n++
	}
	return 0
}

// readVia reads the topmost Via as far as the server has written it.
func (c *Challenge) readVia(v []byte) {
	v, ok := bytes.CutPrefix(v, []byte("SIP/2.0/UDP "))
	if !ok {
		return
	}
	host := bytes.IndexByte(v, ';')
	if host <= 0 || bytes.ContainsFunc(v[:host], func(r rune) bool { return !inHostPort(r) }) {
		return
	}

	// The parameters come in this order. maddr is what the sender asks for.
	v, _, _ = cutParameter(v[host:], ";ttl=")
	v, _, _ = cutParameter(v, ";rport=")
	v, _, maddr := cutParameter(v, ";maddr=")
	v, text, ok := cutParameter(v, ";received=")
	const longest = 47 // an IPv6 address as text, in brackets
	if !ok || len(text) > longest {
		return
	}

	text = bytes.TrimSuffix(bytes.TrimPrefix(text, []byte("[")), []byte("]"))
	if c.Received, ok = c.addressOf(text); !ok {
		return
	}
	c.Plain = !maddr && bytes.HasPrefix(v, []byte(";branch="))
}

// addressOf returns an address that is written as text. That of the packet's destination, which is the
// rule, costs no allocation.
func (c *Challenge) addressOf(text []byte) (netip.Addr, bool) {
	var buf [48]byte
	to := c.To.Addr().Unmap()
	if bytes.Equal(to.AppendTo(buf[:0]), text) {
		return to, true
	}
	addr, err := netip.ParseAddr(string(text))
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}, false
	}
	return addr.Unmap(), true
}

// inHostPort reports whether a character may be in the host and port of a Via.
func inHostPort(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '.' || r == '-' ||
		r == '_' || r == ':' || r == '[' || r == ']'
}

// cutParameter returns what follows a parameter with which v begins, and its value.
func cutParameter(v []byte, name string) (rest, value []byte, ok bool) {
	after, ok := bytes.CutPrefix(v, []byte(name))
	if !ok {
		return v, nil, false
	}
	end := bytes.IndexByte(after, ';')
	if end < 0 {
		end = len(after)
	}
	return after[end:], after[:end], true
}

// digestNonce returns the nonce of a challenge. It reports false unless there is one.
func digestNonce(v []byte) (nonce []byte, ok bool) {
	v, ok = bytes.CutPrefix(v, []byte("Digest "))
	if !ok {
		return nil, false
	}

	found := 0
	for len(v) > 0 {
		v = bytes.TrimLeft(v, " \t,")
		name, rest, ok := bytes.Cut(v, []byte("="))
		if !ok {
			return nil, false
		}

		var value []byte
		if len(rest) > 0 && rest[0] == '"' {
			end := quoteEnd(rest)
			if end < 0 {
				return nil, false
			}
			value, v = rest[1:end], rest[end+1:]
		} else {
			value, v, _ = bytes.Cut(rest, []byte(","))
		}
		if bytes.EqualFold(bytes.TrimSpace(name), []byte("nonce")) {
			nonce = value
			found++
		}
	}
	return nonce, found == 1
}

// quoteEnd returns where the quoted string ends with which v begins, -1 if it does not.
func quoteEnd(v []byte) int {
	for i := 1; i < len(v); i++ {
		switch v[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}
