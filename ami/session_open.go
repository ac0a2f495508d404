package ami

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// bannerStart is the text of the banner before the version (main/manager.c, session_do).
const bannerStart = "Asterisk Call Manager/"

// tlsProbeTime bounds the test of a silent port for TLS.
const tlsProbeTime = 3 * time.Second

// opened is a connection whose banner was AMI's.
type opened struct {
	conn    net.Conn
	version string
	rest    []byte // read together with the banner
	tls     TLSStatus
}

// dial connects, speaks TLS if tlsConfig is not nil, and reads the banner. Errors are *Error.
func dial(ctx context.Context, config *Config, tlsConfig *tls.Config) (_ opened, err error) {
	raw, err := connect(ctx, config)
	if err != nil {
		return opened{}, err
	}

	// Reading the banner takes no context: closing the connection ends it.
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()

	// From here on the connection is closed on every error.
	o := opened{conn: raw}
	defer func() {
		if err != nil {
			_ = raw.Close()
		}
	}()

	if tlsConfig != nil {
		handshake, cancel := context.WithTimeout(ctx, config.Timeouts.Connect)
		defer cancel()
		if o.conn, o.tls, err = secure(handshake, raw, tlsConfig, config.TLS); err != nil {
			return opened{}, err
		}
	}

	if err := o.conn.SetReadDeadline(time.Now().Add(config.Timeouts.Connect)); err != nil {
		return opened{}, &Error{ProblemUnknown, "set read deadline", err}
	}

	// A TLS port sends nothing to a client that speaks plain AMI, and neither does a hung Asterisk.
	// Test which of them it is, because the advice differs.
	o.version, o.rest, err = readBanner(o.conn)
	if ProblemOf(err) == ProblemNoBanner && tlsConfig == nil && isTLSPort(ctx, config) {
		err = &Error{
			ProblemTLSRequired, "read banner",
			errors.New("no banner, but a TLS handshake is answered"),
		}
	}

	return o, err
}

// connect opens the TCP connection.
func connect(ctx context.Context, config *Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, config.Timeouts.Connect)
	defer cancel()
	conn, err := config.Dial(ctx, "tcp", config.Address)
	if err != nil {
		return nil, &Error{dialProblem(err), "connect " + config.Address, dialCause(err)}
	}
	return conn, nil
}

// dialCause returns an error of net.Dialer without the operation and the address, which would be
// told twice.
func dialCause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		err = op.Err
	}
	if call, ok := errors.AsType[*os.SyscallError](err); ok && call.Syscall == "connect" {
		err = call.Err
	}
	return err
}

// readBanner reads the first line. It returns the version, and the bytes after the line.
func readBanner(conn net.Conn) (version string, rest []byte, err error) {
	buffer := make([]byte, maxBanner)
	length := 0
	for length < len(buffer) {
		n, err := conn.Read(buffer[length:])
		length += n
		seen := buffer[:length]

		// The bytes after the banner belong to the decoder.
		if line, after, whole := bytes.Cut(seen, []byte("\r\n")); whole {
			version, found := strings.CutPrefix(string(line), bannerStart)
			if !found || !isVersion(version) {
				return "", nil, notAMI(line)
			}
			return version, after, nil
		}

		if err != nil {
			return "", nil, bannerError(seen, err)
		}
	}

	return "", nil, notAMI(buffer)
}

// isVersion reports whether text is a version as Asterisk writes it, such as 11.0.0: digits and
// dots, so that it can be printed as it is.
func isVersion(text string) bool {
	return text != "" && len(text) <= 32 && strings.Trim(text, "0123456789.") == ""
}

// bannerError names the problem of a connection that ended, or fell silent, before the banner was
// whole.
func bannerError(seen []byte, err error) error {
	const op = "read banner"

	// The server sent a TLS alert, such as "certificate required".
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return &Error{ProblemTLSHandshake, "TLS handshake", err}
	}

	switch {
	case len(seen) > 0:
		return notAMI(seen)
	case isTimeout(err):
		return &Error{ProblemNoBanner, op, err}
	case isClosed(err):
		return &Error{ProblemLockedOut, op, err}
	}

	return &Error{ProblemUnknown, op, err}
}

// notAMI returns the error of a server whose first bytes are not those of AMI. A TLS record (alert
// or handshake, version 3.x) comes from a TLS server to which we spoke plain text.
func notAMI(seen []byte) error {
	if len(seen) >= 2 && (seen[0] == 0x15 || seen[0] == 0x16) && seen[1] == 3 {
		return &Error{
			ProblemTLSRequired, "read banner",
			errors.New("the server answered with a TLS record"),
		}
	}
	return &Error{ProblemNotAMI, "read banner", fmt.Errorf("the server says %s", Quote(seen))}
}

// isTLSPort reports whether the server speaks TLS. It opens another connection and sends a TLS
// greeting only.
func isTLSPort(ctx context.Context, config *Config) bool {
	ctx, cancel := context.WithTimeout(ctx, tlsProbeTime)
	defer cancel()
	conn, err := config.Dial(ctx, "tcp", config.Address)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	return speaksTLS(ctx, conn)
}
