package bans

import (
	"net/netip"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/owner"
	"github.com/amifend/amifend/firewall"
)

// Mail holds the mailboxes between the judge, which decides, and the enforcer, which writes to the
// kernel. Neither ever waits for the other. Each mailbox holds one value for each prefix or key at
// most.
type Mail struct {
	Orders *owner.Mailbox[netip.Prefix, Order] // judge → enforcer
	Acks   *owner.Mailbox[netip.Prefix, Ack]   // enforcer → judge: the kernel has the ban
	Doubts *owner.Mailbox[netip.Prefix, Doubt] // judge → enforcer: does this ban work?

	// Enforcer → judge: bans that the engine did not decide.
	External *owner.Mailbox[Key, External]
}

// NewMail returns empty mailboxes.
func NewMail() *Mail {
	return &Mail{
		Orders:   owner.NewMailbox[netip.Prefix](MergeOrders),
		Acks:     owner.NewMailbox[netip.Prefix, Ack](nil),
		Doubts:   owner.NewMailbox[netip.Prefix, Doubt](nil),
		External: owner.NewMailbox[Key, External](nil),
	}
}

// An Order tells the enforcer to lift a prefix's bans, to ban the prefix, or to lift and then ban.
type Order struct {
	Lift bool
	Why  string // of the lift
	Ban  *Ban   // nil: none
}

// MergeOrders makes one order of two that follow each other. A lift undoes the ban before it. A ban
// after a lift does not undo the lift, since it may be of another scope.
func MergeOrders(old, new Order) Order {
	if !new.Lift {
		new.Lift, new.Why = old.Lift, old.Why
	}
	return new
}

// Ack tells the judge that the kernel has a ban. Times are of the daemon's clock.
type Ack struct {
	At, Until int64
	Scope     firewall.Scope
}

// Doubt asks the enforcer about a ban that does not seem to work.
type Doubt struct {
	Source netip.AddrPort
	Server string
	Scope  firewall.Scope
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
	Ban    Ban
	Lifted bool
}
