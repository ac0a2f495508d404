package asterisklog

import (
	"bytes"

	"github.com/amifend/amifend/ami"
)

// Failures of IAX2 (channels/chan_iax2.c 22.10.1: register_verify, socket_process_helper; the same
// texts with ast_inet_ntoa in 1.8.32.3). chan_iax2 raises no security event, so the kinds are those
// that chan_sip raises for similar requests.
//
//	Host %s failed MD5 authentication for '%s' (%s != %s)
//	Host %s did not provide proper plaintext password for '%s'
//	Host %s denied access to register peer '%s'
//	Host %s failed to authenticate as %s
//	No registration for peer '%s' (from %s)
//	Peer '%s' is not dynamic (from %s)
//	Empty registration from %s
//	Rejected connect attempt from %s, who was trying to reach '%s@%s'
//	Rejected connect attempt from %s, request '%s@%s' does not exist
//
// In the first four, the text behind the address is the sender's; in the next two, the text in
// front of it. chan_iax2 removes nothing from that text, so it may hold line ends. `Host %s failed
// RSA authentication …` is not read: it names the account in place of the address. `Registration of
// '%s' rejected: 'Registration Refused' from: '%s'` is not read either: it is about a registration
// that the PBX itself made.

// iaxText is the length of the longest information element of IAX2, in bytes (RFC 5456, section
// 8.6).
const iaxText = 255

const (
	iaxHost     = "Host "
	iaxRejected = "Rejected connect attempt from "
	iaxFrom     = "' (from "
)

// parseIAX2 reads a message of chan_iax2.c.
func parseIAX2(message []byte, l level, a *attempt) finding {
	a.family = FamilyIAX2
	a.service = ami.ServiceUnknown
	switch {
	case bytes.HasPrefix(message, []byte(iaxHost)):
		return parseIAX2Host(message, a)
	case bytes.HasPrefix(message, []byte("No registration for peer '")):
		a.kind = ami.KindInvalidAccountID
		return parseIAX2From(message, len("No registration for peer '"), a)
	case bytes.HasPrefix(message, []byte("Peer '")) &&
		bytes.Contains(message, []byte("' is not dynamic (from ")):
		a.kind = ami.KindFailedACL
		a.detail = "peer_not_dynamic"
		return parseIAX2From(message, len("Peer '"), a)
	case bytes.HasPrefix(message, []byte("Empty registration from ")):
		// This message holds no text of the sender: it ends with the address.
		var ok bool
		a.kind = ami.KindInvalidAccountID
		if a.source, ok = parseSource(message[len("Empty registration from "):]); !ok {
			return findingBroken
		}
		return findingAttempt
	case bytes.HasPrefix(message, []byte(iaxRejected)):
		return parseIAX2Call(message, l, a)
	}

	return findingOther
}

// parseIAX2Host reads `Host ADDRESS …`.
func parseIAX2Host(message []byte, a *attempt) finding {
	address, rest, ok := between(message, iaxHost, " ")
	if !ok {
		return findingOther
	}

	// Each form has another end, by which the end of a torn message is recognized further down.
	end := endOfQuote
	switch {
	case bytes.HasPrefix(rest, []byte("failed MD5 authentication for '")):
		a.kind = ami.KindInvalidPassword
		end = endOfBracket
		a.account, _, _ = between(rest, "failed MD5 authentication for '", "'")
	case bytes.HasPrefix(rest, []byte("did not provide proper plaintext password for '")):
		a.kind = ami.KindInvalidPassword
		a.account, _, _ = between(rest, "did not provide proper plaintext password for '", "'")
	case bytes.HasPrefix(rest, []byte("denied access to register peer '")):
		a.kind = ami.KindFailedACL
		a.detail = "device_must_match_acl"
		a.account, _, _ = between(rest, "denied access to register peer '", "'")
	case bytes.HasPrefix(rest, []byte("failed to authenticate as ")):
		a.kind = ami.KindInvalidPassword
		end = endOfLine
		a.account = rest[len("failed to authenticate as "):]
	case bytes.HasPrefix(rest, []byte("failed RSA authentication")),
		bytes.HasPrefix(rest, []byte("trying to do RSA")):
		return findingNoSender // it names the account in the place of the address
	default:
		return findingOther
	}

	// The address stands in front of all text of the sender, so it is certain.
	if a.source, ok = parseSource(address); !ok {
		return findingBroken
	}

	// All that follows may hold line ends: the name, and in the first form the digests.
	a.text = &text{
		at: len(message) - len(rest), longest: iaxText + len(rest), end: end,
		sender: a.source.Addr(),
	}

	return findingAttempt
}

