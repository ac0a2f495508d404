//go:build !unix

package ami

import "net"

// pending reports false: this system cannot look for unread bytes.
func pending(net.Conn) bool { return false }
