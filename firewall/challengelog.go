package firewall

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// A ChallengeVisitor gets what a [ChallengeLog] reads. One call at a time is made.
type ChallengeVisitor interface {
	// Challenge gets a refusal with its number: without a gap, the next one has the next number. It is
	// valid until the call returns.
	Challenge(number uint32, c *Challenge)

	// Lost reports that the kernel had more than was read. The numbers show how many.
	Lost()

	// Changed reports that somebody may have taken the rules away for a moment, or that they were laid
	// out. Numbers do not show that.
	Changed()

	// Drained reports that everything that left before was read.
	Drained()
}

// ChallengeLog receives every refusal over UDP that leaves the machine, in order.
type ChallengeLog struct {
	table   *Table
	conn    *netlink.Conn
	monitor *netlink.Conn // of changes of the ruleset
	visitor ChallengeVisitor

	mu      sync.Mutex // held while the visitor is called
	buf     []byte
	layouts uint64 // of the table, as of the last look
}

// OpenChallenges takes the NFLOG group of refusals: see [ChallengeGroup]. The table must have a sensor
// that logs.
//
// Errors to branch on: ErrGroupTaken, ErrUnsupported.
func (t *Table) OpenChallenges(v ChallengeVisitor) (*ChallengeLog, error) {
	l := &ChallengeLog{table: t, visitor: v, buf: make([]byte, logMessageSize), layouts: t.layouts.Load()}
	own, err := t.ownPorts()
	if err != nil {
		return nil, err
	}

	// Changes of the rules are watched before anything is read.
	if l.monitor, err = dialMonitor(t.netns, own); err != nil {
		return nil, err
	}
	l.conn, err = netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: t.netns})
	if err != nil {
		return nil, errors.Join(kernelError("open NFLOG", err), l.monitor.Close())
	}
	err = l.conn.SetReadBuffer(socketBuffer)
	if err == nil {
		err = bindLog(l.conn, ChallengeGroup(t.group), challengeBytes, true)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Close gives the group back.
func (l *ChallengeLog) Close() error { return errors.Join(l.conn.Close(), l.monitor.Close()) }

// Run reads refusals as they come, until ctx ends. It runs once.
func (l *ChallengeLog) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = l.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	raw, err := l.conn.SyscallConn()
	if err != nil {
		return err
	}

	var failed error
	err = raw.Read(func(uintptr) bool {
		failed = l.Drain(nil)
		return failed != nil || ctx.Err() != nil
	})
	switch {
	case ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	case failed != nil:
		return fmt.Errorf("read NFLOG: %w", failed)
	}
	return err
}

// Drain reads all that has left until now, then calls f, nil for nothing, before anything else is
// read. Others may call it while Run runs.
func (l *ChallengeLog) Drain(f func()) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.changes(); err != nil {
		return err
	}

	raw, err := l.conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = l.read(int(fd)) })
	if err = errors.Join(err, failed); err != nil {
		return err
	}

	l.visitor.Drained()
	if f != nil {
		f()
	}
	return nil
}

// read reads what the group has.
func (l *ChallengeLog) read(fd int) error {
	for {
		n, _, err := unix.Recvfrom(fd, l.buf, unix.MSG_DONTWAIT)
		switch {
		case err == unix.EAGAIN:
			return nil
		case err == unix.EINTR:
			continue
		case err == unix.ENOBUFS:
			l.visitor.Lost()
			continue
		case err != nil:
			return err
		}

		for h, data := range messages(l.buf[:n]) {
			const nfgenmsg = 4
			if h.Type != logSubsystem<<8|logPacket || len(data) < nfgenmsg {
				continue
			}
			l.packet(data[nfgenmsg:])
		}
	}
}

// packet hands a logged packet over.
func (l *ChallengeLog) packet(attrs []byte) {
	number := attribute(attrs, logSequence)
	if len(number) != 4 {
		l.visitor.Changed() // the group does not count yet
		return
	}
	c := ParseChallenge(attribute(attrs, logPayload))
	l.visitor.Challenge(binary.BigEndian.Uint32(number), &c)
}

// changes looks whether the rules were changed. Our own changes of elements are no reason, but the
// rules were not there before they were laid out.
func (l *ChallengeLog) changes() error {
	raw, err := l.monitor.SyscallConn()
	if err != nil {
		return err
	}

	changed := false
	var failed error
	err = raw.Control(func(fd uintptr) {
		for failed == nil {
			n, _, err := unix.Recvfrom(int(fd), l.buf, unix.MSG_DONTWAIT)
			switch {
			case err == unix.EAGAIN:
				return
			case err == unix.EINTR:
			case err == unix.ENOBUFS:
				changed = true
			case err != nil:
				failed = err
			default:
				changed = changed || l.table.isOurs(l.buf[:n])
			}
		}
	})
	if now := l.table.layouts.Load(); now != l.layouts {
		l.layouts, changed = now, true
	}
	if changed {
		l.visitor.Changed()
	}
	return errors.Join(err, failed)
}

// isOurs reports whether a datagram of the monitor tells of a change of our table, or may.
func (t *Table) isOurs(b []byte) bool {
	if len(b) == logMessageSize {
		return true // it was cut
	}
	for h, data := range messages(b) {
		const nfgenmsg, tableName = 4, 1
		if h.Type>>8 != unix.NFNL_SUBSYS_NFTABLES || h.Type&0xff == unix.NFT_MSG_NEWGEN ||
			len(data) < nfgenmsg || data[0] != unix.NFPROTO_INET {
			continue
		}
		if string(attribute(data[nfgenmsg:], tableName)) == t.table.Name+"\x00" {
			return true
		}
	}
	return false
}
