package ami

import (
	"bytes"
	"time"
)

// class is the kind of a packet by its first line.
type class uint8

const (
	classNone     class = iota // no line yet
	classSecurity              // Event: one of the fifteen kinds
	classEvent                 // Event: another one
	classResponse              // Response: ...
	classFragment              // another line: Asterisk begins no packet with it
)

// place is the header that is expected next, in the order of a security event.
type place uint8

const (
	placeSeek place = iota // out of order: only a SessionID can begin a tail again
	placePrivilege
	placeEventTV
	placeSeverity
	placeService
	placeEventVersion
	placeAccountID
	placeSessionID
	placeLocalAddress
	placeRemoteAddress
	placeTail
)

// privilege is the class of every security event, as Asterisk prints it.
const privilege = "security,all"

// span is a value's place in its packet.
type span struct{ from, to int }

// packet is the packet that is being read, line by line. Values are spans: the buffer moves while
// the packet grows.
type packet struct {
	start   int // where it begins in the buffer
	end     int // where it ends, once it is whole
	size    int // bytes in it, cut ones not counted
	class   class
	place   place
	context Kind // the kind of the packet before it, whose rest this one may be
	taint   Taint

	// a head is complete: Event to AccountID (SessionID for RequestBadFormat) in order and valid
	begun     bool
	suspect   bool // begun, but after a torn packet whose rest it may be
	reach     bool // it ends within reach of the sender of an event before it, see textReach
	textEnd   int  // where the reach of its own sender ends in the stream; 0 if it writes no tail
	alien     bool // a security event of an unknown kind
	remote    bool // a line begins with `RemoteAddress: `
	inexact   bool // an unknown header follows the tail
	oversize  bool
	tooLong   bool
	seen      uint32 // bit set of headers
	tailDone  int    // headers of the tail that were passed, left-out optional ones included
	usingPass bool

	kind     Kind
	service  Service
	time     time.Time
	local    address
	source   address // the last RemoteAddress that followed SessionID and LocalAddress
	sender   address // RemoteAddress, when everything up to it was in order
	account  span
	session  span
	detail   span
	sent     span // Challenge
	received span // ReceivedChallenge
}

// line decodes the next line, without its line end. The line stands at offset at of the packet. Its
// length shows whether it was cut.
func (p *packet) line(b []byte, at int) {
	key, value, ok := cutLine(b)
	h := headerOther
	if ok {
		h = parseHeader(key)
	}

	// A value that is too long is cut, and its packet is kept: otherwise a long Call-ID would hide
	// an attacker.
	v := span{at + len(b) - len(value), at + len(b)}
	if len(value) > MaxValue {
		p.oversize = true
		v.to -= len(value) - MaxValue
		value = value[:MaxValue]
	}

	p.remote = p.remote || h == headerRemoteAddress
	if p.class == classNone {
		p.first(h, value, ok, v)
		return
	}

	// The name of the event is not one of the fifteen, but its class is.
	if p.class == classEvent && h == headerPrivilege && string(value) == privilege {
		p.alien = true
	}

	// A line out of place taints the packet, but does not end it: its end may still name the
	// sender.
	cause := p.step(h, value, v)
	if cause == Untainted && !ok && p.class == classSecurity {
		cause = TaintLine // a header of a later version may be unknown, but it is a header
	}
	if cause != Untainted {
		p.stray(h, cause, ok, v)
	}

	p.seen |= 1 << h
}

// cutLine splits a line at its first colon, which a blank must follow. Asterisk prints the blank of
// an empty value too (`%s: %s\r\n`).
func cutLine(b []byte) (key, value []byte, ok bool) {
	i := bytes.IndexByte(b, ':')
	if i <= 0 || i+1 >= len(b) || b[i+1] != ' ' {
		return nil, b, false
	}
	return b[:i], b[i+2:], true
}

// first decodes the first line of a packet.
func (p *packet) first(h header, value []byte, ok bool, v span) {
	p.seen |= 1 << h
	switch h {
	case headerEvent:
		p.class = classEvent
		if p.kind = parseKind(value); p.kind != KindUnknown {
			p.class, p.place = classSecurity, placePrivilege
		}
	case headerResponse:
		p.class = classResponse
	default:
		p.class = classFragment
		p.stray(h, TaintOrder, ok, v)
	}
}

// stray taints the packet because of a line that is out of place. The packet may still end with a
// whole tail, which begins with SessionID.
func (p *packet) stray(h header, cause Taint, ok bool, v span) {
	switch {
	case p.taint != Untainted:
	case !ok:
		p.taint = TaintLine
	case cause == TaintOrder && h != headerOther && p.seen&(1<<h) != 0:
		p.taint = TaintDuplicate
	default:
		p.taint = cause
	}

	p.place = placeSeek
	if h == headerSessionID && cause != TaintField {
		p.session, p.place = v, placeLocalAddress
	}
}

// step decodes a line that should be the expected next one, and returns the taint if it is not.
func (p *packet) step(h header, value []byte, v span) Taint {
	switch p.place {
	case placePrivilege, placeEventTV, placeSeverity, placeService, placeEventVersion,
		placeAccountID:
		return p.stepHead(h, value, v)
	case placeSessionID:
		if h != headerSessionID {
			return TaintOrder
		}
		if p.service != ServicePJSIP && !isPointer(value) {
			return TaintField
		}

		p.session, p.place = v, placeLocalAddress

		// RequestBadFormat has no AccountID in its head, so its head ends here.
		p.begun = p.begun || p.taint == Untainted
	case placeLocalAddress, placeRemoteAddress:
		return p.stepAddress(h, value)
	case placeTail:
		return p.stepTail(h, value, v)
	default:
		return TaintOrder
	}

	return Untainted
}

