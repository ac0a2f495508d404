package firewall

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// The protocol of nfnetlink_log (linux/netfilter/nfnetlink_log.h).
const (
	logSubsystem = 4

	logPacket = 0
	logConfig = 1

	logCommand     = 1 // attribute of a config message
	logMode        = 2
	logFlags       = 6
	logNumbered    = 1 // a flag
	logBind        = 1 // a command
	logCopyPacket  = 2 // a mode
	logPayload     = 9 // attribute of a packet
	logSequence    = 12
	logMessageSize = 64 << 10
)

// ErrGroupTaken is the error of an NFLOG group that another program has, or that the process may not
// have: the kernel answers the same.
var ErrGroupTaken = errors.New("the NFLOG group is taken by another program, or CAP_NET_ADMIN is " +
	"missing: choose another group")

// AnswerLog receives the answers that a [Sensor] has logged.
type AnswerLog struct {
	conn *netlink.Conn
	buf  []byte
	lost atomic.Uint64
}

// OpenAnswers takes an NFLOG group, in the network namespace of a descriptor; 0: that of the calling
// thread. A group has one receiver.
//
// Errors to branch on: ErrGroupTaken, ErrUnsupported.
func OpenAnswers(netns int, group uint16) (*AnswerLog, error) {
	if group == 0 {
		group = DefaultGroup
	}
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: netns})
	if err != nil {
		return nil, kernelError("open NFLOG", err)
	}

	l := &AnswerLog{conn: c, buf: make([]byte, logMessageSize)}
	if err := bindLog(c, group, loggedBytes, false); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return l, nil
}

// bindLog takes an NFLOG group that hands over so many bytes of a packet, with sequence numbers if
// they are numbered.
func bindLog(c *netlink.Conn, group uint16, size uint32, numbered bool) error {
	mode := append(binary.BigEndian.AppendUint32(nil, size), logCopyPacket, 0)
	settings := []netlink.Attribute{
		{Type: logCommand, Data: []byte{logBind}}, {Type: logMode, Data: mode},
	}
	if numbered {
		settings = append(settings, netlink.Attribute{
			Type: logFlags, Data: binary.BigEndian.AppendUint16(nil, logNumbered),
		})
	}

	for _, a := range settings {
		attrs, err := netlink.MarshalAttributes([]netlink.Attribute{a})
		if err != nil {
			return fmt.Errorf("take NFLOG group %d: %w", group, err)
		}

		header := binary.BigEndian.AppendUint16([]byte{unix.AF_UNSPEC, unix.NFNETLINK_V0}, group)
		_, err = c.Execute(netlink.Message{
			Header: netlink.Header{
				Type:  logSubsystem<<8 | logConfig,
				Flags: netlink.Request | netlink.Acknowledge,
			},
			Data: append(header, attrs...),
		})
		switch {
		case errors.Is(err, unix.EPERM), errors.Is(err, unix.EBUSY):
			return fmt.Errorf("take NFLOG group %d: %w (%w)", group, ErrGroupTaken, err)
		case errors.Is(err, unix.EINVAL): // nfnetlink knows no such subsystem
			return fmt.Errorf("take NFLOG group %d: load the module nfnetlink_log: %w (%w)", group,
				ErrUnsupported, err)
		case err != nil:
			return kernelError(fmt.Sprintf("take NFLOG group %d", group), err)
		}
	}
	return nil
}

// Run calls visit with each answer until ctx ends, then returns nil. The answer is valid until visit
// returns. Packets that are no answers, as [ParseAnswer] reads them, are left out. It runs once.
func (l *AnswerLog) Run(ctx context.Context, visit func(*Answer)) error {
	stop := context.AfterFunc(ctx, func() { _ = l.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()

	for ctx.Err() == nil {
		b, err := receive(l.conn, l.buf)
		switch {
		case ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case errors.Is(err, unix.ENOBUFS): // the kernel had more than we read
			l.lost.Add(1)
			continue
		case err != nil:
			return fmt.Errorf("read NFLOG: %w", err)
		}

		for h, data := range messages(b) {
			const nfgenmsg = 4
			if h.Type != logSubsystem<<8|logPacket || len(data) < nfgenmsg {
				continue
			}
			if a, ok := ParseAnswer(attribute(data[nfgenmsg:], logPayload)); ok {
				visit(&a)
			}
		}
	}
	return nil
}

// Lost returns how often answers were lost because they were not read in time. It may be called from
// any goroutine.
func (l *AnswerLog) Lost() uint64 { return l.lost.Load() }

// Close gives the group back.
func (l *AnswerLog) Close() error { return l.conn.Close() }
