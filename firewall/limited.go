package firewall

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Limited is a source that sent more than the limiter allows, in the last ten minutes.
type Limited struct {
	Source  netip.Prefix // /32 or /64
	Dropped bool         // its packets were dropped; else they passed, and were only counted
	Packets uint64       // beyond the limit, since the entry began
	Quiet   time.Duration
}

// LimiterCounts counts packets beyond the limits, since the counters were made.
type LimiterCounts struct {
	Dropped uint64 // of sources beyond their limit
	Passed  uint64 // the same, but only counted

	// of sources that were not measured yet, when these together were beyond their limit
	StrangersDropped, StrangersPassed uint64
}

// Limited calls visit with each source that sent more than the limiter allows, of late. A source can
// come twice: with what was dropped, and with what was only counted. visit must not call methods of
// the table.
//
// Error to branch on: ErrGone. Without a limiter there are none.
func (t *Table) Limited(ctx context.Context, visit func(Limited)) error {
	if t.lease == nil || !t.limits.Limits {
		return nil
	}
	if err := t.lock(ctx, &t.limited.mu); err != nil {
		return fmt.Errorf("read who is limited: %w", err)
	}
	defer t.limited.mu.Unlock()

	for _, set := range []string{setLimited, setOver} {
		for _, is6 := range []bool{false, true} {
			err := t.limited.limited(t.table.Name, nameOf(set, is6), func(l Limited) {
				l.Dropped = set == setLimited
				visit(l)
			})
			if err != nil {
				return readError("read who is limited", err)
			}
		}
	}
	return nil
}

// LimitedOf returns how the source of an address is limited: with what was dropped, and with what was
// only counted; none if it kept to the limit of late.
//
// Error to branch on: ErrGone. Without a limiter there is none.
func (t *Table) LimitedOf(ctx context.Context, addr netip.Addr) (out []Limited, err error) {
	source := LimitedPrefix(addr)
	if !t.limits.Limits || !source.IsValid() {
		return nil, nil
	}
	if err := t.lockRead(ctx); err != nil {
		return nil, fmt.Errorf("read who is limited: %w", err)
	}
	defer t.readMu.Unlock()

	for _, name := range []string{setLimited, setOver} {
		set := t.limiterRules().set(name, source.Addr().Is6())
		e, found, err := find(t.read, set, source.Addr())
		if err != nil {
			return nil, readError("read who is limited", err)
		}
		if !found {
			continue
		}
		l := Limited{
			Source: source, Dropped: name == setLimited, Quiet: max(limitedTime-e.Expires, 0),
		}
		if e.Counter != nil {
			l.Packets = e.Counter.Packets
		}
		out = append(out, l)
	}
	return out, nil
}

// limited reads the elements of one set.
func (d *dumper) limited(table, set string, visit func(Limited)) error {
	return d.each(table, set, func(attrs []byte) error {
		key := attribute(attrs, unix.NFTA_SET_ELEM_KEY, unix.NFTA_DATA_VALUE)
		addr, ok := netip.AddrFromSlice(key)
		if !ok {
			return fmt.Errorf("set %s: element with a key of %d bytes", set, len(key))
		}

		left := number(attribute(attrs, unix.NFTA_SET_ELEM_EXPIRATION)) // ms
		visit(Limited{
			Source:  LimitedPrefix(addr),
			Packets: countedPackets(attrs),
			Quiet:   max(limitedTime-time.Duration(left)*time.Millisecond, 0),
		})
		return nil
	})
}

// LimiterCounts reads the counters of the limiter.
//
// Error to branch on: ErrGone. Without a limiter they are zero.
func (t *Table) LimiterCounts(ctx context.Context) (out LimiterCounts, err error) {
	if !t.limits.Limits {
		return out, nil
	}
	if err := t.lockRead(ctx); err != nil {
		return out, fmt.Errorf("read the counters of the limiter: %w", err)
	}
	defer t.readMu.Unlock()

	for name, n := range map[string]*uint64{
		counterLimited: &out.Dropped, counterOver: &out.Passed,
		counterStrangers: &out.StrangersDropped, counterStrangersPassed: &out.StrangersPassed,
	} {
		counter, err := t.readCounter(name, "read the counter "+name)
		if err != nil {
			return out, err
		}
		*n = counter.Packets
	}
	return out, nil
}
