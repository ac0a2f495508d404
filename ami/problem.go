package ami

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// Problem names a cause that keeps a session from working. The list is closed: each problem has a
// name and one line of advice for the administrator of the PBX.
type Problem uint8

// The problems. Their names (String) do not change; their numbers may. Advice relies on the order.
const (
	ProblemNone Problem = iota

	// On the way to the PBX.
	ProblemUnresolved  // the name of the server has no address
	ProblemRefused     // nothing listens on the port
	ProblemUnreachable // no answer to the connection attempt, or no route

	// Before the login.
	ProblemLockedOut    // closed before the banner: no Asterisk behind it, or authlimit is used up
	ProblemNoBanner     // connected, but the server says nothing
	ProblemNotAMI       // the banner of another service
	ProblemTLSRequired  // we spoke plain text to a TLS port
	ProblemTLSNotSpoken // we spoke TLS to a plain port
	ProblemTLSHandshake // both speak TLS and cannot agree
	ProblemUnknownCA    // no CA that we trust signed the certificate
	ProblemNameMismatch // the certificate is for another name
	ProblemCertificate  // the certificate is expired or otherwise invalid
	ProblemFingerprint  // the certificate is not the pinned one

	// At the login.
	ProblemAuthFailed     // wrong secret, unknown user or the user's ACL: the answer is the same
	ProblemPlainForbidden // no MD5 challenge, and plain Login would show the secret to the network
	ProblemLoginInUse     // allowmultiplelogin = no, and the user is logged in already
	ProblemLoginTimeout   // the login was not answered in time
	ProblemShuttingDown   // Asterisk answers that it is shutting down
	ProblemNoSecurity     // logged in, but the user may not read security events
	ProblemTooOld         // logged in to Asterisk 11 or older, which has no security events
	ProblemStrangeEvents  // logged in, but no known Asterisk writes such packets

	// After the login.
	ProblemSilent  // a Ping was not answered
	ProblemTooSlow // cut off inside the stream: we did not read fast enough
	ProblemLost    // the PBX closed the connection: stopped, restarted or crashed
	ProblemUnknown // none of the others; see the error
)

// problemNames holds the name of each problem.
var problemNames = [...]string{
	ProblemNone:           "none",
	ProblemUnresolved:     "unresolved",
	ProblemRefused:        "refused",
	ProblemUnreachable:    "unreachable",
	ProblemLockedOut:      "closed before the banner",
	ProblemNoBanner:       "no banner",
	ProblemNotAMI:         "not AMI",
	ProblemTLSRequired:    "TLS required",
	ProblemTLSNotSpoken:   "TLS not spoken",
	ProblemTLSHandshake:   "TLS handshake failed",
	ProblemUnknownCA:      "unknown CA",
	ProblemNameMismatch:   "certificate name mismatch",
	ProblemCertificate:    "certificate invalid",
	ProblemFingerprint:    "fingerprint mismatch",
	ProblemAuthFailed:     "login refused",
	ProblemPlainForbidden: "plain login forbidden",
	ProblemLoginInUse:     "login in use",
	ProblemLoginTimeout:   "login not answered",
	ProblemShuttingDown:   "shutting down",
	ProblemNoSecurity:     "no security events",
	ProblemTooOld:         "Asterisk too old",
	ProblemStrangeEvents:  "strange events",
	ProblemSilent:         "silent",
	ProblemTooSlow:        "cut off, too slow",
	ProblemLost:           "connection closed",
	ProblemUnknown:        "unknown",
}

// String returns the problem's name, such as "refused".
func (p Problem) String() string {
	if int(p) >= len(problemNames) {
		return problemNames[ProblemUnknown]
	}
	return problemNames[p]
}

// Advice returns what a Linux administrator can do about the problem, in one line. It returns ""
// for ProblemNone. If an option of [Config] or [TLS] has to change, the advice names that option. A
// program with other names for them has to translate it.
func (p Problem) Advice() string {
	switch {
	case p == ProblemNone:
		return ""
	case p <= ProblemUnreachable:
		return p.adviseReach()
	case p <= ProblemNotAMI:
		return p.adviseBanner()
	case p <= ProblemFingerprint:
		return p.adviseTLS()
	case p <= ProblemStrangeEvents:
		return p.adviseLogin()
	default:
		return p.adviseLoss()
	}
}

// adviseReach returns the advice on the way to the PBX.
func (p Problem) adviseReach() string {
	switch p {
	case ProblemUnresolved:
		return "check the host name in Config.Address, and the DNS of this machine"
	case ProblemRefused:
		return "check that Asterisk runs, with enabled = yes in manager.conf, and bindaddr and " +
			"port as in Config.Address: ss -ltnp | grep asterisk"
	default:
		return "no answer: check Config.Address, the route, and that the PBX's firewall accepts " +
			"this machine on the AMI port"
	}
}

