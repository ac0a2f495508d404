package ami

import (
	"context"
	"crypto/md5" // AMI's challenge (main/manager.c, authenticate); better than the secret in clear
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"

	goami "github.com/heltonmarx/goami/ami"
)

// eventMask asks for security events alone. An unknown mask silently means off, and the user's read
// classes limit it.
const eventMask = "security"

// AuthMethod is the method by which a session logged in.
type AuthMethod string

// The methods of Asterisk's Login action.
const (
	AuthMD5   AuthMethod = "MD5"   // by challenge: the secret is not on the wire
	AuthPlain AuthMethod = "plain" // the secret is on the wire: verified TLS or loopback only
)

// login logs in over c and returns the method. It falls back to plain Login, with a PBX that does
// not support the MD5 challenge, only if private is true: nobody on the path can read the
// connection. It calls begin with the ActionID of the Login action before it sends the action.
// Errors are *Error.
//
// Asterisk sends the same answer for a wrong secret, an unknown user and a user's ACL
// (main/manager.c, action_login), each after a second.
func login(
	ctx context.Context, c *client, config *Config, private bool, begin func(id string),
) (AuthMethod, error) {
	challenge, err := askChallenge(ctx, c, config)
	if err != nil {
		return "", err
	}
	if challenge != "" {
		return AuthMD5, loginMD5(ctx, c, config, challenge, begin)
	}

	// Plain Login sends the secret as it is.
	if !private {
		return "", &Error{
			ProblemPlainForbidden, "log in",
			errors.New("the PBX refused the MD5 challenge"),
		}
	}

	return AuthPlain, loginPlain(ctx, c, config, begin)
}

// askChallenge returns the challenge, or "" if the PBX does not support MD5.
func askChallenge(ctx context.Context, c *client, config *Config) (string, error) {
	r := c.request()
	defer r.forget()
	response, err := goami.Challenge(ctx, r, r.id)
	if err != nil {
		return "", loginError("ask for a challenge", err)
	}

	message := response.Get("Message")
	if response.Get("Response") == "Success" && response.Get("Challenge") != "" {
		return response.Get("Challenge"), nil
	}

	// The PBX may refuse every action. Any other message means that it lacks the challenge only.
	if p := refusal(message); p != ProblemAuthFailed {
		return "", refused(p, config.Secret.scrub(message))
	}

	return "", nil
}

// loginMD5 answers the challenge: Key is the MD5 of challenge and secret, in lower-case hex.
func loginMD5(
	ctx context.Context, c *client, config *Config, challenge string, begin func(id string),
) error {
	sum := md5.Sum([]byte(challenge + config.Secret.reveal()))
	key := hex.EncodeToString(sum[:])
	c.key = key // whoever sees it can log in with it, so answers of the PBX are scrubbed of it

	r := c.request()
	defer r.forget()
	begin(r.id)

	// goami's Login can only send the secret in clear, so the action is written here, over the same
	// client.
	action := "Action: Login\r\nActionID: " + r.id + "\r\nAuthType: MD5\r\n" +
		"Username: " + config.Username + "\r\nKey: " + key + "\r\n" +
		"Events: " + eventMask + "\r\n\r\n"
	if err := r.Send(action); err != nil {
		return loginError("log in", err)
	}

	answer, err := r.Recv(ctx)
	if err != nil {
		return loginError("log in", err)
	}
	if string(field([]byte(answer), "Response")) == "Success" {
		return nil
	}

	// The PBX may repeat what it got.
	message := string(field([]byte(answer), "Message"))
	return refused(refusal(message), config.Secret.scrub(message, key))
}

// loginPlain sends the secret in clear.
func loginPlain(ctx context.Context, c *client, config *Config, begin func(id string)) error {
	r := c.request()
	defer r.forget()
	begin(r.id)

	err := goami.Login(ctx, r, config.Username, config.Secret.reveal(), eventMask, r.id)
	if err == nil {
		return nil
	}

	message, isRefusal := r.refusal()
	if !isRefusal {
		return loginError("log in", err)
	}
	return refused(refusal(message), config.Secret.scrub(message))
}

// refusal names the problem behind the Message of an Error response (main/manager.c,
// process_message).
func refusal(message string) Problem {
	switch {
	case strings.HasPrefix(message, "Login Already In Use"):
		return ProblemLoginInUse
	case strings.HasPrefix(message, "Asterisk is shutting down"):
		return ProblemShuttingDown
	}
	return ProblemAuthFailed
}

func refused(p Problem, message string) error {
	return &Error{p, "log in", answered(message)}
}

func answered(message string) error {
	return fmt.Errorf("the PBX answered %s", Quote([]byte(message)))
}

// loginError names the problem of a login that got no answer.
func loginError(op string, err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}

	switch {
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return &Error{ProblemLoginTimeout, op, err}
	case isClosed(err):
		return &Error{ProblemLost, op, err}
	}

	return &Error{ProblemUnknown, op, err}
}

// isLocal reports whether a connection to addr stays on this machine.
func isLocal(addr net.Addr) bool {
	switch a := addr.(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case nil:
		return false
	default:
		return a.Network() == "pipe" || a.Network() == "unix"
	}
}
