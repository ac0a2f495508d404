// Package ami keeps a session with the Asterisk Manager Interface (AMI) and turns its security
// events into typed values.
//
// It promises two things. No text that an attacker can put into a field ever becomes an address, an
// event or a second event: the decoder is strict, and taints, counts or holds whatever does not
// fit. And no event allocates memory: fields are bytes borrowed from the read buffer, valid only
// while emit runs. [Decoder] states the limits of the first promise.
//
// It does not promise that an event's Source sent the request. Asterisk decides which address it
// names, and who could have chosen that depends on the service, the transport and the kind
// (measured on Asterisk 16.28 and 22.10.1):
//
//	service, transport               failure      success
//	AMI                              nobody       nobody
//	PJSIP over TCP, TLS, WS, WSS     nobody       nobody
//	PJSIP over UDP                   a spoofer    a spoofer with an account
//	SIP (chan_sip), every transport  anybody      anybody with an account
//
// A spoofer sends UDP packets with a forged source address, and has the answers sent to another one
// by `maddr` in the Via header. chan_sip names the address in `Via: …;rport;maddr=`, so its sender
// needs no forged packet. Package policy judges by this table.
package ami

import (
	"net/netip"
	"time"
)

// Event is one decoded AMI security event.
//
// Account, Session, Detail and Challenge are borrowed from the read buffer: they are valid during emit only.
// They hold whatever bytes the attacker chose, so print them through [Quote]. Session is the
// SessionID that Asterisk prints; it has nothing to do with the type [Session].
//
// An event with a Taint does not prove what its packet claims. It is evidence that its Source tried
// an injection. Its Kind and Service are those of the request that Asterisk reported; Account and
// Session are cut to 128 bytes, Detail and Challenge are empty and the flags are false, except Oversize.
type Event struct {
	Time      time.Time // EventTV, the PBX's clock, UTC, to the millisecond
	Kind      Kind      // which of the fifteen security events
	Service   Service   // the part of Asterisk that raised it
	Transport Transport // of RemoteAddress
	// RemoteAddress, IPv4-mapped addresses unmapped; always valid in an emitted event
	Source netip.AddrPort
	// LocalAddress; it may be wrong, invalid or unspecified
	Local   netip.AddrPort
	Account []byte // AccountID, any bytes; `<unknown>` when Asterisk identified nobody
	Session []byte // SessionID: the SIP Call-ID for PJSIP, a pointer for SIP and AMI
	// RequestType, ACLName, AuthMethod, ExpectedAddress, AttemptedTransport or (ChallengeSent)
	// Challenge, by kind; may be empty
	Detail []byte

	// ChallengeResponseFailed of PJSIP only: the nonce that the client answered, as it sent it, cut by
	// Asterisk at 63 bytes; may be empty. Borrowed like Detail
	Challenge []byte

	UsingPassword bool // SuccessfulAuth only: UsingPassword is 1
	// InvalidPassword of chan_sip only: a non-empty ReceivedChallenge equals Challenge. It proves
	// nothing of Source: the challenge goes where the sender wants
	RoundTrip bool
	// the first SuccessfulAuth of the decoder's manager user: Source is our address as the PBX sees
	// it
	Own      bool
	Oversize bool  // a value was longer than MaxValue and was cut
	Taint    Taint // why the packet cannot be trusted; Untainted if it can
}

// MaxValue bounds the bytes that are kept of a header's value. A longer value is cut; its packet
// counts.
const MaxValue = 64 << 10
