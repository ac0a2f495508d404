package firewall

import (
	"errors"
	"fmt"
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// Lock makes the caller the only instance that works on a table, until it closes what is returned or ends. The lock is the abstract
// unix socket @amifend-TABLE: it belongs to the network namespace, as the table does, and a crash leaves nothing behind.
//
// Error to branch on: ErrLocked, which says who holds it.
func Lock(table string) (io.Closer, error) {
	name := "@amifend-" + table
	l, err := net.Listen("unix", name)
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return nil, fmt.Errorf("lock table %s: %w (%sholds the abstract socket %s)", table, ErrLocked, holder(name), name)
	case err != nil:
		return nil, fmt.Errorf("lock table %s: %w", table, err)
	}
	return l, nil
}

// holder names the process that listens on a socket, as far as the kernel tells.
func holder(name string) string {
	c, err := net.Dial("unix", name)
	if err != nil {
		return "somebody "
	}
	defer c.Close()
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return "somebody "
	}
	who := "somebody "
	_ = raw.Control(func(fd uintptr) { // on failure, somebody
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			who = fmt.Sprintf("pid %d of uid %d ", cred.Pid, cred.Uid)
		}
	})
	return who
}
