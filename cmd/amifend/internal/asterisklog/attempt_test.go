package asterisklog

import (
	"fmt"
	"strings"
	"testing"
)

// from is a message of a source file, as a log file has it.
func from(file, level, message string) string {
	return "[2026-11-23 02:49:24] " + level + "[99] " + file + ": " + message + "\n"
}

// sourcesOf renders what a log tells of: kind, service, transport, source and account of each
// event.
func sourcesOf(t testing.TB, log string) (string, Stats) {
	t.Helper()
	events, stats := read(t, log, Options{})
	for i, e := range events {
		_, events[i], _ = strings.Cut(e, " ")
	}
	return strings.Join(events, "; "), stats
}

// TestFamilies: each message that is read, as Asterisk's format strings print it, and what event it
// stands for.
func TestFamilies(t *testing.T) {
	const distributor, registrar, session = "res_pjsip/pjsip_distributor.c",
		"res_pjsip_registrar.c", "res_pjsip_session.c"
	for message, want := range map[string]string{
		// pjsip_distributor.c 22.10.1, log_failed_request; the last of 13.1.0.
		from(distributor, "NOTICE", "Request 'REGISTER' from '<sip:100@192.0.2.10>' failed for "+
			"'198.51.100.7:5060' (callid: a) - No matching "+
			"endpoint found"): `InvalidAccountID PJSIP unknown 198.51.100.7:5060 "100"`,
		from(distributor, "NOTICE", "Request 'INVITE' from '\"x\" <sip:100@192.0.2.10>' failed "+
			"for '198.51.100.7:5060' (callid: a) - Failed to "+
			"authenticate"): `ChallengeResponseFailed PJSIP unknown 198.51.100.7:5060 "100"`,
		from(distributor, "NOTICE", "Request 'INVITE' from 'sip:100@192.0.2.10' failed for "+
			"'[2001:db8::1]:5060' (callid: a) - Error to "+
			"authenticate"): `ChallengeResponseFailed PJSIP unknown [2001:db8::1]:5060 "100"`,
		from(distributor, "NOTICE", "Request 'INVITE' from '<sip:100@192.0.2.10>' failed for "+
			"'198.51.100.7:5060' (callid: a) - Not match "+
			"Endpoint ACL"): `FailedACL PJSIP unknown 198.51.100.7:5060 "100"`,
		from(distributor, "NOTICE", "Request 'INVITE' from '<sip:100@192.0.2.10>' failed for "+
			"'198.51.100.7:5060' (callid: a) - Not match "+
			"Endpoint Contact ACL"): `FailedACL PJSIP unknown 198.51.100.7:5060 "100"`,
		from(distributor, "NOTICE", "Request 'INVITE' from '<sip:100@192.0.2.10>' failed for "+
			"'198.51.100.7:5060' (callid: a) - No matching endpoint found after 5 tries in "+
			"12.345 ms"): `InvalidAccountID PJSIP unknown 198.51.100.7:5060 "100"`,
		from(distributor, "NOTICE", "Request from '<sip:100@192.0.2.10>' failed for "+
			"'198.51.100.7:5060' (callid: a) - No matching "+
			"endpoint found"): `InvalidAccountID PJSIP unknown 198.51.100.7:5060 "100"`,
		from(distributor, "NOTICE", "Request from '<sip:100@192.0.2.10>' failed for "+
			"'2001:db8::1:5060' (callid: a) - No matching "+
			"endpoint found"): `InvalidAccountID PJSIP unknown [2001:db8::1]:5060 "100"`,
		from(distributor, "NOTICE", "Request 'INVITE' from '<sip:100@192.0.2.10>' failed for "+
			"'198.51.100.7:5060' (callid: a) - Something new"): "",
		// res_pjsip_session.c 18.0.0 and 22.10.1: an identified endpoint is a user who errs.
		from(session, "NOTICE", "Call from 'anonymous' (UDP:198.51.100.7:5060) to extension "+
			"'00972' rejected because extension not found in "+
			"context 'public'."): `FailedACL PJSIP UDP 198.51.100.7:5060 "00972"`,
		from(session, "NOTICE", " anonymous: Call (TLS:198.51.100.7:5060) to extension '00972' "+
			"rejected because extension not found in context 'public'."): "",
		from(session, "NOTICE", "anonymous: Call (TLS:198.51.100.7:5060) to extension '00972' "+
			"rejected because extension not found in "+
			"context 'public'."): `FailedACL PJSIP TLS 198.51.100.7:5060 "00972"`,
		from(session, "NOTICE", "Call from '201' (UDP:198.51.100.7:5060) to extension '456789' "+
			"rejected because extension not found in context 'office'."): "",
		from(session, "NOTICE", "201: Call (UDP:198.51.100.7:5060) to extension '456789' "+
			"rejected because extension not found in context 'office'."): "",
		// res_pjsip_registrar.c 22.10.1.
		from(registrar, "WARNING",
			"AOR 'x' not found for endpoint '201' "+
				"(198.51.100.7:5060)"): `RequestNotSupported PJSIP unknown 198.51.100.7:5060 "201"`,
		from(registrar, "WARNING",
			"AOR 'x' not found for endpoint '201' "+
				"(2001:db8::1:5060)"): `RequestNotSupported PJSIP unknown [2001:db8::1]:5060 "201"`,
		from(registrar, "WARNING",
			"Endpoint '201' (198.51.100.7:5060) has no "+
				"configured AORs"): `FailedACL PJSIP unknown 198.51.100.7:5060 "201"`,
		from(registrar, "WARNING", "Registration attempt from endpoint '201' (198.51.100.7:5060) "+
			"to AOR '201' will exceed max "+
			"contacts of 1"): `FailedACL PJSIP unknown 198.51.100.7:5060 "201"`,
		from(registrar, "WARNING", "AOR 'x' has no configured max_contacts. Endpoint '201' "+
			"(198.51.100.7:5060) unable to register"): "",
		// chan_sip.c 16.28.0.
		from("chan_sip.c", "NOTICE", "Call from '' (198.51.100.7:5060) to extension '00972' "+
			"rejected because extension not found in "+
			"context 'default'."): `FailedACL SIP unknown 198.51.100.7:5060 "00972"`,
		from("chan_sip.c", "NOTICE", "Failed to authenticate device \"x\" <sip:1@9.9.9.9>;tag=1 "+
			"for INVITE, code = -1"): "",
		from("chan_sip.c", "NOTICE", "Failed to authenticate on REGISTER to '1001@192.0.2.99' "+
			"(Tries 2)"): "",
		// chan_iax2.c 22.10.1, and addresses as 1.8.32.3 prints them.
		from("chan_iax2.c", "NOTICE", "Host 198.51.100.7 failed MD5 authentication for 'u0' "+
			"(e7df7cd2ca07f4f1ab415d457a6e1c13 != "+
			"53ac4bc41ee4ec77888ed4aa50677247)"): `InvalidPassword unknown unknown ` +
			`198.51.100.7:0 "u0"`,
		from("chan_iax2.c", "NOTICE", "Host 2001:db8::1 did not provide proper plaintext "+
			"password for 'u0'"): `InvalidPassword unknown unknown [2001:db8::1]:0 "u0"`,
		from("chan_iax2.c", "NOTICE",
			"Host 198.51.100.7 denied access to "+
				"register peer 'u0'"): `FailedACL unknown unknown 198.51.100.7:0 "u0"`,
		from("chan_iax2.c", "WARNING",
			"Host 198.51.100.7:4569 failed to "+
				"authenticate as u0"): `InvalidPassword unknown unknown 198.51.100.7:4569 "u0"`,
		from("chan_iax2.c", "NOTICE",
			"No registration for peer 'u0' (from "+
				"198.51.100.7)"): `InvalidAccountID unknown unknown 198.51.100.7:0 "u0"`,
		from("chan_iax2.c", "NOTICE",
			"Peer 'u0' is not dynamic (from "+
				"198.51.100.7)"): `FailedACL unknown unknown 198.51.100.7:0 "u0"`,
		from("chan_iax2.c", "NOTICE",
			"Empty registration from 198.51.100.7"): `InvalidAccountID unknown unknown ` +
			`198.51.100.7:0 ""`,
		from("chan_iax2.c", "NOTICE", "Rejected connect attempt from 198.51.100.7:4569, who was "+
			"trying to reach '00972@default'"): `FailedACL unknown unknown ` +
			`198.51.100.7:4569 "00972"`,
		from("chan_iax2.c", "NOTICE", "Rejected connect attempt from 198.51.100.7:4569, request "+
			"'00972@default' does not exist"): `FailedACL unknown unknown ` +
			`198.51.100.7:4569 "00972"`,
		from("chan_iax2.c", "WARNING", "Rejected connect attempt from 198.51.100.7:4569, request "+
			"'456@office' does not exist"): "", // a user errs
		from("chan_iax2.c", "NOTICE",
			"Host u0 failed RSA authentication with inkeys 'k'"): "",
		from("chan_iax2.c", "NOTICE", "Registration of 'me' rejected: 'Registration Refused' "+
			"from: '198.51.100.7:4569'"): "",
		// the PBX's own
		// manager.c 22.10.1.
		from("manager.c", "NOTICE",
			"198.51.100.7 failed to "+
				"authenticate as 'admin'"): `InvalidPassword AMI TCP 198.51.100.7:0 "admin"`,
		from("manager.c", "NOTICE", "198.51.100.7 tried to authenticate with nonexistent user "+
			"'admin'"): `InvalidAccountID AMI TCP 198.51.100.7:0 "admin"`,
		from("manager.c", "NOTICE",
			"2001:db8::1 failed to pass IP "+
				"ACL as 'admin'"): `FailedACL AMI TCP [2001:db8::1]:0 "admin"`,
		from("manager.c", "NOTICE", "Unable to open AMI configuration manager.conf, or "+
			"configuration is invalid."): "",
		// The right message of the wrong file.
		from("app_verbose.c", "NOTICE", "No registration for peer 'u0' (from 198.51.100.7)"): "",
	} {
		if got, stats := sourcesOf(t, message); got != want {
			t.Errorf("%s%q, want %q; %s", message, got, want, renderStats(stats))
		}
	}
}