// parseIAX2From reads `… 'NAME… (from ADDRESS)` from its end. The name begins at at.
func parseIAX2From(message []byte, at int, a *attempt) finding {
	a.text = &text{at: at, longest: iaxText, end: endOfFrom} // it may be torn before its end
	s, ok := endOfFrom(message)
	if !ok || s.at < at-len("' is not dynamic") {
		return findingBroken
	}

	// The name is for people only.
	a.source = s.source
	a.account, _, _ = bytes.Cut(message[at:], []byte{'\''})
	return findingAttempt
}

// parseIAX2Call reads a rejected call: that of a stranger who may not call, or a call to an
// extension that does not exist. The second is a NOTICE for a guest and a WARNING for a user who
// dialled a wrong number.
func parseIAX2Call(message []byte, l level, a *attempt) finding {
	address, rest, ok := between(message, iaxRejected, ", ")
	if !ok {
		// `Rejected connect attempt. No secret present while force encrypt enabled.`
		return findingOther
	}

	// The extension is the sender's text, and the two forms end differently.
	var extension []byte
	end := endOfExtension
	switch {
	case bytes.HasPrefix(rest, []byte("who was trying to reach '")):
		extension = rest[len("who was trying to reach '"):]
	case bytes.HasPrefix(rest, []byte("request '")):
		extension, end = rest[len("request '"):], endOfRequest
	default:
		return findingOther // codecs that do not fit
	}

	if a.source, ok = parseSource(address); !ok {
		return findingBroken
	}

	// chan_sip raises this event for such a call.
	a.kind = ami.KindFailedACL
	a.detail = "no_extension_match"
	a.account, _, _ = bytes.Cut(extension, []byte{'@'})
	a.text = &text{
		at: len(message) - len(extension), longest: iaxText, end: end,
		sender: a.source.Addr(),
	}

	// A user's mistake is not an attempt.
	if l == levelWarning {
		return findingUser
	}
	return findingAttempt
}

// endOfFrom reads the end of a message that ends with `(from ADDRESS)`.
func endOfFrom(line []byte) (sender, bool) {
	rest, ok := bytes.CutSuffix(line, []byte{')'})
	i := bytes.LastIndex(rest, []byte(" (from "))
	if !ok || i < 0 {
		return sender{}, false
	}

	// The last one counts: a name may hold the same words.
	source, ok := parseSource(rest[i+len(" (from "):])
	return sender{at: i, addr: source.Addr(), source: source}, ok
}

func endOfQuote(line []byte) (sender, bool) {
	return sender{at: len(line) - 1}, bytes.HasSuffix(line, []byte{'\''})
}

func endOfBracket(line []byte) (sender, bool) {
	return sender{at: len(line) - 1}, bytes.HasSuffix(line, []byte{')'})
}

// endOfExtension reads `@CONTEXT'`, and endOfRequest `@CONTEXT' does not exist`.
func endOfExtension(line []byte) (sender, bool) {
	i := bytes.LastIndexByte(line, '@')
	return sender{at: i}, i >= 0 && bytes.HasSuffix(line, []byte{'\''})
}

func endOfRequest(line []byte) (sender, bool) {
	i := bytes.LastIndexByte(line, '@')
	return sender{at: i}, i >= 0 && bytes.HasSuffix(line, []byte("' does not exist"))
}

// endOfLine accepts any line as the end of a message that ends with text of the sender.
func endOfLine(line []byte) (sender, bool) { return sender{at: len(line)}, true }
