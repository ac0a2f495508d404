package firewall

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	// socketBuffer bounds one transaction: about 90,000 allowlisted prefixes. Without the privilege
	// for that much the kernel gives net.core.wmem_max, enough for a batch of bans.
	socketBuffer = 8 << 20
	// dumpChunk is more than the kernel puts into one message of a dump: netlink_recvmsg caps it at
	// 32 KiB.
	dumpChunk = 64 << 10
)

// dial opens a lasting connection. It must last: the library panics on a descriptor of 1024 or more
// (it uses select), so a busy daemon could not open one later.
func dial(netns int) (*nftables.Conn, error) {
	c, err := nftables.New(nftables.AsLasting(), nftables.WithNetNSFd(netns),
		nftables.WithSockOptions(prepare))
	if err != nil {
		return nil, kernelError("open netlink connection", err)
	}
	return c, nil
}

// prepare closes the connection if it fails, as the library does not.
func prepare(c *netlink.Conn) error {
	if err := errors.Join(checkDescriptor(c), setBuffers(c), primeDumps(c)); err != nil {
		return errors.Join(err, c.Close())
	}
	return nil
}

func checkDescriptor(c *netlink.Conn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return fmt.Errorf("get descriptor: %w", err)
	}

	var tooHigh error
	err = raw.Control(func(fd uintptr) {
		if fd >= unix.FD_SETSIZE {
			tooHigh = fmt.Errorf("descriptor %d: open the firewall before other files", fd)
		}
	})

	return errors.Join(err, tooHigh)
}

func setBuffers(c *netlink.Conn) error {
	if err := c.SetReadBuffer(socketBuffer); err != nil {
		return fmt.Errorf("set read buffer: %w", err)
	}
	if err := c.SetWriteBuffer(socketBuffer); err != nil {
		return fmt.Errorf("set write buffer: %w", err)
	}
	return nil
}

// primeDumps receives one answer with a large buffer. The kernel sizes the messages of a dump by
// the largest buffer it has seen on the socket, and walks a hash set from its start for each
// message: 100,000 elements take 0.4 s with large ones, 3.7 s with small ones.
func primeDumps(c *netlink.Conn) error {
	getGen := netlink.Message{
		Header: netlink.Header{
			Type:  unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETGEN,
			Flags: netlink.Request,
		},
		Data: []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0},
	}
	if _, err := c.Send(getGen); err != nil {
		return fmt.Errorf("ask for the generation: %w", err)
	}

	raw, err := c.SyscallConn()
	if err != nil {
		return fmt.Errorf("prime dumps: %w", err)
	}

	var answer []byte
	var recvErr error
	err = raw.Read(func(fd uintptr) bool {
		buf := make([]byte, dumpChunk)
		n, _, err := unix.Recvfrom(int(fd), buf, 0)
		if err == unix.EAGAIN || err == unix.EINTR {
			return false
		}
		answer, recvErr = buf[:max(n, 0)], err
		return true
	})
	if err == nil {
		err = recvErr
	}

	if err != nil {
		return fmt.Errorf("prime dumps: %w", err)
	}
	return answerError(answer)
}

// answerError returns the error that a netlink answer carries. A missing privilege or a missing
// nftables shows here first.
func answerError(answer []byte) error {
	var m netlink.Message
	if err := m.UnmarshalBinary(answer); err != nil {
		return fmt.Errorf("prime dumps: %w", err)
	}
	if m.Header.Type != netlink.Error || len(m.Data) < 4 {
		return nil
	}

	errno := unix.Errno(-int32(binary.NativeEndian.Uint32(m.Data)))
	if errno == unix.EINVAL { // nfnetlink knows no such subsystem
		errno = unix.EOPNOTSUPP
	}
	return errno
}
