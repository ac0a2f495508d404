package delivery

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	mail "github.com/wneessen/go-mail"
)

const (
	requestTime = 20 * time.Second // from the connection to the end of the answer
	mostAnswer  = 64 << 10         // bytes of an answer that are read
)

// Confine puts the confined transport in the place of [http.DefaultTransport]. It is called once, by
// the program that runs the daemon. No other seam reaches all requests of shoutrrr.
func Confine() {
	base := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  requestTime,
		MaxResponseHeaderBytes: mostAnswer,
		ForceAttemptHTTP2:      true,
		DisableKeepAlives:      true, // messages are rare
	}
	http.DefaultTransport = &confined{base}
}

// confined is a transport that bounds what a target can do, see the package's comment.
type confined struct{ base http.RoundTripper }

// statusError is an answer that is not a success.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("HTTP %d", int(e)) }

// errPlain is the error of a request without TLS to another machine.
var errPlain = errors.New("plain HTTP to another machine")

// RoundTrip implements http.RoundTripper.
func (c *confined) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !isLoopback(r.URL.Hostname()) {
		return nil, errPlain
	}

	// The limit also covers the reading of the answer, so it ends with that.
	ctx, cancel := context.WithTimeout(r.Context(), requestTime)
	res, err := c.base.RoundTrip(r.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, err
	}

	// A redirect is no success either: the client never learns of it.
	if res.StatusCode < 200 || res.StatusCode > 299 {
		res.Body.Close()
		cancel()
		return nil, statusError(res.StatusCode)
	}
	res.Body = &bounded{io.LimitReader(res.Body, mostAnswer), res.Body, cancel}
	return res, nil
}

// bounded is the body of an answer, of which a part is read.
type bounded struct {
	io.Reader
	body   io.Closer
	cancel context.CancelFunc
}

func (b *bounded) Close() error {
	b.cancel()
	return b.body.Close()
}

// isLoopback reports whether a host of a URL is this machine.
func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}

// describe returns what an error of a library means, in words of ours.
func describe(err error) string {
	var (
		status  statusError
		dns     *net.DNSError
		op      *net.OpError
		timeout net.Error
		reply   *mail.SendError
		cert    *tls.CertificateVerificationError
		host    x509.HostnameError
		own     *Error
	)
	switch {
	case errors.As(err, &own):
		return own.text
	case errors.Is(err, errNoTLS):
		return "the mail server does not offer TLS"
	case errors.As(err, &status) && status >= 300 && status < 400:
		return fmt.Sprintf("it answered with a redirect (HTTP %d), which is not followed", int(status))
	case errors.As(err, &status):
		return fmt.Sprintf("it answered HTTP %d", int(status))
	case errors.Is(err, errPlain):
		return "it would be reached without TLS"
	case errors.As(err, &cert), errors.As(err, &host):
		return "its certificate is not trusted"
	case errors.As(err, &reply) && reply.ErrorCode() != 0:
		return fmt.Sprintf("the mail server answered %d", reply.ErrorCode())
	case errors.Is(err, errLeft), errors.Is(err, context.DeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		return "it did not answer in time"
	case errors.As(err, &dns):
		return "its name cannot be resolved"
	case errors.As(err, &op) && op.Op == "dial":
		return "it cannot be reached"
	}
	return "it did not take the message"
}
