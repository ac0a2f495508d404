// Package ami keeps a session with the Asterisk Manager Interface (AMI) and turns its security
// events into typed values.
//
// It promises two things. No text that an attacker can put into a field ever becomes an address, an
// event or a second event: the decoder is strict, and what does not fit is tainted, counted or held
// until it is certain. And no event allocates memory: fields are bytes borrowed from the read
// buffer, valid only while emit runs. [Decoder] says where the limits of the first promise are.
package ami

import (
	"net/netip"
	"time"
)

// Event is one decoded AMI security event.
//
// Account, Session and Detail are borrowed from the read buffer: they are valid during emit only,
// hold whatever bytes the attacker chose, and must be printed through [Quote].
//
// An event with a Taint is not what its packet claims, but evidence that its Source tried an
// injection. Its Kind and Service are those of the request that Asterisk told of; Account and
// Session are cut to 128 bytes, Detail is empty and the flags are false, but for Oversize.
type Event struct {
	Time      time.Time // EventTV, the PBX's clock, UTC, to the millisecond
	Kind      Kind      // which of the fifteen security events
	Service   Service   // the part of Asterisk that raised it
	Transport Transport // of RemoteAddress
	// RemoteAddress, IPv4-mapped addresses unmapped; always valid in an emitted event
	Source netip.AddrPort
	// LocalAddress; Asterisk does not vouch for it, and it may be invalid or unspecified
	Local   netip.AddrPort
	Account []byte // AccountID, any bytes; `<unknown>` when Asterisk identified nobody
	Session []byte // SessionID: the SIP Call-ID for PJSIP, a pointer for SIP and AMI
	// RequestType, ACLName, AuthMethod, ExpectedAddress, AttemptedTransport or (ChallengeSent)
	// Challenge, by kind; may be empty
	Detail []byte

	UsingPassword bool // SuccessfulAuth only: UsingPassword is 1
	// InvalidPassword of chan_sip only: a non-empty ReceivedChallenge equals Challenge
	RoundTrip bool
	// the first SuccessfulAuth of the decoder's manager user: Source is our address as the PBX sees
	// it
	Own      bool
	Oversize bool  // a value was longer than MaxValue and was cut
	Taint    Taint // why the packet cannot be trusted; Untainted if it can
}

// MaxValue is how many bytes of a header's value are kept. Longer values are cut, their packets are
// not.
const MaxValue = 64 << 10
