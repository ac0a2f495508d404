package asterisklog

import (
	"bytes"

	"github.com/amifend/amifend/ami"
)

// A failed registration, as chan_sip prints it (channels/chan_sip.c, handle_request_register; the
// format is the same in 1.4.44, 1.6.2.24, 1.8.32.3, 11.25.3, 13.38.3, 16.28.0 and 20.20.1):
//
//	Registration from '%s' failed for '%s' - %s
//
// The first text is the To header, anything but a line end. The second is the address: 1.4 and 1.6
// print it without a port (ast_inet_ntoa), later versions as `192.0.2.1:5060` or
// `[2001:db8::1]:5060` (ast_sockaddr_stringify). The third is one of reasons.
//
// A call to an extension that is not there (chan_sip.c 16.28.0, handle_request_invite):
//
//	Call from '%s' (%s) to extension '%s' rejected because extension not found in context '%s'.
//
// The first text is the peer's name in the configuration, empty for a guest. The extension is
// percent-decoded, so line ends may be in it.
const registrationStart = "Registration from '"

// reason maps the end of a message to the security event that chan_sip itself raises for the same
// result (channels/sip/security_events.c 16.28.0, sip_report_security_event).
type reason struct {
	end    string // of the message
	kind   ami.Kind
	detail string
}

// reasons returns the reasons of chan_sip.c 16.28.0, and `ACL error (permit/deny)` of older
// versions (as fail2ban's filter has it). `RTP initialization failed` and `Unknown failure` are
// left out: they are failures of the PBX itself.
func reasons() [8]reason {
	return [...]reason{
		{"' - Wrong password", ami.KindInvalidPassword, ""},
		{"' - No matching peer found", ami.KindInvalidAccountID, ""},
		{"' - Username/auth name mismatch", ami.KindChallengeResponseFailed, ""},
		{"' - Device does not match ACL", ami.KindFailedACL, "device_must_match_acl"},
		{"' - ACL error (permit/deny)", ami.KindFailedACL, "device_must_match_acl"},
		{"' - Peer is not supposed to register", ami.KindFailedACL, "peer_not_dynamic"},
		{"' - Not a local domain", ami.KindFailedACL, "domain_must_match"},
		{"' - Device not configured to use this transport type", ami.KindInvalidTransport, ""},
	}
}

// parseChanSIP reads a message of chan_sip.c.
func parseChanSIP(message []byte, a *attempt) finding {
	switch {
	case bytes.HasPrefix(message, []byte(registrationStart)):
		return parseRegistration(message, a)
	case bytes.HasPrefix(message, []byte(callStart)):
		return parseGuestCall(message, a)
	case bytes.HasPrefix(message, []byte("Failed to authenticate device ")),
		bytes.HasPrefix(message, []byte("Sending fake auth rejection for ")):
		// These name no address but the one in the sender's From header.
		return findingNoSender
	}

	return findingOther
}

// parseRegistration reads a message from its end, which holds no text of the sender.
func parseRegistration(message []byte, a *attempt) finding {
	for _, why := range reasons() {
		// The end is Asterisk's own text, and only one reason fits.
		rest, ok := bytes.CutSuffix(message, []byte(why.end))
		if !ok {
			continue
		}

		// The last occurrence counts: a To header may hold the same words, an address may not.
		i := bytes.LastIndex(rest, []byte(requestMiddle))
		if i < len(registrationStart) {
			return findingBroken
		}
		if a.source, ok = parseSource(rest[i+len(requestMiddle):]); !ok {
			return findingBroken
		}

		// The text in front of the address is the To header, all of it the sender's.
		a.family = FamilySIP
		a.service = ami.ServiceSIP
		a.kind = why.kind
		a.detail = why.detail
		a.account = account(rest[len(registrationStart):i])
		return findingAttempt
	}

	// A failure of the PBX itself is not an attempt.
	for _, own := range []string{"' - RTP initialization failed", "' - Unknown failure"} {
		if bytes.HasSuffix(message, []byte(own)) {
			return findingUser
		}
	}

	return findingBroken
}

// chanSIPExtension is the length of the longest extension of a call, in bytes: it was a part of a
// header that is cut at 256 bytes (channels/chan_sip.c 16.28.0, handle_request_invite and
// get_destination).
const chanSIPExtension = 256

// parseGuestCall reads a call from its beginning: all text behind the address is the sender's.
func parseGuestCall(message []byte, a *attempt) finding {
	_, rest, ok := between(message, callStart, "' (")
	source, extension, found := bytes.Cut(rest, []byte(callMiddle))
	if !ok || !found {
		return findingOther
	}
	if a.source, ok = parseSource(source); !ok {
		return findingBroken
	}

	// chan_sip raises FailedACL for the same call on the security channel.
	a.family = FamilySIP
	a.service = ami.ServiceSIP
	a.kind = ami.KindFailedACL
	a.detail = "no_extension_match"
	a.account, _, _ = bytes.Cut(extension, []byte(callRejected))

	// The extension is percent-decoded, so a line end may be in it.
	a.text = &text{
		at: len(message) - len(extension), longest: chanSIPExtension, end: endOfCall,
		sender: a.source.Addr(),
	}

	return findingAttempt
}

// account returns the user of a header's address, for display: `"Bob" <sip:1001@pbx>;tag=x` gives
// 1001. The result is text of the sender.
func account(header []byte) []byte {
	user := header
	if i := bytes.LastIndexByte(user, '<'); i >= 0 {
		user = user[i+1:]
	}

	// The scheme is not a part of the account.
	for _, scheme := range []string{"sip:", "sips:"} {
		if after, ok := bytes.CutPrefix(user, []byte(scheme)); ok {
			user = after
			break
		}
	}

	if i := bytes.IndexAny(user, "@;>"); i >= 0 {
		user = user[:i]
	}
	return user
}
