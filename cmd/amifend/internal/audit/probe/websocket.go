package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
)

// webConn is a WebSocket as a connection, with the addresses of the connection below.
type webConn struct {
	net.Conn
	raw net.Conn
}

// LocalAddr returns the address of the socket.
func (c webConn) LocalAddr() net.Addr { return c.raw.LocalAddr() }

// dialWeb opens the connection below a WebSocket.
func dialWeb(
	ctx context.Context, addr string, tr transport, config *tls.Config,
) (net.Conn, error) {
	if tr.secure {
		d := tls.Dialer{Config: config}
		return d.DialContext(ctx, "tcp", addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}

// oneConnection returns a client that uses a connection which is open already. The connection may
// speak TLS.
func oneConnection(conn net.Conn) *http.Client {
	var used atomic.Bool
	dial := func(context.Context, string, string) (net.Conn, error) {
		if used.Swap(true) {
			return nil, errors.New("the connection is used")
		}
		return conn, nil
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial, DialTLSContext: dial}}
}
