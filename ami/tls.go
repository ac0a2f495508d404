package ami

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
)

// TLS configures TLS to a PBX, and the certificates to trust. The zero value trusts the CAs of the
// system.
type TLS struct {
	CAFile     string // PEM file of the CAs to trust instead of the system's
	ServerName string // name that the certificate must be for; default: the host of Address
	// Fingerprint pins the certificate. It is the SHA-256 that openssl prints for `x509
	// -fingerprint -sha256`; colons, case and a leading `SHA256 Fingerprint=` do not matter.
	// Without CAFile only the pin is checked, so that a self-signed certificate needs nothing else.
	// With CAFile both must hold.
	Fingerprint string
	// InsecureSkipVerify accepts any certificate: whoever is on the path can read and write events.
	InsecureSkipVerify bool
}

// TLSStatus is the state of TLS on a connection.
type TLSStatus struct {
	Enabled     bool
	Insecure    bool   // the certificate was not verified
	Version     string // such as "TLS 1.3"
	Fingerprint string // SHA-256 of the PBX's certificate, as openssl prints it
}

// Fingerprint returns the SHA-256 of a certificate as `openssl x509 -fingerprint -sha256` prints
// it: AA:BB:….
func Fingerprint(certificate *x509.Certificate) string {
	sum := sha256.Sum256(certificate.Raw)
	pairs := make([]string, len(sum))
	for i, b := range sum {
		pairs[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(pairs, ":")
}

// parseFingerprint parses a fingerprint as openssl prints it: hex with or without colons, in any
// case.
func parseFingerprint(text string) ([]byte, error) {
	if _, value, found := strings.Cut(text, "="); found {
		text = value
	}
	sum, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(text), ":", ""))
	if err != nil {
		return nil, fmt.Errorf("parse fingerprint: %w", err)
	}

	if len(sum) != sha256.Size {
		return nil, fmt.Errorf("parse fingerprint: %d bytes, want the %d of a SHA-256",
			len(sum), sha256.Size)
	}
	return sum, nil
}

// clientConfig turns t into the standard library's form; host is the host of the address. It reads
// CAFile.
func (t *TLS) clientConfig(host string) (*tls.Config, error) {
	c := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if t.ServerName != "" {
		c.ServerName = t.ServerName
	}

	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read CA file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read CA file %s: no PEM certificate in it", t.CAFile)
		}
	}

	if t.Fingerprint != "" {
		pin, err := parseFingerprint(t.Fingerprint)
		if err != nil {
			return nil, err
		}
		c.VerifyConnection = func(state tls.ConnectionState) error { return checkPin(state, pin) }
	}

	// With a pin and no CA, the pin is the whole check: VerifyConnection runs even then.
	c.InsecureSkipVerify = t.InsecureSkipVerify || (t.Fingerprint != "" && t.CAFile == "")
	return c, nil
}

// verified reports whether t checks the certificate of the PBX.
func (t *TLS) verified() bool { return !t.InsecureSkipVerify || t.Fingerprint != "" }

// errPin reports a certificate other than the pinned one.
var errPin = errors.New("certificate is not the pinned one")

func checkPin(state tls.ConnectionState, pin []byte) error {
	sum := sha256.Sum256(state.PeerCertificates[0].Raw)
	if subtle.ConstantTimeCompare(sum[:], pin) != 1 {
		return fmt.Errorf("%w: it has the SHA-256 fingerprint %s", errPin,
			Fingerprint(state.PeerCertificates[0]))
	}
	return nil
}

// secure does the TLS handshake over conn, before ctx ends. Errors are *Error, and hold the
// fingerprint of the certificate if one was seen.
func secure(
	ctx context.Context, conn net.Conn, config *tls.Config, t *TLS,
) (net.Conn, TLSStatus, error) {
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, TLSStatus{}, tlsError(err)
	}
	state := secured.ConnectionState()

	return secured, TLSStatus{
		Enabled: true, Insecure: !t.verified(), Version: tls.VersionName(state.Version),
		Fingerprint: Fingerprint(state.PeerCertificates[0]),
	}, nil
}

// tlsError names the problem of a failed handshake.
func tlsError(err error) error {
	const op = "TLS handshake"

	// The fingerprint in the error lets the user compare the certificate and pin it.
	if verify, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		seen := Fingerprint(verify.UnverifiedCertificates[0])
		return &Error{
			certificateProblem(verify.Err), op,
			fmt.Errorf("%w; its SHA-256 fingerprint is %s", quoteNames(verify.Err), seen),
		}
	}

	if errors.Is(err, errPin) {
		return &Error{ProblemFingerprint, op, err}
	}
	if record, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return &Error{
			ProblemTLSNotSpoken, op,
			fmt.Errorf("the server answered %s, which is not TLS", Quote(record.RecordHeader[:])),
		}
	}

	// A connection that ends here has the same causes as one that ends before the banner.
	switch {
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return &Error{ProblemNoBanner, op, err}
	case isClosed(err):
		return &Error{ProblemLockedOut, op, err}
	}

	return &Error{ProblemTLSHandshake, op, err}
}

// quoteNames replaces the text of a name mismatch, which prints the certificate's names as they
// are.
func quoteNames(err error) error {
	mismatch, ok := errors.AsType[x509.HostnameError](err)
	if !ok {
		return err
	}

	names := slices.Clone(mismatch.Certificate.DNSNames)
	for _, ip := range mismatch.Certificate.IPAddresses {
		names = append(names, ip.String())
	}

	if len(names) == 0 {
		// A common name does not identify a host (RFC 9525, section 2).
		return fmt.Errorf("the certificate has no subjectAltName, and its common name %s does "+
			"not count: it cannot be verified by a name",
			Quote([]byte(mismatch.Certificate.Subject.CommonName)))
	}
	return fmt.Errorf("the certificate is for %s, not for %s",
		Quote([]byte(strings.Join(names, " "))), mismatch.Host)
}

// certificateProblem names the problem of a certificate that was not accepted.
func certificateProblem(err error) Problem {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return ProblemUnknownCA
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return ProblemNameMismatch
	}
	return ProblemCertificate
}

// speaksTLS reports whether the other side of conn completes, or at least answers, a TLS handshake.
func speaksTLS(ctx context.Context, conn net.Conn) bool {
	// Nothing is sent over this connection, so the certificate needs no check.
	probe := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10})
	err := probe.HandshakeContext(ctx)
	if err == nil {
		return true
	}

	_, alerted := errors.AsType[tls.AlertError](err)
	if !alerted {
		// The standard library wraps an alert of the other side in a net.OpError of this Op.
		op, ok := errors.AsType[*net.OpError](err)
		alerted = ok && op.Op == "remote error"
	}

	return alerted
}
