package firewall

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Lock makes the caller the only instance that works on a table, until it closes the lock or ends.
// Call it before Open. The lock is the abstract unix socket @amifend-TABLE: it belongs to the
// network namespace, as the table does, and a crash leaves nothing behind.
//
// Every user can make such a socket. The socket of a process without privileges on the table is
// ignored, as it would otherwise keep amifend from starting. Lock then succeeds without a lock.
//
// Error to branch on: ErrLocked. Its text names the process that holds the lock.
func Lock(table string) (io.Closer, error) { return lockAs(table, os.Geteuid()) }

func lockAs(table string, euid int) (io.Closer, error) {
	name := "@amifend-" + table
	l, err := net.Listen("unix", name)
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		// Anybody can take the name, but only who may work on tables keeps us from starting.
		who := holder(name)
		if who != nil && !mayWork(who, euid) {
			return io.NopCloser(nil), nil
		}

		text := "somebody"
		if who != nil {
			text = fmt.Sprintf("pid %d of uid %d", who.Pid, who.Uid)
		}
		return nil, fmt.Errorf("lock table %s: %w (%s holds the abstract socket %s)", table,
			ErrLocked, text, name)
	case err != nil:
		return nil, fmt.Errorf("lock table %s: %w", table, err)
	}

	return l, nil
}

// holder returns the process that listens on a socket, nil if it is unknown.
func holder(name string) (who *unix.Ucred) {
	c, err := net.Dial("unix", name)
	if err != nil {
		return nil
	}
	defer c.Close()

	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return nil
	}

	_ = raw.Control(func(fd uintptr) { // on failure, nobody is known
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET,
			unix.SO_PEERCRED); err == nil {
			who = cred
		}
	})

	return who
}

// mayWork reports whether a process may work on tables. Those of root and of the caller may. As the
// service has a user of its own, root looks closer at the processes of others; one that cannot be
// looked at may.
func mayWork(who *unix.Ucred, euid int) bool {
	if who.Uid == 0 || int(who.Uid) == euid {
		return true
	}
	if euid != 0 {
		return false
	}

	proc := fmt.Sprintf("/proc/%d/", who.Pid)
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		return true
	}

	_, text, _ := strings.Cut(string(status), "\nCapEff:")
	text, _, _ = strings.Cut(text, "\n")
	if caps, err := strconv.ParseUint(strings.TrimSpace(text), 16, 64); err == nil &&
		caps&(1<<unix.CAP_NET_ADMIN) == 0 {
		return false
	}

	ours, err := os.Readlink("/proc/self/ns/user")

	// in their own user namespace all processes have all capabilities, but not on our tables
	theirs, err2 := os.Readlink(proc + "ns/user")
	return err != nil || err2 != nil || ours == theirs
}
