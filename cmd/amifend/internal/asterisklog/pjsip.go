package asterisklog

import (
	"bytes"

	"github.com/amifend/amifend/ami"
)

// A failed request, as PJSIP prints it (res/res_pjsip/pjsip_distributor.c, log_failed_request of
// 13.38.3, 16.28.0, 18.0.0, 20.20.1 and 22.10.1; the second form of 13.1.0):
//
//	Request '%s' from '%s' failed for '%s' (callid: %s) - %s
//	Request '%s' from '%s' failed for '%s' (callid: %s) - %s after %u tries in %.3f ms
//	Request from '%s' failed for '%s:%d' (callid: %s) - No matching endpoint found
//
// The method is a token. The second text is the From header's URI with its display name, and the
// Call-ID is anything but a line end. Both are the sender's, and the address stands between them.
// So requestMiddle must occur once: a sender who writes it a second time makes the message unclear.
const (
	requestStart  = "Request '"
	requestOld    = "Request from '"
	requestFrom   = "' from '"
	requestMiddle = "' failed for '"
	requestCallID = "' (callid: "
)

// ending maps the reason in a message to the security event that PJSIP raises for the same request
// (the calls of ast_sip_report_… behind each log_failed_request in pjsip_distributor.c 22.10.1).
type ending struct {
	text string
	kind ami.Kind
	acl  string
}

func endings() [6]ending {
	return [...]ending{
		{"No matching endpoint found", ami.KindInvalidAccountID, ""},
		{"Failed to authenticate", ami.KindChallengeResponseFailed, ""},
		{"Error to authenticate", ami.KindChallengeResponseFailed, ""},
		{"Not match Endpoint ACL", ami.KindFailedACL, "not_match_endpoint_acl"},
		{"Not match Endpoint Contact ACL", ami.KindFailedACL, "not_match_endpoint_contact_acl"},
		{"", ami.KindUnknown, ""},
	}
}

// parseRequest reads a message of pjsip_distributor.c.
func parseRequest(message []byte, a *attempt) finding {
	from, old := bytes.CutPrefix(message, []byte(requestOld))
	if !old {
		if !bytes.HasPrefix(message, []byte(requestStart)) {
			return findingOther
		}

		// A method is a token. With a blank in it, these words are text of the sender.
		var method []byte
		var ok bool
		if method, from, ok = between(message, requestStart, requestFrom); !ok ||
			bytes.IndexByte(method, ' ') >= 0 {
			return findingBroken
		}
	}

	// The From header ends where the address begins, if these words occur once.
	from, rest, ok := bytes.Cut(from, []byte(requestMiddle))
	if !ok {
		return findingBroken
	}
	if bytes.Contains(rest, []byte(requestMiddle)) {
		return findingUnclear
	}

	// The address is Asterisk's own text, up to the Call-ID.
	source, rest, ok := bytes.Cut(rest, []byte(requestCallID))
	if !ok {
		return findingBroken
	}

	// The reason is the last part, and no Call-ID can stand behind it.
	i := bytes.LastIndex(rest, []byte(") - "))
	if i < 0 {
		return findingBroken
	}

	// An unknown reason is counted, not guessed.
	kind, acl, ok := endingOf(rest[i+len(") - "):])
	if !ok {
		return findingBroken
	}

	// The old form prints IPv6 without brackets.
	if a.source, ok = parseSource(source); old {
		a.source, ok = parseHostPort(source)
	}
	if !ok {
		return findingBroken
	}

	// The account is for people; the Call-ID pairs the line with an event of the same request.
	a.family = FamilyPJSIP
	a.service = ami.ServicePJSIP
	a.kind = kind
	a.detail = acl
	a.account = account(from)
	a.session = rest[:i]
	return findingAttempt
}

// endingOf reads the reason of a failed request.
func endingOf(b []byte) (kind ami.Kind, acl string, ok bool) {
	for _, e := range endings() {
		rest, ok := bytes.CutPrefix(b, []byte(e.text))
		if !ok || e.text == "" {
			continue
		}

		// The numbers behind some reasons differ from line to line.
		switch {
		case len(rest) == 0:
			return e.kind, e.acl, true
		case bytes.HasPrefix(rest, []byte(" after ")) && bytes.HasSuffix(rest, []byte(" ms")):
			return e.kind, e.acl, true
		}
	}

	return ami.KindUnknown, "", false
}

// A call to an extension that is not there (res/res_pjsip_session.c, new_invite of 13.38.3 and
// 18.0.0; the second form of 16.28.0 and 22.10.1):
//
//	Call from '%s' (%s:%s) to extension '%s' rejected because extension not found in context '%s'.
//	%s: Call (%s:%s) to extension '%s' rejected because extension not found in context '%s'.
//
// The first text is the endpoint's name in the configuration. An identified endpoint that dials
// such a number is a user's mistake. Only the endpoint `anonymous` is a stranger
// (res/res_pjsip_endpoint_identifier_anonymous.c). PJSIP raises no security event for it; chan_sip
// raises FailedACL, no_extension_match, for the same call.
const (
	callStart    = "Call from '"
	callSession  = ": Call ("
	callMiddle   = ") to extension '"
	callRejected = "' rejected because extension not found in context '"
	anonymous    = "anonymous"
)

// pjsipExtension is the length of the longest extension of a call of PJSIP, in bytes
// (AST_MAX_EXTENSION).
const pjsipExtension = 80

