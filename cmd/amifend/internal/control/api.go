package control

import (
	"encoding/json"
	"net/netip"
	"time"
)

// Status is the state of the daemon.
type Status struct {
	Version string    `json:"version"`
	Since   time.Time `json:"since"`   // when it started
	Observe bool      `json:"observe"` // it decides, but bans nobody
	// what an observing daemon would have done; absent: it does not observe, or the journal is busy
	Observed *Observed `json:"observed,omitempty"`
	// why the last change between observing and banning failed
	TurnError string         `json:"turn_error,omitempty"`
	Health    []Warning      `json:"health"` // empty: all is well
	Servers   []ServerStatus `json:"servers"`
	Engine    Engine         `json:"engine"`
	// absent: no trial, or its bans are kept
	Trial       *Trial        `json:"trial,omitempty"`
	Firewall    Firewall      `json:"firewall"`
	Journal     *Journal      `json:"journal,omitempty"` // absent: no journal
	Ineffective []Ineffective `json:"ineffective"`       // the latest bans that have no effect
	Protected   int           `json:"protected"`         // prefixes that are never banned
	Followers   int           `json:"followers"`         // clients that follow events

	// addresses that many users share, twenty at most
	SharedSources []SharedSource `json:"shared_sources"`
	SharedMore    int            `json:"shared_sources_more"` // how many are left out

	Confined *Confined `json:"confined,omitempty"` // absent: the process is not confined

	Sensor *Sensor `json:"sensor,omitempty"`

	Limiter *Limiter `json:"limiter,omitempty"`
}

// Sensor is the state of the kernel sensor, which sees requests that Asterisk does not report.
type Sensor struct {
	On       bool           `json:"on"`
	Problem  string         `json:"problem,omitempty"` // why it is off, or what it cannot do
	Logs     bool           `json:"logs"`              // it reads answers, which gives evidence
	Evidence uint64         `json:"evidence"`          // hidden requests that it saw, since the start
	Accepted uint64         `json:"accepted"`          // those that the PBX accepted: a password is known
	Lost     uint64         `json:"lost"`              // how often it was too slow
	Servers  []SensorServer `json:"servers"`

	// it reads the nonces that leave, which proves senders over UDP
	Nonces       bool   `json:"nonces"`
	NonceProblem string `json:"nonce_problem,omitempty"` // why not
	Proven       uint64 `json:"proven"`                  // events over UDP whose sender was proven
	// refusals that went elsewhere than their request came from, or may have
	Astray uint64 `json:"astray"`
	Gaps   uint64 `json:"gaps"` // how often refusals may have been missed
}

// SensorServer is the state of the kernel sensor for one PBX.
type SensorServer struct {
	Name    string `json:"name"`
	Judging bool   `json:"judging"`           // it compares refusals with events
	Problem string `json:"problem,omitempty"` // why it does not
	Refused uint64 `json:"refused"`           // requests that the PBX refused, since it judges
	Silent  int    `json:"silent"`            // addresses with refusals that no event explains, now

	Proves       bool   `json:"proves"`                  // senders over UDP can be proven
	ProofProblem string `json:"proof_problem,omitempty"` // why not
}

// Confined is what the daemon's process may still do, whoever is in control of it.
type Confined struct {
	// version of the kernel's Landlock; 0: without it, only the rights of files limit what the daemon
	// writes and executes
	Landlock int      `json:"landlock"`
	Writes   []string `json:"writes"`          // directories that it may write, with Landlock
	Error    string   `json:"error,omitempty"` // what could not be confined

	NoNewPrivs   bool     `json:"no_new_privs"` // it gains no rights by executing
	Seccomp      bool     `json:"seccomp"`      // a filter of system calls is in force
	Capabilities []string `json:"capabilities"` // such as net_admin
}

// Observed counts what an observing daemon would have done, by its journal.
type Observed struct {
	Since time.Time `json:"since"` // of the oldest events or bans that the journal knows
	// sources, addresses or prefixes, that it would have banned
	Sources int `json:"sources"`
	// of these, those with a login at any time that the journal knows
	LoggedIn int      `json:"logged_in"`
	Examples []string `json:"examples"` // of those that logged in, at most 3
}