// TestUnread: a line that looks like a failed request and gives nothing is counted, by reason.
func TestUnread(t *testing.T) {
	const distributor = "pjsip_distributor.c"
	for log, want := range map[string]Unread{
		from("chan_sip.c", "NOTICE", "Failed to authenticate device <sip:1@9.9.9.9>;tag=1 for "+
			"INVITE, code = -1"): UnreadNoSender,
		from("chan_sip.c", "NOTICE", "Sending fake auth rejection for device "+
			"1<sip:1@9.9.9.9>;tag=1"): UnreadNoSender,
		from("Ext. s", "WARNING",
			`"Rejecting unknown SIP connection from 198.51.100.7"`): UnreadNoSender,
		strings.Replace(registration("x"), "2026-11-23 02:49:24.744", "yesterday",
			1): UnreadTime,
		"[yesterday] NOTE chan_sip.c: Registration from 'x' failed for '198.51.100.9:5060' - " +
			"Wrong password\n": UnreadForm,
		from("chan_sip.c", "NOTICE", "Registration from 'x' failed for 'pbx.example' - Wrong "+
			"password"): UnreadForm,
		strings.TrimSuffix(registration("x"),
			"\n"): UnreadCut,
		from(distributor, "NOTICE", "Request 'A' from 'x' failed for '9.9.9.9:1' (callid: y' "+
			"failed for '1.1.1.1:1' (callid: z) - Failed to authenticate"): UnreadUnclear,
		from("chan_sip.c", "VERBOSE", "\n<--- SIP read from UDP:198.51.100.6:5060 --->") +
			registration("x"): UnreadDoubtful,
	} {
		// A line that is not read must be counted, once and by its reason: else an attack would be
		// silent.
		events, stats := read(t, log, Options{})
		if len(events) > 0 || stats.Unread[want] != 1 || stats.NotRead() != 1 {
			t.Errorf("%s%q, %s; want nothing but one of reason %d", log, events, renderStats(stats),
				want)
		}
	}
}

