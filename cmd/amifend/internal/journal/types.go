package journal

import (
	"net/netip"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/compact"
	"github.com/amifend/amifend/firewall"
)

// Key identifies a ban: a prefix may have one in each scope.
type Key struct {
	Prefix netip.Prefix
	Scope  firewall.Scope
}

// Compact returns the key in few bytes.
func (k Key) Compact() compact.Key { return compact.Of(k.Prefix, k.Scope) }

// Ban is a ban as the caller passes it to the journal.
type Ban struct {
	Key
	Rule     string
	Score    float64
	Attempts int
	Strike   int
	Evidence string   // for people: an attacker's bytes are quoted
	Servers  []string // whose events are the evidence
	// From and Until must have a monotonic clock reading: the wall clock may be set before they are
	// written.
	From  time.Time
	Until time.Time
	// Found marks a ban that was found in the kernel. It is written only if the journal knows
	// nothing of its key.
	Found    bool
	Observed bool // only noted: never in force, not even after a restart
}

// Lift ends a ban early.
type Lift struct {
	Key
	At  time.Time // with a monotonic clock reading
	By  string    // "policy", or an operator
	Why string
	// Known means that there certainly was a ban. Without it, the lift is written only if the
	// journal has a running ban of the key.
	Known bool
}

// LiftAll lifts all bans that were recorded before it, also those that wait to be written.
type LiftAll struct {
	At  time.Time // with a monotonic clock reading
	By  string
	Why string
	// Block is a block of the engine's state after the lift, see [Journal.Keep]; empty: none. It is
	// written in the same commit as the lift.
	Block []byte
}

// Alert is a message of the policy, or of another part of amifend, for a person.
type Alert struct {
	At      time.Time
	Kind    string // one of the kinds of the log key kind
	Source  string // address or prefix; "" for none
	Account string // as ami.Quote prints it; "" for none
	Server  string // "" for none
	Text    string // the reason; an attacker's bytes are quoted in it
	Do      string // what to do about it

	Severity  int  // 1 is the worst
	Forgeable bool // forged packets alone can raise the kind

	// For a condition. At is its beginning, and its later alerts have the same Key.
	Key   string    // "" for an event
	Seen  time.Time // when it was noticed last
	Ended time.Time // zero: it goes on
	Count int       // how often it was noticed
}

// Open reports whether an alert is a condition that goes on.
func (a *Alert) Open() bool { return a.Key != "" && a.Ended.IsZero() }

// Operation is an action of an operator.
type Operation struct {
	At     time.Time
	UID    int
	Says   string // the name that the operator's command gave, fit to be printed; "": none
	What   string // the verb: ban, unban, allow, …
	Object string
	Reason string
}

// Total counts the events of one source or one account in an hour.
type Total struct {
	Hour     time.Time // the beginning of the hour
	Server   string
	Name     string // the source's address, or the account's name as ami.Quote prints it
	Account  bool   // Name is an account's
	Failures uint64
	Logins   uint64
	// Of an account: how it logged in, and a bit for each network from which it did, see
	// [NetworkBit].
	Ways     Ways
	Networks uint64
}

// Row is a row of the table state. An empty Value deletes it.
type Row struct{ Key, Value []byte }

// Open is a running ban in the journal. There may be very many, so it is small.
type Open struct {
	*Cause
	Score    float64
	Attempts int32
	Strike   int32
	Decided  int64         // in milliseconds since the Unix epoch, by the wall clock
	Whole    time.Duration // the length of the ban
	Left     time.Duration // the rest at the snapshot; above 0, at most Whole
}

// Cause has what very many bans have in common.
type Cause struct {
	Rule    string
	Servers []string
}

// From returns when the ban was decided, by the wall clock.
func (o *Open) From() time.Time { return time.UnixMilli(o.Decided) }

// Tombstone is a lifted ban. It is remembered so that the ban does not come back.
type Tombstone struct {
	At  time.Time // wall clock
	By  string
	Why string
}

// Snapshot holds the bans at one moment, including those that wait to be written.
type Snapshot struct {
	Open   map[compact.Key]Open
	Lifted map[compact.Key]*Tombstone
	// All is the latest [LiftAll] of this boot, its time with a monotonic clock reading; zero: there
	// was none. An element that the kernel had before that time is lifted, even if its ban was never
	// written.
	All Tombstone
	At  time.Time // with a monotonic clock reading
	// Bad counts the rows that cannot be read because somebody changed them. They stay in the
	// database.
	Bad int
}