// adviseBanner returns the advice when the first line of AMI does not come.
func (p Problem) adviseBanner() string {
	switch p {
	case ProblemLockedOut:
		return "most likely no Asterisk is behind that port: in a container, set bindaddr = " +
			"0.0.0.0 in manager.conf, and keep strangers out by its permit lines or a firewall; " +
			"check where a proxy or tunnel leads; if Asterisk is there, too many connections " +
			"have not logged in: close the AMI port to strangers, then raise authlimit in " +
			"manager.conf"
	case ProblemNoBanner:
		return "connected, but no AMI answers: check that it is the AMI port (5038, or 5039 for " +
			"TLS), and that Asterisk does not hang: asterisk -rx 'manager show settings'"
	default:
		return "another service answers there: set Config.Address to the AMI port of " +
			"manager.conf (5038, or 5039 for TLS)"
	}
}

// adviseTLS returns the advice on TLS and certificates.
func (p Problem) adviseTLS() string {
	const pin = "or pin the certificate: compare the SHA-256 shown with the one on the PBX, " +
		"then set TLS.Fingerprint to it"
	switch p {
	case ProblemTLSRequired:
		return "that port speaks TLS: set Config.TLS, or use the plain port (5038) of manager.conf"
	case ProblemTLSNotSpoken:
		return "that port speaks plain AMI: use tlsbindaddr's port (5039) of manager.conf, " +
			"or do not set Config.TLS"
	case ProblemTLSHandshake:
		return "the PBX and this program share no TLS version or cipher: TLS 1.2 or newer is needed"
	case ProblemUnknownCA:
		return "set TLS.CAFile to the CA's certificate, " + pin
	case ProblemNameMismatch:
		return "set TLS.ServerName to a name in the certificate's subjectAltName, " + pin
	case ProblemCertificate:
		return "renew the PBX's certificate (tlscertfile in manager.conf), and check the clocks " +
			"of both machines"
	default:
		return "if the PBX has a new certificate, compare the SHA-256 shown with that of openssl " +
			"x509 -fingerprint -sha256 -noout -in CERT on the PBX, then set TLS.Fingerprint to " +
			"it; if it has not, somebody intercepts the connection"
	}
}

// adviseLogin returns the advice on the login and the manager user.
func (p Problem) adviseLogin() string {
	switch p {
	case ProblemAuthFailed:
		return "compare username and secret with the user's section in manager.conf (FreePBX, " +
			"Issabel and VitalPBX: in manager_custom.conf, or make the user on their web page, " +
			"since updates overwrite manager.conf); run: asterisk -rx 'manager reload'; then " +
			"look at the section's permit and deny lines; Asterisk's log shows which of them it is"
	case ProblemPlainForbidden:
		return "the PBX does not support the MD5 challenge and the connection is not verified " +
			"TLS: set Config.TLS, so that nobody can read the secret on the network"
	case ProblemLoginInUse:
		return "give this program a manager user of its own, " +
			"or set allowmultiplelogin = yes in manager.conf"
	case ProblemLoginTimeout:
		return "Asterisk accepted the connection but does not answer: look at its load and log"
	case ProblemShuttingDown:
		return "nothing to do if you stopped or restarted Asterisk: " +
			"the session reconnects by itself"
	case ProblemNoSecurity:
		return "set read = security for that user in manager.conf, remove any eventfilter that " +
			"hides SuccessfulAuth, then: asterisk -rx 'manager reload'"
	case ProblemTooOld:
		return "security events exist since Asterisk 12: move to 12 or newer, better to one that " +
			"still gets security fixes"
	default:
		return "if this Asterisk is newer than this program, update the program; " +
			"otherwise something between them changes the events"
	}
}

// adviseLoss returns the advice on a session that was lost, and on problems without a name.
func (p Problem) adviseLoss() string {
	switch p {
	case ProblemSilent:
		return "the PBX stopped answering: look at its load, and at a firewall or NAT that " +
			"forgets idle connections"
	case ProblemTooSlow:
		return "Asterisk closed the stream because it was not read fast enough: look at this " +
			"machine's load; events were lost"
	case ProblemLost:
		return "nothing to do if Asterisk was restarted: the session reconnects by itself; " +
			"otherwise look at Asterisk's log"
	default:
		return "see the error"
	}
}

// MarshalText returns the problem's name, so that JSON and slog show it.
func (p Problem) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Error reports why a session was not made or was lost. Its text never holds the secret, nor the
// key made from it. Bytes from the other side are printed by [Quote].
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
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EADDRNOTAVAIL):
		return ProblemUnreachable
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		// This machine's own firewall dropped the packet.
		return ProblemUnreachable
	}

	return ProblemUnknown
}

// isTimeout reports whether err is an expired deadline of a connection.
func isTimeout(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// isClosed reports whether err is the end of a connection by the other side, in order or not.
func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
