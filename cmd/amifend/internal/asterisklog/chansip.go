package asterisklog

import (
	"bytes"

	"github.com/amifend/amifend/ami"
)

// A failed registration, as chan_sip tells of it (channels/chan_sip.c, handle_request_register; the
// format is the same in 1.4.44, 1.6.2.24, 1.8.32.3, 11.25.3, 13.38.3, 16.28.0 and 20.20.1):
//
//	Registration from '%s' failed for '%s' - %s
//
// The first text is the To header, anything but a line end. The second is the address: of 1.4 and
// 1.6 without a port (ast_inet_ntoa), later `192.0.2.1:5060` or `[2001:db8::1]:5060`
// (ast_sockaddr_stringify). The third is one of reasons.
//
// A call to an extension that is not there (chan_sip.c 16.28.0, handle_request_invite):
//
//	Call from '%s' (%s) to extension '%s' rejected because extension not found in context '%s'.
//
// The first text is the peer's name in the configuration, empty for a guest. The extension is
// percent-decoded, so line ends may be in it.
const registrationStart = "Registration from '"

// reason is what a failed registration is as a security event: the one that chan_sip itself raises
// for the same result (channels/sip/security_events.c 16.28.0, sip_report_security_event).
type reason struct {
	end    string // of the message
	kind   ami.Kind
	detail string
}

// reasons are those of chan_sip.c 16.28.0. `ACL error (permit/deny)` is what the fail2ban filter
// knows of older ones. Left out are `RTP initialization failed` and `Unknown failure`: those are
// the PBX's own.
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
		return findingNoSender // the sender's own words: From, and nothing else
	}
	return findingOther
}

// parseRegistration reads a message from its end: there the sender has written nothing.
func parseRegistration(message []byte, a *attempt) finding {
	for _, why := range reasons() {
		rest, ok := bytes.CutSuffix(message, []byte(why.end))
		if !ok {
			continue
		}
		i := bytes.LastIndex(rest, []byte(requestMiddle))
		if i < len(registrationStart) {
			return findingBroken
		}
		if a.source, ok = parseSource(rest[i+len(requestMiddle):]); !ok {
			return findingBroken
		}
		a.family, a.service, a.kind, a.detail = FamilySIP, ami.ServiceSIP, why.kind, why.detail
		a.account = account(rest[len(registrationStart):i])
		return findingAttempt
	}
	for _, own := range []string{"' - RTP initialization failed", "' - Unknown failure"} {
		if bytes.HasSuffix(message, []byte(own)) {
			return findingUser
		}
	}
	return findingBroken
}

// chanSIPExtension is how long the extension of a call can be: it was a part of a header that is
// cut at 256 bytes (channels/chan_sip.c 16.28.0, handle_request_invite and get_destination).
const chanSIPExtension = 256

// parseGuestCall reads a call from its beginning: behind the address the sender has written.
func parseGuestCall(message []byte, a *attempt) finding {
	_, rest, ok := between(message, callStart, "' (")
	source, extension, found := bytes.Cut(rest, []byte(callMiddle))
	if !ok || !found {
		return findingOther
	}
	if a.source, ok = parseSource(source); !ok {
		return findingBroken
	}
	a.family, a.service, a.kind, a.detail = FamilySIP, ami.ServiceSIP, ami.KindFailedACL,
		"no_extension_match"
	a.account, _, _ = bytes.Cut(extension, []byte(callRejected))
	a.text = &text{
		at: len(message) - len(extension), longest: chanSIPExtension, end: endOfCall,
		sender: a.source.Addr(),
	}
	return findingAttempt
}

// account is the user of a header's address, for people: `"Bob" <sip:1001@pbx>;tag=x` gives 1001.
// It is text of the sender, whatever it is taken from.
func account(header []byte) []byte {
	user := header
	if i := bytes.LastIndexByte(user, '<'); i >= 0 {
		user = user[i+1:]
	}
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
