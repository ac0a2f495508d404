package firewall

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// Limiter adds rules that limit the SIP requests of strangers: of sources that are neither in the allow
// sets, nor known ([Table.ChangeKnown]), nor served by the SIP server of late. The rules do nothing
// unless [Table.ArmLimiter] is called again and again, and drop nothing unless it says so.
//
//	limiter_udp, limiter_tcp     from chain sip: what is no request is let go
//	limit_requests, limit_syns   who is known or served is let go; the others are measured
//	over, limited                a packet beyond the limit of its source: it passes, or is dropped
//	strangers_requests, _syns    the limit of all sources that are not measured yet, together
//	served, served_passing       base chains: who gets an answer 100 Trying is served, for an hour
//
//	limiter_armed, limiter_drops the protocols that are limited, and those of which packets are
//	                             dropped, until the elements end: the rules look them up
//	known4, known6               sources that are not limited, IPv6 by /64
//	served4, served6             sources that the SIP server served, IPv6 by /64
//	meter4, meter6               the measured sources, by their requests
//	meter_syn4, meter_syn6       the same, by their TCP connections
//	limited4, limited6           sources of which packets were dropped, for ten minutes, with counts
//	overlimit4, overlimit6       the same where packets passed, since nothing was to be dropped
//
// A request over UDP is a datagram to a SIP port, except those of IAX2 (4569), of 52 bytes or more
// that does not begin with SIP/, ACK, BYE or CANC. Over TCP it is a segment that begins with four
// capital letters, except CANC. So TLS is limited by its connections alone. The WebSocket ports are
// not limited.
//
// A full set of measured sources lets further ones pass, within the limit of all strangers together.
type Limiter struct {
	PerMinute uint32 // requests, and connections, of a source (/32, /64); 0: DefaultPerMinute
	Burst     uint32 // of a source; 0: DefaultBurst

	StrangersPerSecond uint32 // of all sources that are not measured yet; 0: DefaultStrangersPerSecond
	StrangersBurst     uint32 // 0: DefaultStrangersBurst

	Size int // elements in each set; 0: DefaultLimiterSize
}

// The defaults of [Limiter]. A burst of 300 lets an office with 200 phones behind one address start
// all of them at once.
const (
	DefaultPerMinute          = 60
	DefaultBurst              = 300
	DefaultStrangersPerSecond = 100
	DefaultStrangersBurst     = 500
	DefaultLimiterSize        = 65536 // 11 MB of the kernel's memory a set
)

const (
	// meterTime is how long a source is measured after its last request. A source that was quiet so
	// long may use its whole burst again: it would take as long to come back to that.
	meterTime = 5 * time.Minute

	// limitedTime is how long it is remembered that a source was beyond its limit.
	limitedTime = 10 * time.Minute

	// servedTime is how long a source is served after its last 100 Trying.
	servedTime = time.Hour
)

// Names of the limiter in the kernel.
const (
	chainLimiterUDP        = "limiter_udp"
	chainLimiterTCP        = "limiter_tcp"
	chainLimitRequests     = "limit_requests"
	chainLimitSYNs         = "limit_syns"
	chainStrangersRequests = "strangers_requests"
	chainStrangersSYNs     = "strangers_syns"
	chainManyStrangers     = "strangers_over"
	chainOver              = "over"
	chainLimited           = "limited"
	chainServed            = "served"         // base chain: output
	chainServedPassing     = "served_passing" // base chain: forward
	chainServedUDP         = "served_udp"
	chainServedTCP         = "served_tcp"
	chainServe             = "serve"

	setArmed = "limiter_armed"
	setDrops = "limiter_drops"

	// The name of each of these sets ends with 4 or 6.
	setKnown    = "known"
	setServed   = "served"
	setMeter    = "meter"
	setMeterSYN = "meter_syn"
	setLimited  = "limited"
	setOver     = "overlimit"

	counterLimited         = "limiter_dropped"
	counterOver            = "limiter_over"
	counterStrangers       = "strangers_dropped"
	counterStrangersPassed = "strangers_over"
)

// LimiterSupport is how much of the limiter the kernel can do, as probed when the table was opened.
type LimiterSupport struct {
	Limits  bool  // requests over UDP and TCP connections are limited
	Streams bool  // requests over TCP, too (Linux 5.16, in 5.15 since July 2022)
	Err     error // of the first that the kernel cannot do, for people; nil: it can do all
}

// Limiter returns how much of the limiter the kernel can do. It is zero if Options.Limiter was nil.
func (t *Table) Limiter() LimiterSupport { return t.limits }

// withDefaults returns the limiter with the default of each field that is zero.
func (l Limiter) withDefaults() Limiter {
	for _, f := range []struct {
		field *uint32
		value uint32
	}{
		{&l.PerMinute, DefaultPerMinute},
		{&l.Burst, DefaultBurst},
		{&l.StrangersPerSecond, DefaultStrangersPerSecond},
		{&l.StrangersBurst, DefaultStrangersBurst},
	} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	if l.Size == 0 {
		l.Size = DefaultLimiterSize
	}
	return l
}

// openLimiter finds out what the kernel can do of the limiter.
func (t *Table) openLimiter(l Limiter) error {
	t.limiter = l.withDefaults()
	scratch := scratchTable()

	// Requests over TCP need more of the kernel than the rest.
	for _, step := range []struct {
		able    *bool
		streams bool
		what    string
	}{
		{&t.limits.Limits, false, "limit packets by their source"},
		{&t.limits.Streams, true, "read requests over TCP (Linux 5.16)"},
	} {
		r := &limiterRules{
			Limiter: t.limiter, table: scratch, ports: t.ports.SIP, streams: step.streams,
		}
		err := tryLayout(t.write, scratch, r.sets(), limiterCounters(), r.chains())
		if errors.Is(err, unix.EPERM) {
			return kernelError("probe the kernel", err)
		}
		*step.able = err == nil
		if err != nil {
			t.limits.Err = fmt.Errorf("this kernel cannot %s: %w", step.what, err)
			return nil
		}
	}
	return nil
}

