package ami

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// Problem is what keeps a session from working, as a closed list: each has a name and one line of
// advice for the administrator of the PBX.
type Problem uint8

// The problems. Their order is no API; their names (String) are.
const (
	ProblemNone Problem = iota

	// On the way to the PBX.
	ProblemUnresolved  // the name of the server has no address
	ProblemRefused     // nothing listens on the port
	ProblemUnreachable // no answer to the connection attempt, or no route

	// Before the login.
	ProblemLockedOut    // closed before the banner: Asterisk's authlimit is used up
	ProblemNoBanner     // connected, but the server says nothing
	ProblemNotAMI       // the banner of something else
	ProblemTLSRequired  // we spoke plain text to a TLS port
	ProblemTLSNotSpoken // we spoke TLS to a plain port
	ProblemTLSHandshake // both speak TLS and cannot agree
	ProblemUnknownCA    // the certificate is signed by nobody we trust
	ProblemNameMismatch // the certificate is for another name
	ProblemCertificate  // the certificate is expired or otherwise invalid
	ProblemFingerprint  // the certificate is not the pinned one

	// At the login.
	// wrong secret, unknown user or the user's ACL: Asterisk does not say which
	ProblemAuthFailed
	ProblemPlainForbidden // no MD5 challenge, and plain Login would show the secret to the network
	ProblemLoginInUse     // allowmultiplelogin = no, and the user is logged in already
	ProblemLoginTimeout   // the login was not answered in time
	ProblemShuttingDown   // Asterisk answers that it is shutting down
	ProblemNoSecurity     // logged in, but the user may not read security events
	ProblemStrangeEvents  // logged in, but what arrives is nothing that a known Asterisk writes

	// After the login.
	ProblemSilent  // a Ping was not answered
	ProblemTooSlow // cut off inside the stream: we did not read fast enough
	ProblemLost    // the PBX closed the connection: stopped, restarted or crashed
	ProblemUnknown // none of the others; see the error
)

// description is the name of a problem and the one line of what to do.
type description struct{ name, advice string }

