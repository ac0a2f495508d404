// Package policy decides which sources are attackers.
//
// The [Engine] is pure: it has no clock, no I/O, no goroutine and no lock. Time comes in with each
// observation, so the same options, the same seed and the same observations give the same verdicts.
// Its memory is bounded whatever comes in. It knows nothing of AMI and nothing of firewalls;
// callers translate.
//
// README.md in this folder names every rule, the threat that it answers and its limits.
package policy

import (
	"net/netip"
	"time"
)

// Observation is the meaning of one event, free of AMI. It is of fixed size, holds nothing of the
// buffer that it came from, and may cross goroutines.
type Observation struct {
	// when it was received, nanoseconds since the Unix epoch; a step back is taken as no step
	At        int64
	Source    netip.AddrPort // the remote address that is judged, with its port
	Server    uint16         // which PBX, an index of the caller's
	LocalPort uint16         // the port of the PBX that was spoken to, 0 if unknown; not judged
	Kind      Kind
	Service   Service
	Stream    bool // over TCP, TLS, WS or WSS; see [WhoChooses] for what that proves
	Password  bool // a SuccessfulAuth with UsingPassword 1
	Unknown   bool // the account is `<unknown>`: the PBX identified nobody
	// the packet bore an injection attempt; Source is certain, Kind and the rest are not believed
	Injected bool
	Accepted bool // a KindUnseenRequest that was a REGISTER or INVITE, and was answered with 200
	// a witness watches the nonces of the PBX, so [Engine.Confirm] may follow
	Confirmable bool
	// [Hasher.Session] of the session's name; with Server and Source the key of one request
	Session uint64
	Account Label // [Hasher.Label] of the account's name
	// [Hasher.Session] of the nonce of a ChallengeSent that names it, which is one of chan_sip,
	// else 0
	Challenge uint64
	// a ChallengeSent of chan_sip to a call: no event of a call names the account that is checked
	Call bool

	dialled   bool // of chan_sip: Account may be the number that was dialled
	confirmed bool // nobody could have chosen Source, by the nonce
}

// Verdict is one decision of the engine. It can be explained by itself: which rule, on what
// evidence, for how long.
type Verdict struct {
	Action   Action
	Scope    Scope
	Prefix   netip.Prefix  // masked
	At       int64         // when it was decided, nanoseconds since the Unix epoch
	Duration time.Duration // of a ban, from At on
	Rule     Rule          // of an alert: its kind
	Score    float64       // what was compared with the threshold
	Attempts int           // requests counted against the source since its score was last zero
	Strike   int           // 1 for the first ban of this source
	Server   uint16        // of an alert about an account: where the account is
	// of an alert: the account that it is about, the zero Label if it is about none
	Account Label
	// of proved_source_guessing: an account that the source has authenticated as
	Owned Label
	Owns  int // of proved_source_guessing: how many such accounts there are
	// of proved_source_guessing: how many accounts failed that are not the source's
	Guessed int
	// of shared_source_guessing, and of proved_source_guessing with a ban: accounts that log in
	// there, the latest first, eight at most; borrowed like Evidence
	Users []Label
	// of shared_source_guessing: accounts that log in there and failed within the hour, if they are
	// four or more
	Failing []Label
	// attempts a minute since they began: of proved_source_guessing and misconfigured_endpoint
	// those on Account
	Rate float64
	// who could have chosen the address on the weakest evidence that the verdict needs
	Chooser Chooser
	// of account_attacked and server_attacked: sources that failed lately; of spoof_suspected:
	// addresses
	Sources int
	// of a condition: if not 0, this is one line for so many further ones that are not reported one
	// by one
	More int

	// Of an alert: its phase, and which of the fields above name its subject. The alerts of one
	// condition have the same Rule and the same subject.
	Phase Phase
	About About
	// of a condition: when it began and when it was noticed last, nanoseconds since the Unix epoch,
	// and how many failures there were between
	Since, Last int64
	Count       int

	// the latest, oldest first, eight at most; borrowed, valid until the engine's next call
	Evidence []Evidence
}

// Evidence is one counted attempt.
type Evidence struct {
	At      int64 // nanoseconds since the Unix epoch
	Kind    Kind
	Service Service
	Chooser Chooser // who could have chosen its source
	Unknown bool    // the PBX identified nobody
	Server  uint16
	Port    uint16 // of the source
	Weight  float32
	Account Label

	dialled bool // see Observation
}

// Proven reports whether nobody could have chosen the source of the attempt.
func (ev *Evidence) Proven() bool { return ev.Chooser.Proven() }