// queueNoLimiter queues that the chains, sets and counters of a limiter go, if this table has none. A
// table without our sets has none of our chains.
func (t *Table) queueNoLimiter(s snapshot) {
	if t.limits.Limits || s.sets[setArmed] == nil {
		return
	}
	r := t.limiterRules()
	r.streams = true // the chains that any limiter has

	// The rules of chain sip, which lead there, are laid out anew.
	if sip := s.chains[chainSIP]; sip != nil {
		t.write.FlushChain(sip)
	}
	t.queueRemoval(s, r.chains(), nil, r.sets())
	for _, name := range limiterCounters() {
		// One that is not there would end the transaction, so it is made first.
		t.write.AddObj(counterObject(t.table, name))
		t.write.DeleteObject(counterObject(t.table, name))
	}
}

// ArmLimiter lets the rules of the limiter work for d from now on: it measures strangers and, if drop
// is true, drops what is beyond the limits. Without a further call it ends then, whatever becomes of
// the caller. A d of 0 ends it at once.
//
// Error to branch on: ErrGone. Without a limiter nothing is done.
func (t *Table) ArmLimiter(ctx context.Context, drop bool, d time.Duration) error {
	return t.changeLimiter(ctx, "arm the limiter", func(c *nftables.Conn) error {
		drops := time.Duration(0)
		if drop {
			drops = d
		}
		return errors.Join(t.queueLease(c, setArmed, d), t.queueLease(c, setDrops, drops))
	})
}

// queueLease queues that both protocols are in a set for d, or are not.
func (t *Table) queueLease(c *nftables.Conn, name string, d time.Duration) error {
	set := t.limiterRules().lease(name)
	elems := []nftables.SetElement{{Key: []byte{byte(TCP)}}, {Key: []byte{byte(UDP)}}}
	for i := range elems {
		elems[i].Timeout = max(d.Truncate(time.Millisecond), time.Millisecond)
	}

	// The first add is for the delete, which must find something. Packets see the whole transaction
	// at once.
	err := errors.Join(c.SetAddElements(set, elems), c.SetDeleteElements(set, elems))
	if d > 0 {
		err = errors.Join(err, c.SetAddElements(set, elems))
	}
	return err
}

// ChangeKnown adds sources that are not limited, and removes others: of IPv6 the /64 of each address.
// To add one that is there, or to remove one that is not, is no error. The sources stay until they are
// removed. Removals come first. An address in both lists is added. A call is one transaction, so it
// should have some thousand addresses at most.
//
// Errors to branch on: ErrFull (nothing was changed), ErrGone. Without a limiter nothing is done.
func (t *Table) ChangeKnown(ctx context.Context, add, remove []netip.Addr) error {
	return t.changeLimiter(ctx, "change the known sources", func(c *nftables.Conn) error {
		r := t.limiterRules()
		var errs []error
		for _, is6 := range []bool{false, true} {
			set := r.set(setKnown, is6)
			out, in := keysOf(remove, is6), keysOf(add, is6)
			// As for a lease: a delete must find something.
			errs = append(errs, c.SetAddElements(set, out), c.SetDeleteElements(set, out),
				c.SetAddElements(set, in))
		}
		return errors.Join(errs...)
	})
}

// ResetLimiter disarms the limiter, and forgets all sources that are known or measured.
//
// Error to branch on: ErrGone. Without a limiter nothing is done.
func (t *Table) ResetLimiter(ctx context.Context) error {
	return t.changeLimiter(ctx, "reset the limiter", func(c *nftables.Conn) error {
		r := t.limiterRules()
		c.FlushSet(r.lease(setArmed))
		c.FlushSet(r.lease(setDrops))
		for _, name := range []string{setKnown, setMeter, setMeterSYN} {
			c.FlushSet(r.set(name, false))
			c.FlushSet(r.set(name, true))
		}
		return nil
	})
}

// changeLimiter sends a transaction over the limiter's own connection, which makes no ban wait.
func (t *Table) changeLimiter(ctx context.Context, do string, queue func(*nftables.Conn) error) error {
	if t.lease == nil {
		return nil
	}
	if err := t.lock(ctx, &t.leaseMu); err != nil {
		return fmt.Errorf("%s: %w", do, err)
	}
	defer t.leaseMu.Unlock()

	if !t.limits.Limits {
		return nil
	}
	// A queueing error stays in the connection, whose Flush then sends nothing.
	err := errors.Join(queue(t.lease), t.lease.Flush())
	if errors.Is(err, unix.ENFILE) {
		return fmt.Errorf("%s: %w (%w)", do, ErrFull, err)
	}
	return readError(do, err)
}

// keysOf returns the addresses of one family as elements, each once.
func keysOf(addrs []netip.Addr, is6 bool) []nftables.SetElement {
	var keys []netip.Addr
	for _, a := range addrs {
		if a = LimitedPrefix(a).Addr(); a.IsValid() && a.Is6() == is6 {
			keys = append(keys, a)
		}
	}
	slices.SortFunc(keys, netip.Addr.Compare)

	var out []nftables.SetElement
	for _, a := range slices.Compact(keys) {
		out = append(out, nftables.SetElement{Key: a.AsSlice()})
	}
	return out
}

// LimitedPrefix returns the prefix by which the limiter measures an address: the address itself, of
// IPv6 its /64. It is invalid for an invalid address.
func LimitedPrefix(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	prefix, err := addr.Prefix(min(addr.BitLen(), limitedBits))
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
