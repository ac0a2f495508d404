package ami

// header is a key that Asterisk prints in a security event, or headerOther.
type header uint8

const (
	headerOther header = iota
	headerEvent
	headerPrivilege
	headerEventTV
	headerSeverity
	headerService
	headerEventVersion
	headerAccountID
	headerSessionID
	headerLocalAddress
	headerRemoteAddress
	headerModule
	headerACLName
	headerSessionTV
	headerRequestType
	headerRequestParams
	headerAuthMethod
	headerUsingPassword
	headerExpectedAddress
	headerChallenge
	headerResponse
	headerExpectedResponse
	headerReceivedChallenge
	headerReceivedHash
	headerAttemptedTransport
)

// parseHeader maps a key to its header. Keys are those of main/event.c, ie_maps[], exact in case.
func parseHeader(key []byte) header {
	switch string(key) {
	case "Event":
		return headerEvent
	case "Privilege":
		return headerPrivilege
	case "EventTV":
		return headerEventTV
	case "Severity":
		return headerSeverity
	case "Service":
		return headerService
	case "EventVersion":
		return headerEventVersion
	case "AccountID":
		return headerAccountID
	case "SessionID":
		return headerSessionID
	case "LocalAddress":
		return headerLocalAddress
	case "RemoteAddress":
		return headerRemoteAddress
	default:
		return parseTailHeader(key)
	}
}

// parseTailHeader maps the keys that follow RemoteAddress.
func parseTailHeader(key []byte) header {
	switch string(key) {
	case "Module":
		return headerModule
	case "ACLName":
		return headerACLName
	case "SessionTV":
		return headerSessionTV
	case "RequestType":
		return headerRequestType
	case "RequestParams":
		return headerRequestParams
	case "AuthMethod":
		return headerAuthMethod
	case "UsingPassword":
		return headerUsingPassword
	case "ExpectedAddress":
		return headerExpectedAddress
	case "Challenge":
		return headerChallenge
	case "Response":
		return headerResponse
	case "ExpectedResponse":
		return headerExpectedResponse
	case "ReceivedChallenge":
		return headerReceivedChallenge
	case "ReceivedHash":
		return headerReceivedHash
	case "AttemptedTransport":
		return headerAttemptedTransport
	default:
		return headerOther
	}
}

// tail holds the headers that follow RemoteAddress, in order. The first `required` of them are
// always there.
type tail struct {
	headers  []header
	required int
}

// tails holds the tail of every kind: the information elements after AST_EVENT_IE_REMOTE_ADDR of
// sec_events[] in main/security_events.c, required_ies first, then optional_ies. The table has the
// same contents in Asterisk 12.8.2, 13.38.3, 16.28.0, 18.26.4, 20.20.1 and 22.10.1.
var tails = [NumKinds]tail{
	KindFailedACL:        {headers: []header{headerModule, headerACLName, headerSessionTV}},
	KindInvalidAccountID: {headers: []header{headerModule, headerSessionTV}},
	KindSessionLimit:     {headers: []header{headerModule, headerSessionTV}},
	KindMemoryLimit:      {headers: []header{headerModule, headerSessionTV}},
	KindLoadAverageLimit: {headers: []header{headerModule, headerSessionTV}},
	KindRequestNotSupported: {
		headers:  []header{headerRequestType, headerModule, headerSessionTV},
		required: 1,
	},
	KindRequestNotAllowed: {
		headers:  []header{headerRequestType, headerModule, headerSessionTV, headerRequestParams},
		required: 1,
	},
	KindAuthMethodNotAllowed: {
		headers:  []header{headerAuthMethod, headerModule, headerSessionTV},
		required: 1,
	},
	KindRequestBadFormat: {
		headers: []header{
			headerRequestType, headerModule, headerSessionTV, headerAccountID,
			headerRequestParams,
		},
		required: 1,
	},
	KindSuccessfulAuth: {
		headers:  []header{headerUsingPassword, headerModule, headerSessionTV},
		required: 1,
	},
	KindUnexpectedAddress: {
		headers:  []header{headerExpectedAddress, headerModule, headerSessionTV},
		required: 1,
	},
	KindChallengeResponseFailed: {
		headers: []header{
			headerChallenge, headerResponse, headerExpectedResponse, headerModule,
			headerSessionTV,
		},
		required: 3,
	},
	KindInvalidPassword: {
		headers: []header{
			headerModule, headerSessionTV, headerChallenge, headerReceivedChallenge,
			headerReceivedHash,
		},
	},
	KindChallengeSent: {
		headers:  []header{headerChallenge, headerModule, headerSessionTV},
		required: 1,
	},
	KindInvalidTransport: {
		headers:  []header{headerAttemptedTransport, headerModule, headerSessionTV},
		required: 1,
	},
}

// find returns the index of h in the tail, and reports whether h may follow the first `done`
// headers. No required header may be left out, and no header may come twice.
func (t tail) find(h header, done int) (int, bool) {
	for i := done; i < len(t.headers); i++ {
		if t.headers[i] == h {
			return i, true
		}
		if i < t.required {
			return 0, false
		}
	}

	return 0, false
}

// senderWritesTail reports whether the tail of an event may hold text of the sender with line ends
// in it. If it may, a packet can have two RemoteAddress lines of which the last one is forged.
//
// With AMI over HTTP, Response and RequestType hold such text (main/manager.c 22.10.1, authenticate
// and report_req_bad_format, which print a percent-decoded variable).
//
// With PJSIP, the nonce and the response of ChallengeResponseFailed do: before pjproject 2.12 (its
// PR 2933) a digest parameter without quotes was percent-decoded. The pjproject that Asterisk
// bundles does so until 16.23.0 and 18.9.0 (16.24.0 and 18.10.0 add third-party/pjproject/patches/
// 0140-Fix-incorrect-unescaping-of-tokens-during-parsing-29.patch). A pjproject of the
// distribution may be older than its Asterisk. This was read in the source, and not seen on a PBX.
//
// No other field of a tail holds such text. The scanner of pjlib ends a quoted string at a line
// feed (pjlib-util/scanner.c, pj_scan_get_quotes). chan_sip first splits its headers at every line
// end (channels/chan_sip.c 16.28.0, parse_request). All other values are constants or come from the
// configuration.
func senderWritesTail(s Service, k Kind) bool {
	switch s {
	case ServicePJSIP:
		return k == KindChallengeResponseFailed
	case ServiceAMI:
		return tails[k].required > 0 && k != KindSuccessfulAuth && k != KindChallengeSent
	default:
		return false
	}
}

// textReach is the longest distance in bytes from the line of RemoteAddress to the end of a
// ChallengeResponseFailed of PJSIP, with all text of its sender: nonce[64] and response[256] of
// res_pjsip/security_events.c, 12.8.2 to 22.10.1.
const textReach = len("Challenge: \r\n") + 63 + len("Response: \r\n") + 255 +
	len("ExpectedResponse: \r\n\r\n")
