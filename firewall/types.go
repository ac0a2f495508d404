// Package firewall keeps bans as timed elements of nftables sets, so that the kernel drops the
// packets of banned sources by itself.
//
// A [Table] describes a desired state: Ensure and Apply may be repeated at will and end in the same
// ruleset. It changes only its own table. Bans outlive the process; [Table.Bans] reads them back.
// Two programs on one table would undo each other's work, so call [Lock] before [Open].
//
// # What a user sees
//
// `nft list table inet amifend` shows (in this order of evaluation, chain pre at prerouting,
// priority -310):
//
//	allow4, allow6             never dropped here: the allowlist and the protected addresses
//	deny4, deny6               the operator's lists: every packet is dropped, for ever;
//	                           the counter denied counts them
//	feed4_NAME, feed6_NAME     the list of a feed: every packet is dropped; the counter feed_NAME
//	                           counts them
//	ban4, ban6                 banned hosts, scope all: every packet is dropped
//	ban4_24, ban6_64,          banned prefixes of that length, scope all
//	ban6_56, ban6_48
//	ban4_sip, ban6_sip         banned hosts, scope sip: packets to the SIP ports are dropped
//	                           (chain sip)
//	ban4_24_sip, ban6_64_sip,  banned prefixes of that length, scope sip
//	ban6_56_sip, ban6_48_sip
//	ban4_stream, ban6_stream,  banned hosts and prefixes, scope stream: TCP packets to the SIP
//	ban4_24_stream, …          ports, the WebSocket ports and the AMI ports are dropped (chain
//	                           stream)
//
// With Options.Sensor and Options.Limiter there are further sets and chains, see [Sensor] and
// [Limiter].
//
// Every element of a ban set has a timeout and a counter of the packets that it dropped. The rules
// of ban sets have counters too; those start again whenever the table is laid out anew. A running
// amifend repairs the changes of others.
//
// Loopback, IPv6 neighbour discovery (RFC 4861, hop limit 255) and packet-too-big (RFC 8201) pass
// always: a banned on-link prefix would otherwise cut off its innocent neighbours. An accept ends
// this chain only; other tables may still drop.
//
// # Ports and fragments
//
// The chain runs before conntrack and DNAT: all ports are the ports on the wire. Connection
// tracking puts fragments together at priority -400, thus before us, but only where something in
// the namespace uses it. Without it, scope all still sees the source in every fragment. The scopes
// sip and stream see the port in the first fragment only, and drop that one; the others pass, but
// can never be put together (the smallest first fragment, 8 bytes, holds both ports; for IPv6 RFC
// 7112 demands the whole header chain in it, and Linux drops other fragments). So nothing reaches
// the port either way.
package firewall

import (
	"fmt"
	"net/netip"
	"time"
)

// Scope is the traffic that a ban drops.
type Scope uint8

// The scopes of a ban.
const (
	ScopeAll Scope = iota + 1 // all traffic of the source
	ScopeSIP                  // its traffic to the SIP ports only

	// ScopeStream is its TCP traffic to the SIP ports, the WebSocket ports and the AMI ports. Its
	// phones go on over UDP.
	ScopeStream
)

// String returns the scope as config files and logs write it: all, sip or stream.
func (s Scope) String() string {
	switch s {
	case ScopeAll:
		return "all"
	case ScopeSIP:
		return "sip"
	case ScopeStream:
		return "stream"
	}
	return fmt.Sprintf("Scope(%d)", uint8(s))
}

// Ban is a timed block of a prefix.
type Ban struct {
	Prefix netip.Prefix // masked, not IPv4-mapped; its length must be one of SupportedBits
	Scope  Scope
	Until  time.Time
}

// Change adds or refreshes a ban, or lifts it.
//
// A refresh sets the end of the ban to Until, be it later or earlier. A ban whose Until has passed
// is lifted. The kernel gets the time that is left at the moment of sending, at least one second (a
// shorter timeout could round to none, which means for ever). It is not an error to lift a ban that
// is not there. Lift ignores Until.
type Change struct {
	Ban
	Lift bool
}

// Element is a ban as the kernel has it.
type Element struct {
	// Prefix is unmasked only if another program added it so. It then matches no packet, and can be
	// lifted as it is.
	Prefix  netip.Prefix
	Scope   Scope
	Timeout time.Duration // its whole lifetime; 0 if it never expires (not added by us)
	Expires time.Duration // time left
	Packets uint64        // dropped by it
	Bytes   uint64
	// Counted is false if the kernel counts no packets here (before Linux 5.11).
	Counted bool
}

// Rejected is the error of one change that the kernel does not have. It wraps [ErrFull] or
// [ErrInvalid].
//
//nolint:errname // it is an entry of a list first, and an error for who looks at one change
type Rejected struct {
	Change Change
	Err    error
}

// Error returns the prefix, the scope and the cause.
func (r Rejected) Error() string {
	return fmt.Sprintf("%s, scope %s: %s", r.Change.Prefix, r.Change.Scope, r.Err)
}

// Unwrap returns the cause.
func (r Rejected) Unwrap() error { return r.Err }