// parseCall reads a message of res_pjsip_session.c.
func parseCall(message []byte, a *attempt) finding {
	// The name is the configuration's, so the text in front of the address is certain.
	name, rest, ok := between(message, callStart, "' (")
	if !ok {
		name, rest, ok = bytes.Cut(message, []byte(callSession))
		if !ok || bytes.IndexByte(name, ' ') >= 0 {
			return findingOther
		}
	}

	source, extension, ok := bytes.Cut(rest, []byte(callMiddle))
	if !ok {
		return findingOther
	}

	// PJSIP prints the transport, which decides whether the address can be forged.
	transport, address, ok := bytes.Cut(source, []byte{':'})
	if !ok {
		return findingBroken
	}
	if a.transport, ok = transportOf(transport); !ok {
		return findingBroken
	}

	if a.source, ok = parseSource(address); !ok {
		return findingBroken
	}

	// The extension may hold line ends, whether a stranger or a user calls.
	a.text = &text{
		at: len(message) - len(extension), longest: pjsipExtension, end: endOfCall,
		sender: a.source.Addr(),
	}

	// An identified endpoint dialled a wrong number.
	if string(name) != anonymous && !bytes.HasPrefix(name, []byte("PJSIP/"+anonymous+"-")) {
		return findingUser
	}

	a.family = FamilyPJSIP
	a.service = ami.ServicePJSIP
	a.kind = ami.KindFailedACL
	a.detail = "no_extension_match"
	a.account, _, _ = bytes.Cut(extension, []byte(callRejected))
	return findingAttempt
}

// parseRegistrar reads a message of res_pjsip_registrar.c: the registration of a known endpoint to
// an address of record that it does not have (res/res_pjsip_registrar.c 22.10.1, find_registrar_aor
// and registrar_on_rx_request). An IPv6 address has no brackets there.
//
//	AOR '%s' not found for endpoint '%s' (%s:%d)
//	Endpoint '%s' (%s:%d) has no configured AORs
//	Endpoint '%s' (%s:%d) attempted to register to an AOR with a non-SIP URI
//	Registration attempt from endpoint '%s' (%s:%d) to AOR '%s' will exceed max contacts of %u
func parseRegistrar(message []byte, a *attempt) finding {
	a.family = FamilyPJSIP
	a.service = ami.ServicePJSIP
	a.kind = ami.KindFailedACL
	if bytes.HasPrefix(message, []byte("AOR '")) {
		return parseAOR(message, a)
	}

	// An endpoint's name comes from the configuration, so the text behind it is Asterisk's own.
	name, rest, ok := between(message, "Endpoint '", "' (")
	exceeds := false
	if !ok {
		name, rest, exceeds = between(message, "Registration attempt from endpoint '", "' (")
		if !exceeds {
			return findingOther
		}
	}

	// The address stands in the first parentheses, in front of all text of the sender.
	source, rest, ok := bytes.Cut(rest, []byte{')'})
	if !ok {
		return findingBroken
	}
	if a.source, ok = parseHostPort(source); !ok {
		return findingBroken
	}

	// Each reason is named as in the event that PJSIP raises for the same request.
	a.account = name
	switch {
	case exceeds:
		a.detail = "registrar_attempt_exceeds_maximum_configured_contacts"
	case string(rest) == " has no configured AORs":
		a.detail = "registrar_attempt_without_configured_aors"
	case string(rest) == " attempted to register to an AOR with a non-SIP URI":
		a.detail = "registrar_invalid_uri_in_to_received"
	default:
		return findingBroken
	}

	return findingAttempt
}

const aorMiddle = "' not found for endpoint '"

// parseAOR reads a message about a missing AOR from its end, because the name at its beginning is
// the sender's.
func parseAOR(message []byte, a *attempt) finding {
	// The message may be torn before its end, so the text is noted first.
	a.text = &text{at: len("AOR '"), longest: pjsipUser, end: endOfAOR}
	i := bytes.LastIndex(message, []byte(aorMiddle))
	if i < 0 {
		return findingOther // `AOR '%s' has no configured max_contacts …` is the configuration's
	}

	// Behind the sender's name stand the endpoint and the address, both Asterisk's own.
	name, rest, ok := bytes.Cut(message[i+len(aorMiddle):], []byte("' ("))
	source, end := bytes.CutSuffix(rest, []byte{')'})
	if !ok || !end {
		return findingBroken
	}
	if a.source, ok = parseHostPort(source); !ok {
		return findingBroken
	}

	a.kind = ami.KindRequestNotSupported
	a.detail = "registrar_requested_aor_not_found"
	a.account = name
	return findingAttempt
}

// pjsipUser is the length of the longest user of a URI, in bytes: PJSIP_MAX_URL_SIZE.
const pjsipUser = 256

// endOfAOR reads the end of a message of parseAOR.
func endOfAOR(line []byte) (sender, bool) {
	i := bytes.LastIndex(line, []byte(aorMiddle))
	if i < 0 {
		return sender{}, false
	}

	var a attempt
	_, rest, ok := bytes.Cut(line[i+len(aorMiddle):], []byte("' ("))

	// The same form as in parseAOR, which must accept the same lines.
	source, end := bytes.CutSuffix(rest, []byte{')'})
	if !ok || !end {
		return sender{}, false
	}

	a.source, ok = parseHostPort(source)
	return sender{at: i, addr: a.source.Addr()}, ok
}

// endOfCall reads the end of a call that was rejected, of PJSIP or chan_sip. The address stood in
// front.
func endOfCall(line []byte) (sender, bool) {
	i := bytes.LastIndex(line, []byte(callRejected))
	return sender{at: i}, i >= 0 && bytes.HasSuffix(line, []byte("'."))
}