// Warning is something that is not as it should be, and what to do about it.
type Warning struct {
	About string `json:"about"` // such as "server office", "firewall"
	What  string `json:"what"`
	Do    string `json:"do,omitempty"`
}

// ServerStatus is the state of the session with one PBX.
type ServerStatus struct {
	Name      string    `json:"name"`
	Address   string    `json:"address"`
	Connected bool      `json:"connected"`
	Phase     string    `json:"phase"`
	Since     time.Time `json:"since"` // of the phase
	// since when no events come: since the connection was lost, or since the first attempt
	Down        time.Time `json:"down,omitzero"`
	Problem     string    `json:"problem,omitempty"`     // what keeps it from working now
	Error       string    `json:"error,omitempty"`       // the same in words
	Do          string    `json:"do,omitempty"`          // what to do about it
	NextTry     time.Time `json:"next_try,omitzero"`     // when it connects again
	AMIVersion  string    `json:"ami_version"`           //
	Login       string    `json:"login"`                 // MD5 or plain
	TLS         string    `json:"tls,omitempty"`         // its version; "": plain TCP
	Verified    bool      `json:"verified"`              // the certificate was verified
	Fingerprint string    `json:"fingerprint,omitempty"` // SHA-256 of the certificate

	Events     uint64  `json:"events"`            // since the start
	EventsRate float64 `json:"events_per_second"` // over the last seconds
	Lag        float64 `json:"lag_seconds"`       // how late the last event came
	// how far the PBX's clock is ahead of ours; 0 before the first event
	ClockError float64 `json:"clock_error_seconds"`
	Latency    float64 `json:"latency_seconds"` // of the last Ping
	// interruptions of the stream: events may be missing
	Gaps      uint64  `json:"gaps"`
	LastGap   float64 `json:"last_gap_seconds"` // how long the last one was
	Stalls    uint64  `json:"stalls"`           // how often events had to wait for amifend
	Untrusted uint64  `json:"untrusted"`        // events whose text was not believed
}

// Engine counts the work of the policy engine since the start, and what it holds.
type Engine struct {
	Observed  uint64 `json:"observed"`
	Counted   uint64 `json:"counted"`   // attempts that were added to a score
	Protected uint64 `json:"protected"` // attempts of sources that must never be banned
	Shielded  uint64 `json:"shielded"`  // forgeable attempts in the name of proved sources
	Covered   uint64 `json:"covered"`   // attempts of sources that are banned
	Refused   uint64 `json:"refused"`   // bans for which there was no room
	// bans on forgeable evidence beyond forgeable_bans_per_minute
	Postponed uint64 `json:"postponed"`
	Evicted   uint64 `json:"evicted"` // sources that were forgotten because there was no room
	Alerts    uint64 `json:"alerts"`
	Sources   int    `json:"sources"`
	Bans      int    `json:"bans"`
}

// Firewall is the state of the bans in the kernel.
type Firewall struct {
	Name    string `json:"name"`
	State   string `json:"state"` // "ok", "failing" or "busy"
	Error   string `json:"error,omitempty"`
	Bans    int    `json:"bans"`    // as decided
	Pending int    `json:"pending"` // changes that the kernel does not have yet
	Waiting int    `json:"waiting"` // bans that found their set full

	// how often other programs deleted the table, or took bans out of it, within the last hour
	Taken     int       `json:"taken"`
	LastTaken time.Time `json:"last_taken,omitzero"` // the last time

	Denied *Denied     `json:"denied,omitempty"` // absent: [deny] lists no prefix
	Feeds  []FeedState `json:"feeds,omitempty"`  // of [[feed]]
}

// DryFirewall is the Name of a Firewall that bans nobody: [policy] observe, or backend = "log".
const DryFirewall = "none: a dry run"

// Denied is the state of the operator's deny lists.
type Denied struct {
	Listed int `json:"listed"` // prefixes, as written
	// ranges of addresses that are dropped: merged, without what must never be banned
	Ranges int `json:"ranges"`
	// protected prefixes, and networks of ours, that the lists contain
	Spared int `json:"spared"`
	// in_kernel, pending, dry, or trial: the lists wait for amifend keep
	State   string  `json:"state"`
	Error   string  `json:"error,omitempty"` // what keeps them out of the kernel
	Dropped *uint64 `json:"dropped"`         // packets since the table was made; null: unknown
}

