package journal

import (
	"net/netip"
	"time"

	"github.com/amifend/amifend/firewall"
)

// Key names a ban: a prefix may have one in each scope.
type Key struct {
	Prefix netip.Prefix
	Scope  firewall.Scope
}

// Ban is a ban as it is told to the journal.
type Ban struct {
	Key
	Rule     string
	Score    float64
	Attempts int
	Strike   int
	Evidence string   // as people may read it: an attacker's bytes quoted
	Servers  []string // that the evidence is of
	// when it was decided. These two must bear a monotonic clock reading: the wall clock may be set
	// before they are written
	From  time.Time
	Until time.Time
	// it was found, not decided: it is written only where the journal knows nothing of its key
	Found    bool
	Observed bool // it is only noted: never in force, also not after a restart
}

// Lift says that a ban is over before its time.
type Lift struct {
	Key
	At  time.Time // with a monotonic clock reading
	By  string    // who: "policy", or an operator
	Why string
	// that there was a ban is known. Else the lift is written only where the journal has a running
	// ban.
	Known bool
}

// Alert is what the policy or a part of amifend wants a person to know.
type Alert struct {
	At      time.Time
	Kind    string // of those that the log's key kind has
	Source  string // address or prefix; "" for none
	Account string // as ami.Quote prints it; "" for none
	Server  string // "" for none
	Text    string // the reason; an attacker's bytes are quoted in it
	Do      string // what to do about it
}

// Operation is what an operator did.
type Operation struct {
	At     time.Time
	UID    int
	What   string // the verb: ban, unban, allow, …
	Object string
	Reason string
}

// Total counts events of one source or one account, of those that were told together.
type Total struct {
	Hour     time.Time // its beginning
	Server   string
	Name     string // the source's address, or the account's name as ami.Quote prints it
	Account  bool   // Name is an account's
	Failures uint64
	Logins   uint64
}

// Row is a row of the table state. An empty Value deletes it.
type Row struct{ Key, Value []byte }

// Open is a ban that the journal knows to run.
type Open struct {
	Rule     string
	Score    float64
	Attempts int
	Strike   int
	Servers  []string
	From     time.Time     // wall clock
	Whole    time.Duration // as decided
	Left     time.Duration // of it, when the snapshot was taken; above 0, and at most Whole
}

// Tombstone is a ban that was lifted, remembered so that it does not come back.
type Tombstone struct {
	At  time.Time // wall clock
	By  string
	Why string
}

// Snapshot is what the journal says of bans at one time: what is written and what waits to be.
type Snapshot struct {
	Open   map[Key]Open
	Lifted map[Key]Tombstone
	At     time.Time // when it was taken, with a monotonic clock reading
	// rows that cannot be read, such as ones changed by hand; they are left as they are
	Bad int
}
