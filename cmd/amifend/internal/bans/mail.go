package bans

import (
	"net/netip"
	"slices"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/owner"
)

// Mail holds the mailboxes between the judge, which decides, and the enforcer, which writes to the
// kernel. Neither ever waits for the other. Each mailbox holds one value for each prefix or key at
// most.
type Mail struct {
	Orders *owner.Mailbox[netip.Prefix, Order] // judge → enforcer
	Acks   *owner.Mailbox[Key, Ack]            // enforcer → judge: the kernel has the ban
	Doubts *owner.Mailbox[Key, Doubt]          // judge → enforcer: does this ban work?

	// Enforcer → judge: bans that the engine did not decide.
	External *owner.Mailbox[Key, External]
}

// NewMail returns empty mailboxes.
func NewMail() *Mail {
	return &Mail{
		Orders:   owner.NewMailbox[netip.Prefix](MergeOrders),
		Acks:     owner.NewMailbox[Key, Ack](nil),
		Doubts:   owner.NewMailbox[Key, Doubt](nil),
		External: owner.NewMailbox[Key, External](nil),
	}
}

// Everybody returns the key of an order to lift all bans, which replaces all orders before it.
func Everybody() netip.Prefix { return netip.Prefix{} }

// An Order tells the enforcer to lift a prefix's bans, to ban the prefix, or to lift and then ban.
type Order struct {
	// All counts the orders to lift all bans, of which this one is the latest; 0: it is another.
	All  uint64
	Lift bool
	Why  string // of the lift
	Bans []*Ban // one of a scope at most
	Asks []*Ask // to be answered before any order of this round is worked on
}

// Ask asks the enforcer for the bans that cover an address, before they are lifted: a lifted ban has
// no counters. It is answered when a flush that began later has returned.
type Ask struct {
	Addr netip.Addr
	Held []Held // the answer; nobody else may look at it before
}

// Held is a ban as it was before it was lifted.
type Held struct {
	Prefix netip.Prefix
	Drops  *Drops // nil: the kernel does not count, or does not answer
}

// Drops counts what the kernel has dropped for a ban.
type Drops struct {
	Packets uint64
	Lately  uint64        // of these, since the counter was read before
	Span    time.Duration // since then; 0: it was not read before
}

// OrderOf returns the order to make a ban.
func OrderOf(b *Ban) Order { return Order{Bans: []*Ban{b}} }

// MergeOrders makes one order of two that follow each other. A lift undoes the bans before it. A
// ban after a lift does not undo the lift, since it may be of another scope.
func MergeOrders(old, new Order) Order {
	asks := slices.Concat(old.Asks, new.Asks)
	if new.Lift {
		new.Asks = asks
		return new
	}

	// Bans of other scopes stay wanted. The receiver may have the old order's slice already.
	out := Order{Lift: old.Lift, Why: old.Why, Asks: asks}
	for _, b := range old.Bans {
		if !slices.ContainsFunc(new.Bans, func(n *Ban) bool { return n.Replaces(b) }) {
			out.Bans = append(out.Bans, b)
		}
	}
	out.Bans = append(out.Bans, new.Bans...)

	return out
}

// Ack tells the judge that the kernel has a ban. Times are of the daemon's clock.
type Ack struct {
	At, Until int64
}

// Doubt asks the enforcer about a ban that does not seem to work.
type Doubt struct {
	Source netip.AddrPort
	Server string
	Made   int64  // when the PBX reported what should not have reached it
	Port   uint16 // of the PBX, where the banned source still got through; 0: unknown
	InPort bool   // the port is one that the ban covers
}

// Grace limits how long after the kernel's acknowledgement events of a banned source may still
// come: Asterisk may have received before what they report.
const Grace = 2 * time.Second

// External tells the judge what became of a ban without the engine: it was found in the kernel,
// came back from the journal, or is lifted.
type External struct {
	// All is the latest order to lift all bans that the enforcer had taken. What it sends before it
	// takes the next one is lifted by that.
	All    uint64
	Ban    Ban
	Lifted bool
}
