// Package policy decides which sources are attackers.
//
// The [Engine] is pure: it has no clock, no I/O, no goroutine and no lock. Time comes in with each observation, so the
// same options, the same seed and the same observations give the same verdicts. Its memory is bounded whatever comes
// in. It knows nothing of AMI and nothing of firewalls; callers translate.
//
// README.md in this folder names every rule, the threat that it answers and its limits.
package policy

import (
	"net/netip"
	"time"
)

// Observation is what one event means, free of AMI: of fixed size, and it holds nothing of the buffer it came from. Only
// observations cross goroutines.
type Observation struct {
	At        int64          // when it was received, nanoseconds since the Unix epoch; a step back is taken as no step
	Source    netip.AddrPort // the remote address that is judged, with its port
	Server    uint16         // which PBX, an index of the caller's
	LocalPort uint16         // the port of the PBX that was spoken to, 0 if unknown; not judged
	Kind      Kind
	Service   Service
	Stream    bool   // over TCP, TLS, WS or WSS: the source's address is proven by the transport
	Password  bool   // a SuccessfulAuth with UsingPassword 1
	RoundTrip bool   // a chan_sip InvalidPassword that answers the challenge which was sent
	Unknown   bool   // the account is `<unknown>`: the PBX identified nobody
	Injected  bool   // the packet bore an injection attempt; Source is certain, Kind and the rest are not believed
	Session   uint64 // [Hasher.Session] of the session's name; with Server and Source the key of one request
	Account   Label  // [Hasher.Label] of the account's name
}

// Verdict is one decision of the engine. It can be explained by itself: which rule, on what evidence, for how long.
type Verdict struct {
	Action   Action
	Scope    Scope
	Prefix   netip.Prefix  // masked
	At       int64         // when it was decided, nanoseconds since the Unix epoch
	Duration time.Duration // of a ban, from At on
	Rule     string        // the rule's name, one of the Rule constants
	Score    float64       // what was compared with the threshold
	Attempts int           // requests counted against the source since its score was last zero
	Strike   int           // 1 for the first ban of this source
	Evidence []Evidence    // the latest, oldest first, eight at most; borrowed, valid until the engine's next call
}

// The rules: every verdict bears the name of one.
const (
	// RuleProvenScore bans with scope all: the source's proven evidence alone is above the threshold.
	RuleProvenScore = "proven_score"
	// RuleScore bans with scope sip: all evidence together is above the threshold, and the source is not proved.
	RuleScore = "score"
	// RuleSecondOffender bans a /64: a second address of it earned a ban.
	RuleSecondOffender = "second_offender"
	// RuleSpreadScore bans a /64: the attempts of several of its addresses together are above the threshold.
	RuleSpreadScore = "spread_score"
	// RuleAdopted marks a ban that was found in the kernel.
	RuleAdopted = "adopted"
	// RuleProtected lifts a ban: its prefix holds an address that must never be banned.
	RuleProtected = "protected"
	// RuleProved lifts the ban of a /64: an address of it that never failed has proved itself.
	RuleProved = "proved"
	// RuleBansFull alerts: a ban was due, but max_bans run already, or half as many of scope sip. At most one a minute.
	RuleBansFull = "bans_full"
)

// Evidence is one counted attempt.
type Evidence struct {
	At      int64 // nanoseconds since the Unix epoch
	Kind    Kind
	Proven  bool // its packet could not have been forged
	Server  uint16
	Weight  float32
	Account Label
}
