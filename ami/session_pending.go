//go:build unix

package ami

import (
	"net"
	"syscall"
)

// pending reports whether unread bytes of conn have arrived, whatever its deadline. It is false for
// a connection that is not a socket, such as a pipe.
func pending(conn net.Conn) bool {
	if wrapped, ok := conn.(interface{ NetConn() net.Conn }); ok { // TLS
		conn = wrapped.NetConn()
	}
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}

	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	n := 0

	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, _ = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK) // sockets of Go do not block
	})
	return err == nil && n > 0
}
