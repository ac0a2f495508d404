package ami

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/ami/amitest"
)

// failing returns a Dial that always fails by err.
func failing(err error) dialFunc {
	return func(context.Context, string, string) (net.Conn, error) { return nil, err }
}

// silent is a Dial to something that never answers the connection attempt.
func silent(ctx context.Context, _, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// saying is a Dial to a server that says text, and closes.
func saying(text string) dialFunc {
	return func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			_, _ = io.WriteString(server, text)
			_ = server.Close()
		}()
		return client, nil
	}
}

// TestSessionNamesProblem has a case for every problem before and at the login that needs no TLS;
// those are in tls_test.go, and those of a running session in session_link_test.go and
// session_read_test.go.
func TestSessionNamesProblem(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	for name, tc := range map[string]struct {
		behaviour amitest.Behaviour
		change    func(*Config)
		want      Problem
		text      string // in the error
	}{
		"refused": {change: func(c *Config) {
			c.Dial = failing(refused)
		}, want: ProblemRefused, text: "refused"},
		"no such name": {change: func(c *Config) {
			c.Dial = failing(&net.DNSError{Err: "no such host", Name: "pbx"})
		}, want: ProblemUnresolved, text: "no such host"},
		"no route": {change: func(c *Config) {
			c.Dial = failing(syscall.EHOSTUNREACH)
		}, want: ProblemUnreachable, text: "no route"},
		"no answer": {change: func(c *Config) {
			c.Dial = silent
		}, want: ProblemUnreachable, text: "192.0.2.10:5038"},
		"local firewall": {change: func(c *Config) {
			c.Dial = failing(syscall.EPERM)
		}, want: ProblemUnreachable, text: "not permitted"},
		"another dial error": {change: func(c *Config) {
			c.Dial = failing(errors.New("odd"))
		}, want: ProblemUnknown, text: "odd"},
		"EOF before banner": {
			behaviour: amitest.Behaviour{LockedOut: true},
			want:      ProblemLockedOut, text: "EOF",
		},
		"silent": {
			behaviour: amitest.Behaviour{Mute: true}, want: ProblemNoBanner,
			text: "banner",
		},
		"SSH": {
			behaviour: amitest.Behaviour{Banner: "SSH-2.0-OpenSSH_9.2p1\r\n"},
			want:      ProblemNotAMI, text: `"SSH-2.0-OpenSSH_9.2p1"`,
		},
		"banner with controls": {behaviour: amitest.Behaviour{Banner: "\x1b[2J" +
			strings.Repeat("x", 500) + "\r\n"}, want: ProblemNotAMI, text: `"\x1b[2Jxxx`},
		"version with controls": {
			behaviour: amitest.Behaviour{Banner: "Asterisk Call Manager/1\x1b[2J\r\n"},
			want:      ProblemNotAMI, text: `1\x1b[2J"`,
		},
		"half a banner": {change: func(c *Config) {
			c.Dial = saying("Asterisk Call Man")
		}, want: ProblemNotAMI, text: `"Asterisk Call Man"`},
		"a TLS alert": {change: func(c *Config) {
			c.Dial = saying("\x15\x03\x01\x00\x02\x02\x46")
		}, want: ProblemTLSRequired, text: "TLS record"},
		"wrong secret": {change: func(c *Config) {
			c.Secret = NewSecret("other")
		}, want: ProblemAuthFailed, text: `"Authentication failed"`},
		"wrong user": {change: func(c *Config) {
			c.Username = "other"
		}, want: ProblemAuthFailed, text: `"Authentication failed"`},
		"wrong secret, plain": {
			behaviour: amitest.Behaviour{NoMD5: true},
			change: func(c *Config) {
				c.Secret = NewSecret("other")
			}, want: ProblemAuthFailed, text: `"Authentication failed"`,
		},
		"refused after its second": {
			behaviour: amitest.Behaviour{
				Refusal: "Authentication failed", RefusalDelay: time.Second,
			},
			want: ProblemAuthFailed,
		},
		"logged in already": {
			behaviour: amitest.Behaviour{InUse: true},
			want:      ProblemLoginInUse, text: "In Use",
		},
		"shutting down": {
			behaviour: amitest.Behaviour{ShuttingDown: true},
			want:      ProblemShuttingDown, text: "shutting down",
		},
		"login not answered": {
			behaviour: amitest.Behaviour{NoLogin: true},
			want:      ProblemLoginTimeout, text: "log in",
		},
		"actions not read": {
			behaviour: amitest.Behaviour{Deaf: true},
			want:      ProblemLoginTimeout, text: "challenge",
		},
		"no read = security": {
			behaviour: amitest.Behaviour{NoSecurity: true},
			want:      ProblemNoSecurity, text: `user "amifend"`,
		},
		"refusal with escape codes": {
			behaviour: amitest.Behaviour{Refusal: "\x1b]0;pwned\x07"},
			want:      ProblemAuthFailed, text: `"\x1b]0;pwned\x07"`,
		},
		"closed instead of answered": {change: func(c *Config) {
			c.Dial = saying("Asterisk Call Manager/11.0.0\r\n")
		}, want: ProblemLost, text: "challenge"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pbx := newPBX(t, tc.behaviour)
				r := startSession(t, pbx, tc.change)
				time.Sleep(30 * time.Second) // longer than any one timeout

				c := r.last()
				if c.Phase != PhaseWaiting || c.Problem != tc.want || ProblemOf(c.Err) != tc.want {
					t.Fatalf("told %+v, want %s", c, tc.want)
				}
				if !strings.Contains(c.Err.Error(), tc.text) {
					t.Errorf("error %q says nothing of %q", c.Err, tc.text)
				}

				if c.Lost || c.Retry <= 0 {
					t.Errorf("told %+v: nothing was lost, and there is a next attempt", c)
				}
				s := r.session.Status()
				if s.Problem != tc.want || s.LastError == nil || s.Failures == 0 || s.Events != 0 {
					t.Errorf("status %+v", s)
				}

				if told := r.told(); len(told) != 1 {
					t.Errorf("told %d times of one lasting problem", len(told))
				}
			})
		})
	}
}

