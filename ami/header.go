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

// parseHeader returns the header of a key, or headerOther. The keys are those of ie_maps[] in
// main/event.c, with the same case. It and parseTailHeader are switches because they run for every
// line.
func parseHeader(key []byte) header {
	switch string(key) {
	// The manager prints these two before the information elements.
	case "Event":
		return headerEvent
	case "Privilege":
		return headerPrivilege

	// Every kind of event has these, in this order.
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

	// The rest depends on the kind.
	default:
		return parseTailHeader(key)
	}
}

// parseTailHeader returns the header of a key that follows RemoteAddress, or headerOther.
func parseTailHeader(key []byte) header {
	switch string(key) {
	// Any kind may have Module and SessionTV. ACLName belongs to FailedACL.
	case "Module":
		return headerModule
	case "ACLName":
		return headerACLName
	case "SessionTV":
		return headerSessionTV

	// What was asked for. A sender may have chosen the value, see senderWritesTail.
	case "RequestType":
		return headerRequestType
	case "RequestParams":
		return headerRequestParams

	// How the sender authenticated, or tried to.
	case "AuthMethod":
		return headerAuthMethod
	case "UsingPassword":
		return headerUsingPassword
	case "ExpectedAddress":
		return headerExpectedAddress

	// The values of a digest. The first three belong to ChallengeResponseFailed, the others to
	// InvalidPassword.
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

// tail holds the headers that may follow RemoteAddress in one kind of event, in order. The first
// `required` of them are never missing.
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

// senderWritesTail reports whether the sender of a request can put line ends into the tail of the
// event. Such a packet can have two RemoteAddress lines, and the last one is forged.
//
// AMI over HTTP: Response and RequestType can hold line ends. Asterisk prints a variable that it
// percent-decoded (main/manager.c 22.10.1, authenticate and report_req_bad_format).
//
// PJSIP: the nonce and the response of ChallengeResponseFailed can. Before its version 2.12 (PR
// 2933), pjproject percent-decoded a digest parameter without quotes. The pjproject that Asterisk
// bundles did so until 16.23.0 and 18.9.0. 16.24.0 and 18.10.0 have the patch
// 0140-Fix-incorrect-unescaping-of-tokens-during-parsing-29.patch in third-party/pjproject/patches.
// A distribution may combine a newer Asterisk with an older pjproject. This is known from the
// source only. It was not seen on a PBX.
//
// No other field of a tail can. The scanner of pjlib ends a quoted string at a line feed
// (pjlib-util/scanner.c, pj_scan_get_quotes). chan_sip first splits its headers at every line end
// (channels/chan_sip.c 16.28.0, parse_request). All other values are constants or come from the
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

// textReach is the largest number of bytes after the RemoteAddress line in a
// ChallengeResponseFailed of PJSIP. The sender's text is as long as Asterisk takes it: nonce[64]
// and response[256] of res_pjsip/security_events.c, 12.8.2 to 22.10.1, both with a final zero.
const textReach = len("Challenge: \r\n") + 63 + len("Response: \r\n") + 255 +
	len("ExpectedResponse: \r\n\r\n")
