package firewall

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// Refusals counts the packets by which a SIP server refused requests (401 and 407), as sent to one
// address. Retransmitted segments of TCP count, too.
type Refusals struct {
	Server  netip.Addr // source of the packets
	To      netip.Addr
	Stream  bool   // over TCP: SIP or WebSocket, without TLS
	Packets uint64 // since the entry began; it ends a minute after its last packet
}

// Refused calls visit with each entry of the sets of refusals. The kernel counts on while they are
// read: an entry may be missing, and come twice, the later time with the higher count. visit must not
// call methods of the table.
//
// Error to branch on: ErrGone. Without a sensor there are no entries.
func (t *Table) Refused(ctx context.Context, visit func(Refusals)) error {
	if t.watch == nil {
		return nil
	}
	if err := t.lock(ctx, &t.refused.mu); err != nil {
		return fmt.Errorf("read refusals: %w", err)
	}
	defer t.refused.mu.Unlock()

	if !t.able().Counts {
		return nil
	}
	for _, set := range []string{setRefused4, setRefused6} {
		if err := t.refused.refusals(t.table.Name, set, visit); err != nil {
			return readError("read refusals", err)
		}
	}
	return nil
}

// refusals reads the elements of one set.
func (d *dumper) refusals(table, set string, visit func(Refusals)) error {
	return d.each(table, set, func(attrs []byte) error {
		r, err := unpackRefusals(attrs)
		if err != nil {
			return fmt.Errorf("set %s: %w", set, err)
		}
		visit(r)
		return nil
	})
}

// unpackRefusals reads an element of a set of refusals.
func unpackRefusals(attrs []byte) (Refusals, error) {
	var r Refusals
	key := attribute(attrs, unix.NFTA_SET_ELEM_KEY, unix.NFTA_DATA_VALUE)
	const padded = 4 // the protocol takes a whole register
	size := (len(key) - padded) / 2
	if size != 4 && size != 16 || len(key) != 2*size+padded {
		return r, fmt.Errorf("element with a key of %d bytes", len(key))
	}

	r.Server, _ = netip.AddrFromSlice(key[:size])
	r.To, _ = netip.AddrFromSlice(key[size : 2*size])
	r.Stream = Protocol(key[2*size]) == TCP
	r.Packets = countedPackets(attrs)
	return r, nil
}

// WatchAnswers has all refusals and successes that go to an address logged, for ten minutes. An
// address that is watched already may end at its old time. It is no error if so many are watched
// that there is no room.
//
// Error to branch on: ErrGone. Without a sensor nothing is done.
func (t *Table) WatchAnswers(ctx context.Context, addr netip.Addr) error {
	if t.watch == nil {
		return nil
	}
	if err := t.lock(ctx, &t.watchMu); err != nil {
		return fmt.Errorf("watch answers: %w", err)
	}
	defer t.watchMu.Unlock()

	addr = addr.Unmap().WithZone("")
	if !t.able().Logs || !addr.IsValid() {
		return nil
	}
	err := t.watch.SetAddElements(watchedSet(t.table, addr.Is6()),
		[]nftables.SetElement{{Key: addr.AsSlice()}})
	if err = errors.Join(err, t.watch.Flush()); errors.Is(err, unix.ENFILE) {
		return nil
	}
	return readError("watch answers", err)
}
