package asterisklog

import (
	"bytes"
	"strconv"
	"time"
)

// A security line has this form from Asterisk 1.8 to 22 (res/res_security_log.c,
// security_event_stasis_cb of 22.10.1):
//
//	SecurityEvent="InvalidPassword",EventTV="…",Severity="Error",Service="SIP",EventVersion="2",AccountID="1001",…
//
// Its information elements have the order of main/security_events.c, as in AMI. Values are not
// escaped.
const eventStart = `SecurityEvent="`

// isSecurity reports whether a message is one of the security channel.
func (p *prefix) isSecurity() bool {
	return p.level == levelSecurity && p.file == fileSecurity &&
		bytes.HasPrefix(p.message, []byte(eventStart))
}

// stampOr returns the time in front of a message, or else the carrier's.
func (p *prefix) stampOr(carrier []byte) []byte {
	if p.stamp != nil {
		return p.stamp
	}
	return carrier
}

// eventTime returns the time in EventTV of a security line. The field stands in front of all text
// of the sender.
func eventTime(message []byte) (time.Time, bool) {
	const key = `",EventTV="`
	i := bytes.Index(message[:min(len(message), 128)], []byte(key))
	if i < 0 {
		return time.Time{}, false
	}

	value, _, _ := bytes.Cut(message[i+len(key):], []byte{'"'})
	t, err := time.Parse("2006-01-02T15:04:05.000-0700", string(value))
	return t, err == nil
}

// holdsTwo reports whether a second event begins in the line. Either the first was cut together
// with its line end, or its sender imitates that. In both cases it is not clear to which event the
// end of the line belongs.
func holdsTwo(message []byte) bool {
	return bytes.Contains(message[len(eventStart):], []byte(eventStart))
}

// longestAccount is about the length of the longest AccountID of chan_sip, in bytes: the user of
// the To header (channels/chan_sip.c 16.28.0, MAX_EXTENSION and sip_pvt.exten).
const longestAccount = 256

// accountText returns the place of AccountID in a security line, since line ends may be in it. It
// reports false for PJSIP, whose AccountID has no more than 36 bytes: no line that is read fits
// into it.
func accountText(message []byte) (text, bool) {
	const key = `",AccountID="`
	i := bytes.Index(message, []byte(key))
	if i < 0 || bytes.Contains(message[:i], []byte(`",Service="PJSIP"`)) {
		return text{}, false
	}

	// The text begins behind the key, and its end is that of the whole line.
	return text{at: i + len(key), longest: longestAccount, end: endOfEvent, event: true}, true
}

// endOfEvent reads the end of a security line.
func endOfEvent(line []byte) (sender, bool) {
	const key = `RemoteAddress="IPV`
	i := bytes.LastIndex(line, []byte(key))
	if i < 0 || line[len(line)-1] != '"' {
		return sender{}, false
	}

	// IPV4/UDP/198.51.100.7/5070: the address is the third part.
	value, _, _ := bytes.Cut(line[i+len(key):], []byte{'"'})
	parts := bytes.Split(value, []byte{'/'})

	// The text ends where the next field begins.
	at := max(0, bytes.LastIndex(line, []byte(`",SessionID="`)))
	if len(parts) != 4 {
		return sender{at: at}, true
	}

	source, _ := parseSource(parts[2])
	return sender{at: at, addr: source.Addr()}, true
}

// endsLikeEvent reports whether a line ends as a security line does. The rest of a torn security
// line ends so.
func endsLikeEvent(line []byte) bool {
	return len(line) > 0 && line[len(line)-1] == '"' &&
		bytes.Contains(line, []byte(`RemoteAddress="`))
}

// appendPacket appends the AMI packet of the event in a security line to dst. It reports false if
// the line does not end like one; the packet is broken then.
func appendPacket(dst, message []byte) ([]byte, bool) {
	kind, rest, ok := bytes.Cut(message[len(eventStart):], []byte(`",`))
	if !ok {
		return append(dst, "?\r\n\r\n"...), false
	}

	// The packet has the form of AMI, so the decoder is as strict with it.
	dst = append(dst, "Event: "...)
	dst = append(dst, kind...)
	dst = append(dst, "\r\nPrivilege: security,all"...)

	// Without a key, Asterisk did not write the line, so the packet must not look whole.
	key, rest, ok := cutKey(rest)
	if !ok {
		return append(dst, broken+"\r\n"...), false
	}

	dst = appendKey(dst, key)
	return appendFields(dst, key, rest)
}

// broken is a line that continues no event, so that the decoder never takes a cut value for a
// whole one.
const broken = "\r\nEvent: ?\r\n"

// appendRest appends what follows an injected line end as the fragment of a packet.
func appendRest(dst, line []byte) []byte {
	dst = append(dst, '?') // so that no text begins a packet
	dst, _ = appendFields(dst, nil, line)
	return dst
}

// appendFields appends the value that rest begins with, which is key's, and all fields after it, as
// lines of a packet.
func appendFields(dst, key, rest []byte) ([]byte, bool) {
	for from := 0; ; {
		// Values are not escaped, so a value ends only where a key follows its quote.
		i := bytes.Index(rest[from:], []byte(`",`))
		if i < 0 {
			break
		}

		i += from

		// A quote within a value is a part of it.
		next, after, ok := cutKey(rest[i+len(`",`):])
		if !ok {
			from = i + len(`",`)
			continue
		}

		dst = appendValue(dst, key, rest[:i])
		dst = appendKey(append(dst, "\r\n"...), next)
		key, rest, from = next, after, 0
	}

	// The last value ends with the line.
	value, whole := bytes.CutSuffix(rest, []byte{'"'})
	dst = appendValue(dst, key, value)
	if !whole {
		return append(dst, broken+"\r\n"...), false
	}

	return append(dst, "\r\n\r\n"...), true
}

// cutKey cuts `Key="` from the beginning of b: all keys are letters (main/event.c, ie_maps[]).
func cutKey(b []byte) (key, rest []byte, ok bool) {
	n := 0
	for n < len(b) && (b[n]|0x20) >= 'a' && (b[n]|0x20) <= 'z' {
		n++
	}

	if n == 0 || !bytes.HasPrefix(b[n:], []byte(`="`)) {
		return nil, nil, false
	}
	return b[:n], b[n+len(`="`):], true
}

func appendKey(dst, key []byte) []byte {
	if bytes.HasSuffix(dst, []byte("security,all")) {
		dst = append(dst, "\r\n"...)
	}
	return append(append(dst, key...), ": "...)
}

// appendValue appends a value. Until Asterisk 11 a time was seconds and microseconds since the
// epoch, `%u-%u` (main/security_events.c 11.25.3, encode_timestamp); since 12 it is what AMI
// prints.
func appendValue(dst, key, value []byte) []byte {
	if k := string(key); k != "EventTV" && k != "SessionTV" || countDigits(value) <= len("2026") {
		return append(dst, value...)
	}

	// A value of another form stays as it is, and the decoder refuses it.
	seconds, micros, ok := bytes.Cut(value, []byte{'-'})
	s, err := strconv.ParseUint(string(seconds), 10, 32)
	us, err2 := strconv.ParseUint(string(micros), 10, 32)
	if !ok || err != nil || err2 != nil || us >= 1e6 {
		return append(dst, value...)
	}

	return time.Unix(int64(s), int64(us)*1000).UTC().AppendFormat(dst,
		"2006-01-02T15:04:05.000-0700")
}