// stepHead decodes a line of the head. All its values are Asterisk's own, up to AccountID.
func (p *packet) stepHead(h header, value []byte, v span) Taint {
	var ok bool
	switch p.place {
	case placePrivilege:
		if h != headerPrivilege {
			return TaintOrder
		}
		if string(value) != privilege {
			return TaintField
		}
	case placeEventTV:
		// Asterisk may print Timestamp (timestampevents), SequenceNumber, File, Line, Func (debug)
		// and SystemName here: main/manager.c, __manager_event_sessions_va. No text of an attacker
		// comes that early, so any unknown header may pass.
		if h == headerOther && len(value) > 0 {
			return Untainted
		}

		if h != headerEventTV {
			return TaintOrder
		}
		if p.time, ok = parseTimestamp(value); !ok {
			return TaintTime
		}
	case placeSeverity:
		if h != headerSeverity {
			return TaintOrder
		}
		if string(value) != p.kind.severity() {
			return TaintSeverity
		}
	case placeService:
		if h != headerService {
			return TaintOrder
		}
		p.service = parseService(value)
	case placeEventVersion:
		if h != headerEventVersion {
			return TaintOrder
		}
		if _, ok = parseDecimal(value, 99); !ok {
			return TaintField
		}

		// This kind alone has its AccountID in the tail.
		if p.kind == KindRequestBadFormat {
			p.place = placeSessionID
			return Untainted
		}
	case placeAccountID:
		if h != headerAccountID {
			return TaintOrder
		}
		p.account, p.begun = v, true
	default:
		return TaintOrder // not a place in the head
	}

	p.place++
	return Untainted
}

// isPointer reports whether b is a C pointer as chan_sip and the manager print it for a SessionID
// (`%p`).
func isPointer(b []byte) bool {
	if len(b) < len("0x1234") || len(b) > len("0x")+16 || b[0] != '0' || b[1] != 'x' {
		return false
	}

	for _, c := range b[2:] {
		if _, ok := hexDigit(c); !ok {
			return false
		}
	}

	return true
}

// stepAddress decodes LocalAddress or RemoteAddress.
func (p *packet) stepAddress(h header, value []byte) Taint {
	if p.place == placeLocalAddress && h != headerLocalAddress ||
		p.place == placeRemoteAddress && h != headerRemoteAddress {
		return TaintOrder
	}

	a, ok := parseAddress(value)
	switch {
	case p.place == placeRemoteAddress && ok:
		p.source, p.place, p.tailDone, p.inexact = a, placeTail, 0, false

		// While all was in order up to here, no injected text can have come before.
		if p.taint == Untainted {
			p.sender = a
		}
	case p.place == placeLocalAddress && (ok || p.service == ServicePJSIP && isAddressLike(value)):
		p.local, p.place = a, placeRemoteAddress
	default:
		return TaintAddress
	}

	return Untainted
}

// isAddressLike reports whether b has the form of an address, whatever its host. A LocalAddress of
// PJSIP can have a host that is not an address: security_event_populate (res_pjsip/
// security_events.c 22.10.1) leaves it uninitialised when the transport's local name is a host
// name.
func isAddressLike(b []byte) bool {
	_, _, _, _, ok := splitAddress(b)
	return ok
}

// stepTail decodes a line after RemoteAddress.
func (p *packet) stepTail(h header, value []byte, v span) Taint {
	t := tails[p.tailKind()]
	i, ok := t.find(h, p.tailDone)
	if !ok {
		// A later Asterisk may print further headers after the known ones. Such a packet is held
		// until the next one has begun.
		if h == headerOther && p.tailDone >= t.required && p.class == classSecurity &&
			p.taint == Untainted && len(value) > 0 {
			p.inexact = true
			return Untainted
		}
		return TaintOrder
	}

	// A known header does not come after an unknown one.
	if p.inexact {
		return TaintOrder
	}

	// Values that Asterisk makes itself are checked; the others are kept, or belong to nobody.
	switch h {
	case headerUsingPassword:
		if len(value) != 1 || value[0] != '0' && value[0] != '1' {
			return TaintField
		}
		p.usingPass = value[0] == '1'
	case headerSessionTV:
		if _, ok := parseTimestamp(value); !ok {
			return TaintTime
		}
	case headerRequestType, headerACLName, headerAuthMethod, headerExpectedAddress,
		headerAttemptedTransport:
		p.detail = v
	case headerAccountID:
		p.account = v
	case headerChallenge:
		p.sent = v
		if p.tailKind() == KindChallengeSent {
			p.detail = v
		}
	case headerReceivedChallenge:
		p.received = v
	default:
		// Nothing is kept of the other headers of a tail.
	}

	p.tailDone = i + 1
	return Untainted
}

// tailKind returns the kind whose tail the packet must end with: its own kind once its head is
// complete, else the kind of the packet whose rest it would be.
func (p *packet) tailKind() Kind {
	if p.begun {
		return p.kind
	}
	return p.context
}

// ended reports whether the packet, whole now, ends with SessionID, LocalAddress, RemoteAddress and
// a tail of its kind.
func (p *packet) ended() bool {
	return p.place == placeTail && p.tailDone >= tails[p.tailKind()].required
}