// Journal is the state of the database.
type Journal struct {
	Path string `json:"path"`
	// why it cannot be written; amifend goes on banning
	Problem string    `json:"problem,omitempty"`
	Since   time.Time `json:"since,omitzero"` // of the problem
	Waiting int       `json:"waiting"`        // bans and lifts that wait to be written
	// bans and lifts that found no room to wait; those that still run are written later
	Lost uint64 `json:"lost"`
	Size int64  `json:"size_bytes"`
	// why no room is reserved on the disk for what operators change while it is full
	Unreserved string `json:"unreserved,omitempty"`
}

// AdviseReserve is what to do where no room is reserved on the disk of the journal.
const AdviseReserve = "free 16 MiB on the disk of the journal; if that is not the cause, set [state] " +
	"directory to a folder on a file system with fallocate(2), such as ext4 or xfs"

// Ineffective is a ban that has no effect.
type Ineffective struct {
	At     time.Time    `json:"at"`
	Source netip.Addr   `json:"source"`
	Ban    netip.Prefix `json:"ban"`
	Server string       `json:"server"`
	Cause  string       `json:"cause"`
	Do     string       `json:"do"`
}

// SharedSource is an address, or a /64 of IPv6, from which five accounts or more logged in within
// proof_window.
type SharedSource struct {
	Source   string   `json:"source"`
	Accounts int      `json:"accounts"` // 24 means so many or more
	Users    []string `json:"users"`    // some of them, the latest first; as ami.Quote prints them, without the quotes
	Guesses  int      `json:"guesses"`  // attempts through it that were reported and banned nobody
}

// Ban is one running ban.
type Ban struct {
	Prefix   netip.Prefix `json:"prefix"`
	Scope    string       `json:"scope"` // all, sip or stream
	Rule     string       `json:"rule"`
	Score    float64      `json:"score"`
	Attempts int          `json:"attempts"`
	Strike   int          `json:"strike"`
	Servers  []string     `json:"servers,omitempty"` // whose events are the evidence
	Since    time.Time    `json:"since"`
	Until    time.Time    `json:"until"`
	State    string       `json:"state"`   // in_kernel, pending, waiting (its set is full) or dry
	Dropped  *uint64      `json:"dropped"` // packets, as counted by the kernel; null: unknown
	Origin   *Origin      `json:"origin,omitempty"`
}

// The states of a ban.
const (
	StateInKernel = "in_kernel"
	StatePending  = "pending"
	StateWaiting  = "waiting"
	StateDry      = "dry"
	StateTrial    = "trial" // of deny lists only
)

// NewBan is a ban that an operator asks for. It replaces a running one of the same prefix, even one
// that ends later.
type NewBan struct {
	Prefix netip.Prefix `json:"prefix"`
	Scope  string       `json:"scope"`       // all, sip or stream
	For    float64      `json:"for_seconds"` // 0: [policy] ban_time
	Reason string       `json:"reason,omitempty"`
	// Import marks a ban that was decided elsewhere. A longer one is cut to [policy] ban_max, and a
	// running ban that is longer or of a larger scope stays.
	Import bool `json:"import,omitempty"`
}

// MostBans is the number of bans that one request may hold.
const MostBans = 1000

// NewBans is a request to ban.
type NewBans struct {
	Bans []NewBan `json:"bans"`
}

// Banned answers NewBans, in the same order.
type Banned struct {
	Results []BanResult `json:"results"`
}

// BanResult is the result of one NewBan.
type BanResult struct {
	Prefix netip.Prefix `json:"prefix"`
	Scope  string       `json:"scope,omitempty"`
	Until  time.Time    `json:"until,omitzero"`
	State  string       `json:"state,omitempty"`
	Note   string       `json:"note,omitempty"`
	Error  *Error       `json:"error,omitempty"`
}

// Lifted answers a request to lift bans.
type Lifted struct {
	Lifted  []netip.Prefix `json:"lifted"`  // at most MostLifted
	Count   int            `json:"count"`   // all of them
	Pending int            `json:"pending"` // lifts that are not in the kernel yet
	Note    string         `json:"note,omitempty"`
	// for one address that may be banned: whether it would soon be banned again
	Again *Again `json:"again,omitempty"`
}