// TestStranger: the second line of a request that no endpoint matched names no account, as its
// event does.
func TestStranger(t *testing.T) {
	request := func(source, call, why string) string {
		return from("pjsip_distributor.c", "NOTICE", fmt.Sprintf("Request 'REGISTER' from "+
			"'<sip:100@pbx>' failed for '%s' (callid: %s) - %s", source, call, why))
	}
	const a, b = "198.51.100.7:5060", "198.51.100.8:5060"

	// Only the line that follows at once, of the same request, is the second one.
	got, _ := sourcesOf(t, request(a, "c", "No matching endpoint found")+request(a, "c",
		"Failed to authenticate")+
		request(a, "c", "Failed to authenticate")+request(b, "c",
		"No matching endpoint found")+request(a, "c", "Failed to authenticate"))

	want := `InvalidAccountID PJSIP unknown 198.51.100.7:5060 "100"; ChallengeResponseFailed ` +
		`PJSIP unknown 198.51.100.7:5060 "<unknown>"; ` +
		`ChallengeResponseFailed PJSIP unknown 198.51.100.7:5060 "100"; InvalidAccountID PJSIP ` +
		`unknown 198.51.100.8:5060 "100"; ` +
		`ChallengeResponseFailed PJSIP unknown 198.51.100.7:5060 "100"`

	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