func TestSessionRefusedByRealPort(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()

	_, err = Probe(t.Context(), Config{Address: address, Username: "u", Secret: NewSecret("s")}, 0,
		nil)
	if ProblemOf(err) != ProblemRefused {
		t.Errorf("error %v, problem %s", err, ProblemOf(err))
	}
}

func TestSessionUnresolvedName(t *testing.T) {
	offline := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn,
		error,
	) {
		return nil, errors.New("no name server") // a test asks nobody's
	}}

	_, err := Probe(t.Context(), Config{
		Address: "pbx.invalid:5038", Username: "u", Secret: NewSecret("s"),
		Dial: (&net.Dialer{Resolver: offline}).DialContext,
	}, 0, nil)
	if p := ProblemOf(err); p != ProblemUnresolved {
		t.Errorf("error %v, problem %s", err, p)
	}
}

// TestSecretNeverShows looks for the secret and the key in every text of a session, while the PBX
// repeats what it got.
func TestSecretNeverShows(t *testing.T) {
	const hidden = "s3cr3t-%s-hunter2"
	for name, b := range map[string]amitest.Behaviour{
		"works": {}, "refused": {Refusal: "no, not " + hidden},
		"plain": {NoMD5: true, Refusal: hidden}, "not AMI": {Banner: "x\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pbx := amitest.New(amitest.Config{Username: testUser, Secret: hidden, Behaviour: b})
				defer pbx.Close()
				r := startSession(t, pbx, func(c *Config) { c.Secret = NewSecret(hidden) })
				time.Sleep(5 * time.Second)

				// The key is made from the secret, and as good for a login.
				keys := []string{hidden, "s3cr3t", "hunter2"}
				for _, a := range pbx.Actions() {
					if key := a.Fields["Key"]; key != "" {
						keys = append(keys, key)
					}
				}

				// Without a key the test would look for too little.
				if name == "works" && len(keys) == 3 {
					t.Fatal("no login was seen")
				}

				// Everything that a program may print, by every verb.
				status := r.session.Status()
				said := rendered(status, &status, r.last(), r.last().Err, r.session, *new(Secret),
					r.session.config, &r.session.config)
				for _, key := range keys {
					if strings.Contains(said, key) {
						t.Errorf("shows %q in %s", key, said)
					}
				}
			})
		})
	}
}

// TestKeyEchoedByPBXNeverShows has a PBX that answers with the key that it got.
func TestKeyEchoedByPBXNeverShows(t *testing.T) {
	client, server := net.Pipe()
	var key string
	done := make(chan struct{})

	go func() {
		defer close(done)
		defer func() { _ = server.Close() }()
		_, _ = io.WriteString(server, "Asterisk Call Manager/11.0.0\r\n")
		buffer := make([]byte, 4096)
		n, _ := server.Read(buffer)
		id := field(buffer[:n], "ActionID")
		_, _ = fmt.Fprintf(server, "Response: Success\r\nActionID: %s\r\nChallenge: 1\r\n\r\n", id)

		// The refusal repeats the key, with which anybody could log in.
		n, _ = server.Read(buffer)
		id, key = field(buffer[:n], "ActionID"), string(field(buffer[:n], "Key"))
		_, _ = fmt.Fprintf(server, "Response: Error\r\nActionID: %s\r\nMessage: bad key %s\r\n\r\n",
			id, key)
	}()

	_, err := Probe(t.Context(), Config{
		Address: "192.0.2.10:5038", Username: "u", Secret: NewSecret("s"),
		Dial: func(context.Context, string, string) (net.Conn, error) { return client, nil },
	}, 0, nil)
	<-done

	// The server saw a key, or the test would prove nothing.
	if len(key) != 32 {
		t.Fatalf("key %q", key)
	}
	if err == nil || strings.Contains(err.Error(), key) ||
		!strings.Contains(err.Error(), "bad key [redacted]") {
		t.Errorf("error %v", err)
	}
}

func TestProblemsOfTLSNeedNoPlainPBX(t *testing.T) {
	// A plain PBX to which we speak TLS. Over a pipe, nothing but the bytes shows it.
	pbx := newPBX(t, amitest.Behaviour{})
	c := testConfig(pbx)
	c.TLS = &TLS{}

	_, err := Probe(t.Context(), c, 0, nil)
	if ProblemOf(err) != ProblemTLSNotSpoken || !strings.Contains(err.Error(), `"Aster"`) {
		t.Errorf("error %v, problem %s", err, ProblemOf(err))
	}

	// And the reverse: the port is silent, but answers a TLS handshake.
	certificate, _, err := amitest.Certificate("192.0.2.10")
	if err != nil {
		t.Fatal(err)
	}

	secure := amitest.New(amitest.Config{
		TLS: &tls.Config{Certificates: []tls.Certificate{certificate}},
	})
	defer secure.Close()
	c = testConfig(secure)
	c.Timeouts.Connect = 100 * time.Millisecond

	_, err = Probe(t.Context(), c, 0, nil)
	if ProblemOf(err) != ProblemTLSRequired {
		t.Errorf("error %v, problem %s", err, ProblemOf(err))
	}
}