// describe is the one place that names the problems and says what to do about each.
func (p Problem) describe() description {
	switch p {
	case ProblemNone:
		return description{"none", ""}
	case ProblemUnresolved:
		return description{
			"unresolved",
			"check the host name in `address`, and the DNS of this machine",
		}

	case ProblemRefused:
		return description{
			"refused",
			"is Asterisk running, with enabled = yes, bindaddr and port of manager.conf as in `address`? look with: ss -ltnp | grep asterisk",
		}

	case ProblemUnreachable:
		return description{
			"unreachable",
			"no answer: check `address`, the route, and that the PBX's firewall accepts this machine on the AMI port",
		}

	case ProblemLockedOut:
		return description{
			"locked out",
			"too many connections that did not log in: close the AMI port to strangers with a firewall, then raise authlimit in manager.conf",
		}

	case ProblemNoBanner:
		return description{
			"no banner",
			"connected, but no AMI answers: is it the AMI port (5038, or 5039 for TLS)? is Asterisk hung? try: asterisk -rx 'manager show settings'",
		}

	case ProblemNotAMI:
		return description{
			"not AMI",
			"another service answers there: set `address` to the AMI port of manager.conf (5038, or 5039 for TLS)",
		}

	case ProblemTLSRequired:
		return description{
			"TLS required",
			"that port speaks TLS: add a [server.tls] section, or use the plain port (5038) of manager.conf",
		}

	case ProblemTLSNotSpoken:
		return description{
			"TLS not spoken",
			"that port speaks plain AMI: use tlsbindaddr's port (5039) of manager.conf, or remove [server.tls]",
		}

	case ProblemTLSHandshake:
		return description{
			"TLS handshake failed",
			"the PBX and amifend share no TLS version or cipher: amifend needs TLS 1.2 or newer",
		}

	case ProblemUnknownCA:
		return description{
			"unknown CA",
			"set ca_file in [server.tls] to the CA's certificate, or pin the certificate: fingerprint = the SHA-256 shown, once you compared it on the PBX",
		}

	case ProblemNameMismatch:
		return description{
			"certificate name mismatch",
			"set server_name in [server.tls] to a name in the certificate's subjectAltName, or pin it: fingerprint = the SHA-256 shown, once you compared it on the PBX",
		}

	case ProblemCertificate:
		return description{
			"certificate invalid",
			"renew the PBX's certificate (tlscertfile in manager.conf), and check the clocks of both machines",
		}

	case ProblemFingerprint:
		return description{
			"fingerprint mismatch",
			"if the PBX has a new certificate, set fingerprint to the SHA-256 shown, after comparing: openssl x509 -fingerprint -sha256 -noout -in CERT; if not, someone is in between",
		}

	case ProblemAuthFailed:
		return description{
			"login refused",
			"check username, secret and the permit/deny lines of that user in manager.conf; Asterisk's log tells which; then: asterisk -rx 'manager reload'",
		}

	case ProblemPlainForbidden:
		return description{
			"plain login forbidden",
			"the PBX does not do the MD5 challenge and the connection is not verified TLS: use [server.tls], so that the secret is not shown to the network",
		}

	case ProblemLoginInUse:
		return description{
			"login in use",
			"give amifend a manager user of its own, or set allowmultiplelogin = yes in manager.conf",
		}

	case ProblemLoginTimeout:
		return description{
			"login not answered",
			"Asterisk accepted the connection but does not answer: look at its load and log",
		}

	case ProblemShuttingDown:
		return description{
			"shutting down",
			"nothing to do if you stopped or restarted Asterisk: amifend comes back by itself",
		}

	case ProblemNoSecurity:
		return description{
			"no security events",
			"set read = security for that user in manager.conf, remove any eventfilter that hides SuccessfulAuth, then: asterisk -rx 'manager reload'",
		}

	case ProblemStrangeEvents:
		return description{
			"strange events",
			"if this Asterisk is newer than amifend, update amifend; if it is not, something between them changes its events",
		}

	case ProblemSilent:
		return description{
			"silent",
			"the PBX stopped answering: look at its load, and at a firewall or NAT that forgets idle connections",
		}

	case ProblemTooSlow:
		return description{
			"cut off, too slow",
			"Asterisk closed the stream because it was not read fast enough: look at this machine's load; events were lost",
		}

	case ProblemLost:
		return description{
			"connection closed",
			"nothing to do if Asterisk was restarted: amifend comes back by itself; else look at Asterisk's log",
		}
	default:
		return description{"unknown", "see the error"}
	}
}

// String returns the problem's name, such as "refused".
func (p Problem) String() string { return p.describe().name }

// Advice returns one line of what a Linux administrator can do about it, "" for ProblemNone.
func (p Problem) Advice() string { return p.describe().advice }

// MarshalText returns the problem's name, so that JSON and slog show it.
func (p Problem) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Error is why a session was not made or was lost. Its text never holds the secret, nor the key
// made from it; what the other side sent is printed by [Quote].
type Error struct {
	Problem Problem
	Op      string // what was done, such as "connect 192.0.2.10:5038"
	Err     error  // the cause, never nil
}

// Error returns "op: cause".
func (e *Error) Error() string { return e.Op + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ProblemOf returns the problem that err carries: ProblemNone for nil, ProblemUnknown for an error
// of another origin.
func ProblemOf(err error) Problem {
	if err == nil {
		return ProblemNone
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Problem
	}
	return ProblemUnknown
}

// dialProblem names the problem in an error of net.Dialer.
func dialProblem(err error) Problem {
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return ProblemUnresolved
	}

	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return ProblemRefused

	case isTimeout(err), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH),
		// dropped by this machine's own firewall
		errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EADDRNOTAVAIL):
		return ProblemUnreachable
	}

	return ProblemUnknown
}

// isTimeout tells whether err is an expired deadline of a connection.
func isTimeout(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// isClosed tells whether err is the end of a connection by the other side, in order or not.
func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
