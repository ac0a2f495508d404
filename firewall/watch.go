package firewall

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// dialMonitor subscribes to the ruleset's changes, from the start, so that none between Open and
// Watch is lost. It is a plain netlink socket: the library's monitor would decode every element and
// rule of every table on the machine, ours first of all.
//
// A socket filter drops the changes of the sockets with the given ports in the kernel, so that our
// own bans never fill the buffer.
func dialMonitor(netns int, own []uint32) (*netlink.Conn, error) {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: netns})
	if err != nil {
		return nil, kernelError("open netlink monitor", err)
	}

	// The filter must be there before the group is joined, or our own changes come through.
	filter, err := bpf.Assemble(notFrom(own))
	if err == nil {
		err = c.SetBPF(filter)
	}
	if err == nil {
		err = c.SetReadBuffer(socketBuffer)
	}
	if err == nil {
		err = c.JoinGroup(unix.NFNLGRP_NFTABLES)
	}
	if err != nil {
		return nil, errors.Join(kernelError("open netlink monitor", err), c.Close())
	}

	return c, nil
}

// notFrom returns a filter by the port in the first netlink header of a datagram. The kernel puts
// several messages into one datagram only if they are of one transaction, thus of one port.
func notFrom(ports []uint32) []bpf.Instruction {
	const portOffset, everything = 12, 1 << 18 // struct nlmsghdr
	prog := []bpf.Instruction{bpf.LoadAbsolute{Off: portOffset, Size: 4}}
	for i, p := range ports {
		var b [4]byte
		binary.NativeEndian.PutUint32(b[:], p)
		prog = append(prog, bpf.JumpIf{
			Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(b[:]),
			SkipTrue: uint8(len(ports) - i),
		})
	}

	return append(prog, bpf.RetConstant{Val: everything}, bpf.RetConstant{Val: 0})
}

// Watch calls damaged whenever the table may have been changed by somebody else: `nft flush
// ruleset`, `nft delete table`, `nft flush set`, but also a single element added or deleted by
// hand. It calls once for each foreign transaction, from its own goroutine: damaged should only
// wake the goroutine that then calls Ensure and applies all bans again. Our own changes, and
// elements that expire, cause no call.
//
// Changes since Open count. Watch returns when ctx ends (nil), or on an error of the kernel. One
// Watch at a time.
func (t *Table) Watch(ctx context.Context, damaged func()) error {
	stop := context.AfterFunc(ctx, func() { _ = t.monitor.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()

	var lastGen uint32
	nextPoll := t.now()
	for {
		if !t.now().Before(nextPoll) {
			nextPoll = t.now().Add(t.poll)
			bad, err := t.pollDamage(ctx, &lastGen)
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return fmt.Errorf("watch table: %w", err)
			}

			if bad {
				damaged()
			}
		}

		if err := t.monitor.SetReadDeadline(nextPoll); err != nil {
			return fmt.Errorf("watch table: %w", err)
		}
		if ctx.Err() != nil { // AfterFunc may have set its deadline before ours
			return nil
		}

		msgs, err := t.monitor.Receive()
		switch {
		case err != nil && t.closed.Load():
			return fmt.Errorf("watch table: %w", ErrClosed)
		case errors.Is(err, os.ErrDeadlineExceeded):
		case errors.Is(err, unix.ENOBUFS): // messages were lost, perhaps one about our table
			damaged()
		case err != nil:
			return fmt.Errorf("watch table: %w", err)
		case t.anyOurs(msgs):
			damaged()
		}
	}
}

// anyOurs reports whether one of the messages is about our table. All kinds of them carry the
// table's name in attribute 1 (NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE,
// NFTA_SET_ELEM_LIST_TABLE, NFTA_OBJ_TABLE).
func (t *Table) anyOurs(msgs []netlink.Message) bool {
	const nfgenmsgLen, tableName = 4, 1
	for _, m := range msgs {
		kind := m.Header.Type & 0xff
		if m.Header.Type>>8 != unix.NFNL_SUBSYS_NFTABLES || kind == unix.NFT_MSG_NEWGEN ||
			len(m.Data) < nfgenmsgLen || m.Data[0] != unix.NFPROTO_INET {
			continue
		}

		ad, err := netlink.NewAttributeDecoder(m.Data[nfgenmsgLen:])
		if err != nil {
			continue
		}

		for ad.Next() {
			if ad.Type() == tableName && ad.String() == t.table.Name {
				return true
			}
		}
	}

	return false
}

// pollDamage compares the ruleset's generation with the last one seen, and looks at the layout if
// it changed. The first time it always looks.
func (t *Table) pollDamage(ctx context.Context, last *uint32) (bool, error) {
	if err := t.lockRead(ctx); err != nil {
		return false, err
	}
	defer t.readMu.Unlock()

	gen, err := t.read.GetGen()
	if err != nil {
		return false, kernelError("get generation", err)
	}
	if gen.ID == *last {
		return false, nil
	}

	// A transaction between the two looks changes the generation again, so the next poll looks.
	ok, err := t.complete(t.read)
	if err != nil {
		return false, err
	}
	*last = gen.ID
	return !ok, nil
}