// Again estimates how soon an address is banned again after a lift.
type Again struct {
	// packets that its bans have dropped, as far as the kernel counted them
	Dropped uint64 `json:"dropped"`
	// of these, those of the last LatelySpan before the lift
	Lately uint64 `json:"lately"`
	// how long it was since the kernel was asked before; 0: Lately is not known
	LatelySpan float64 `json:"lately_seconds"`
	// the last event of the address that a PBX reported during the ban
	Seen time.Time `json:"seen,omitzero"`
	// attempts on one unknown account that ban it again; 0: they do not
	MoreUnknown int `json:"more_unknown"`
	MoreKnown   int `json:"more_known"` // wrong passwords on a known account that ban it again
}

// MostLifted is the number of prefixes that Lifted names.
const MostLifted = 1000

// Explanation is everything that is known of an address.
type Explanation struct {
	Text string `json:"text"` // for people
	// the same for programs, in the form of amifend replay --format json --explain
	Detail json.RawMessage `json:"detail"`
	// amifend observes: `banned` in the detail means that it would be
	Observed bool `json:"observed,omitempty"`
	// that cover it, with their state in the kernel
	Bans []Ban `json:"bans,omitempty"`
	// the latest decisions, the last one first
	Past   []PastBan `json:"past,omitempty"`
	Alerts []Alert   `json:"alerts,omitempty"` // the latest about it, the last one first
	// Denied is where [deny] lists the address, FILE:LINE or the key of the config. Its packets are
	// always dropped.
	Denied string  `json:"denied,omitempty"`
	Origin *Origin `json:"origin,omitempty"` // names of the address
	// Feed is the name of a feed that lists the address. Its packets are dropped.
	Feed string `json:"feed,omitempty"`
	// Limited is what its source sent beyond the limits of [limiter], in the last ten minutes. That is
	// no ban.
	Limited []Limited `json:"limited,omitempty"`
}

// PastBan is a ban in the journal, running or over.
type PastBan struct {
	Prefix   netip.Prefix `json:"prefix"`
	Scope    string       `json:"scope"`
	Rule     string       `json:"rule"`
	Score    float64      `json:"score"`
	Attempts int          `json:"attempts"`
	Strike   int          `json:"strike"`
	Evidence string       `json:"evidence,omitempty"` // an attacker's bytes are quoted in it
	From     time.Time    `json:"from"`
	Until    time.Time    `json:"until"`
	Lifted   time.Time    `json:"lifted,omitzero"` // when it was ended early
	By       string       `json:"lifted_by,omitempty"`
	Why      string       `json:"lifted_why,omitempty"`
	Observed bool         `json:"observed,omitempty"` // no packet was dropped
}

// AllowList lists what is never banned.
type AllowList struct {
	Entries []Allowed `json:"entries"`
}

// Allowed is a prefix, or a host name, that is never banned.
type Allowed struct {
	Prefix netip.Prefix `json:"prefix,omitzero"` // absent for a name
	Name   string       `json:"name,omitempty"`
	// that the name has, or had recently; each is an entry too
	Addresses []netip.Addr `json:"addresses,omitempty"`
	Reason    string       `json:"reason" text:"quoted"`
	Until     time.Time    `json:"until,omitzero"` // of one that is allowed for a time
	// Command marks an entry that a command made, and that a command can take out.
	Command bool `json:"command,omitempty"`
	// of such an entry: who made it, when, and the reason, quoted by [ami.Quote]
	By   string    `json:"by,omitempty"`
	At   time.Time `json:"at,omitzero"`
	Text string    `json:"text,omitempty" text:"quoted"`

	Note string `json:"note,omitempty"` // in the answer to a command
}

// NewAllow is a request to allow a prefix, or the addresses of a host name as they change.
type NewAllow struct {
	Prefix netip.Prefix `json:"prefix,omitzero"`
	Name   string       `json:"name,omitempty"`
	For    float64      `json:"for_seconds"` // 0: until it is taken out
	Reason string       `json:"reason,omitempty"`
}

// Reloaded is the result of a reload.
type Reloaded struct {
	Changed  []string `json:"changed"`            // sections of the config that are in force now
	Restart  []string `json:"restart,omitempty"`  // changes that need a restart
	Warnings []string `json:"warnings,omitempty"` // what is unsafe in the new config
}
