package ami

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// Defaults of [Timeouts]. Asterisk's own authtimeout is 30 s, and it refuses a login after 1 s.
const (
	DefaultConnectTimeout = 10 * time.Second
	DefaultLoginTimeout   = 10 * time.Second
	DefaultVerifyTimeout  = 5 * time.Second
	DefaultPingInterval   = 15 * time.Second
	DefaultPingTimeout    = 10 * time.Second
	DefaultWriteTimeout   = 10 * time.Second
)

// maxField bounds username and secret: an action's line holds 1,024 bytes (main/manager.c, inbuf).
const maxField = 1000

// Timeouts are the time limits of a session. A zero takes the default.
type Timeouts struct {
	Connect time.Duration // for the TCP connection, then again for TLS, then again for the banner
	Login   time.Duration // until the login is answered
	Verify  time.Duration // from the login until the first security event: our own SuccessfulAuth
	Ping    time.Duration // between two Pings
	Pong    time.Duration // until a Ping is answered; without an answer the session is lost
	Write   time.Duration // until an action is written
}

// Config describes the AMI endpoint of one server and how to log in there. Show its Warnings to the
// user.
type Config struct {
	Name     string // the server's name in Status and Change; default: Address
	Address  string // host:port
	Username string // manager user; `read = security` and an empty `write =` are all it needs
	Secret   Secret
	TLS      *TLS // nil is plain TCP

	// Dial opens the connection; nil is net.Dialer with keep-alive.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// OnChange is called when the session connects, is lost, or fails for another reason than
	// before. It runs in Run's goroutine, while emit may run in another, and delays only this
	// session's next attempt.
	//
	// Run itself returns no such error, as it tries again for ever. With a nil OnChange it logs
	// problems through slog.Default, so that a wrong secret does not go unnoticed. To be silent,
	// set a function that does nothing.
	OnChange func(Change)
	Timeouts Timeouts
}

// Warning is a risk of a configuration that works all the same.
type Warning struct {
	Option string // the option that causes it: "Config.TLS" or "TLS.InsecureSkipVerify"
	Risk   string // what an attacker could do
	Advice string // how to avoid the risk, in the options of this package
}

// String returns risk and advice in one line.
func (w Warning) String() string { return w.Risk + "; " + w.Advice }

// Warnings returns the risks of the configuration.
func (c *Config) Warnings() []Warning {
	var warnings []Warning

	// A connection within this machine has no path that others could listen on.
	host, _, _ := net.SplitHostPort(c.Address)
	if c.TLS == nil && !isLoopbackName(host) {
		warnings = append(warnings, Warning{
			Option: "Config.TLS",
			Risk: "AMI without TLS to another host: whoever is on the path can read and write " +
				"events, and so ban or free anyone",
			Advice: "set Config.TLS",
		})
	}

	if c.TLS != nil && !c.TLS.verified() {
		warnings = append(warnings, Warning{
			Option: "TLS.InsecureSkipVerify",
			Risk: "the PBX's certificate is not checked, so whoever is on the path can read and " +
				"write events",
			Advice: "pin the certificate with TLS.Fingerprint",
		})
	}

	return warnings
}

// isLoopbackName reports whether host is literally this machine.
func isLoopbackName(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// validate returns all faults of c, joined.
func (c *Config) validate() error {
	var problems []error

	// Port 0 would let the system choose one, and an empty host would mean this machine.
	host, port, err := net.SplitHostPort(c.Address)
	if err != nil {
		problems = append(problems, fmt.Errorf("address: %w", err))
	} else if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" {
		problems = append(problems, fmt.Errorf("address %q: want host:port", c.Address))
	}

	problems = append(problems,
		checkField("username", c.Username), checkField("secret", c.Secret.reveal()))

	t := c.Timeouts
	for _, d := range []time.Duration{t.Connect, t.Login, t.Verify, t.Ping, t.Pong, t.Write} {
		if d < 0 {
			problems = append(problems, errors.New("timeouts: negative"))
			break
		}
	}

	return errors.Join(problems...)
}

// checkField refuses a value that would end its line of an action: the rest of the value would
// become headers or actions. Its errors never hold the value.
func checkField(name, value string) error {
	switch {
	case value == "":
		return fmt.Errorf("%s: empty", name)
	case strings.ContainsAny(value, "\r\n\x00"):
		return fmt.Errorf("%s: holds a line break or a NUL", name)
	case len(value) > maxField:
		return fmt.Errorf("%s: longer than %d bytes", name, maxField)
	}
	return nil
}

// withDefaults returns t with defaults in place of zeros.
func (t Timeouts) withDefaults() Timeouts {
	return Timeouts{
		Connect: orDefault(t.Connect, DefaultConnectTimeout),
		Login:   orDefault(t.Login, DefaultLoginTimeout),
		Verify:  orDefault(t.Verify, DefaultVerifyTimeout),
		Ping:    orDefault(t.Ping, DefaultPingInterval),
		Pong:    orDefault(t.Pong, DefaultPingTimeout),
		Write:   orDefault(t.Write, DefaultWriteTimeout),
	}
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}
