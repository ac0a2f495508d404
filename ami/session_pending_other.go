//go:build !unix

package ami

import "net"

// pending cannot tell whether bytes have arrived.
func pending(net.Conn) bool { return false }
