package asterisklog

import (
	"bytes"
	"net/netip"
	"strconv"

	"github.com/amifend/amifend/ami"
)

// A failed registration, as chan_sip tells of it (channels/chan_sip.c, handle_request_register; the format is the same in
// 1.4.44, 1.6.2.24, 1.8.32.3, 11.25.3, 13.38.3, 16.28.0 and 20.20.1):
//
//	Registration from '%s' failed for '%s' - %s
//
// The first text is the To header, anything. The second is the address: of 1.4 and 1.6 without a port
// (ast_inet_ntoa), later `192.0.2.1:5060` or `[2001:db8::1]:5060` (ast_sockaddr_stringify). The third is one of reasons.
const registrationStart = "Registration from '"

// reason is what a failed registration is as a security event: the one that chan_sip itself raises for the same result
// (channels/sip/security_events.c 16.28.0, sip_report_security_event).
type reason struct {
	end    string // of the message
	kind   ami.Kind
	detail string
}

// reasons are those of chan_sip.c 16.28.0. `ACL error (permit/deny)` is what the fail2ban filter knows of older ones.
// Left out are `RTP initialization failed` and `Unknown failure`: those are the PBX's own.
var reasons = [...]reason{
	{"' - Wrong password", ami.KindInvalidPassword, ""},
	{"' - No matching peer found", ami.KindInvalidAccountID, ""},
	{"' - Username/auth name mismatch", ami.KindChallengeResponseFailed, ""},
	{"' - Device does not match ACL", ami.KindFailedACL, "device_must_match_acl"},
	{"' - ACL error (permit/deny)", ami.KindFailedACL, "device_must_match_acl"},
	{"' - Peer is not supposed to register", ami.KindFailedACL, "peer_not_dynamic"},
	{"' - Not a local domain", ami.KindFailedACL, "domain_must_match"},
	{"' - Device not configured to use this transport type", ami.KindInvalidTransport, ""},
}

func isRegistration(message []byte) bool { return bytes.HasPrefix(message, []byte(registrationStart)) }

// registration takes a failed registration. It says nothing of a transport or a challenge, so it is evidence that could
// have been forged.
func (r *Reader) registration(p prefix, emit func(ami.Event)) {
	ev, ok := parseRegistration(p.message)
	switch {
	case !ok:
		if !bytes.HasSuffix(p.message, []byte("' - RTP initialization failed")) && !bytes.HasSuffix(p.message, []byte("' - Unknown failure")) {
			r.stats.Broken++
		}
		return
	case r.chanSIP:
		r.stats.Twice++
		return
	case r.offset < r.dumpEnd || r.offset < r.callEnd:
		r.stats.Doubtful++
		return
	}
	if ev.Time, ok = r.clock.parse(p.stamp); !ok {
		r.stats.Broken++
		return
	}
	r.stats.Registrations++
	// A line is one request. It names no session, so each gets one of its own.
	r.session = strconv.AppendUint(append(r.session[:0], "line "...), r.stats.Lines, 10)
	ev.Session = r.session
	emit(ev)
}

// parseRegistration reads a message from its end: there the sender has written nothing.
func parseRegistration(message []byte) (ami.Event, bool) {
	for _, why := range reasons {
		rest, ok := bytes.CutSuffix(message, []byte(why.end))
		if !ok {
			continue
		}
		const middle = "' failed for '"
		i := bytes.LastIndex(rest, []byte(middle))
		if i < len(registrationStart) {
			return ami.Event{}, false
		}
		source, ok := parseSource(rest[i+len(middle):])
		if !ok {
			return ami.Event{}, false
		}
		return ami.Event{
			Kind: why.kind, Service: ami.ServiceSIP, Source: source, Account: account(rest[len(registrationStart):i]),
			Detail: []byte(why.detail),
		}, true
	}
	return ami.Event{}, false
}

// parseSource reads an address with a port, or without one in the form of old versions.
func parseSource(b []byte) (netip.AddrPort, bool) {
	const longest = len("[0000:0000:0000:0000:0000:0000:0000:0000]:65535")
	if len(b) > longest {
		return netip.AddrPort{}, false
	}
	s := string(b)
	if a, err := netip.ParseAddrPort(s); err == nil && a.Addr().Zone() == "" {
		return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), true
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Is4() {
		return netip.AddrPortFrom(a, 0), true
	}
	return netip.AddrPort{}, false
}

// account is the user of the To header's address, for people: `"Bob" <sip:1001@pbx>;tag=x` gives 1001. It is text of the
// sender, whatever it is taken from.
func account(to []byte) []byte {
	user := to
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
