package delivery

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"

	mail "github.com/wneessen/go-mail"
)

// errNoTLS is the error of a mail server that does not offer TLS.
var errNoTLS = errors.New("no TLS")

// mostRecipients bounds the recipients of a mail target.
const mostRecipients = 20

// newMail returns the sender of a mail server. Without TLS it talks to this machine only.
func newMail(u *url.URL, _ string) (func(context.Context, Message) error, error) {
	from, to := u.Query().Get("from"), strings.Split(u.Query().Get("to"), ",")
	if len(to) > mostRecipients {
		return nil, errors.New("has more than 20 recipients; write a list of your mail server")
	}

	// The addresses are checked now, so that a mistake shows when the config is read.
	trial := mail.NewMsg()
	if trial.From(from) != nil || trial.To(to...) != nil || u.Path != "" && u.Path != "/" {
		return nil, isExample(u.Scheme)
	}
	options, err := mailOptions(u)
	if err != nil {
		return nil, err
	}
	if _, err := mail.NewClient(u.Hostname(), options...); err != nil {
		return nil, isExample(u.Scheme)
	}

	return func(ctx context.Context, m Message) error {
		msg := mail.NewMsg()
		if err := msg.From(from); err != nil {
			return err
		}
		if err := msg.To(to...); err != nil {
			return err
		}
		msg.Subject(oneLine(m.Subject))
		msg.SetDate()
		msg.SetMessageIDWithValue(m.ID + "@amifend.invalid")
		msg.SetGenHeader("Auto-Submitted", "auto-generated") // no out-of-office answers
		msg.SetBodyString(mail.TypeTextPlain, unlinked(m.Text))
		if len(m.HTML) > 0 {
			msg.AddAlternativeString(mail.TypeTextHTML, string(m.HTML))
		}

		// Only the connection's end ends a dialogue that hangs.
		dial := mail.WithDialContextFunc(dialUntil(ctx, u.Scheme == "smtps", u.Hostname()))
		c, err := mail.NewClient(u.Hostname(), append(options, dial)...)
		if err != nil {
			return err
		}
		err = c.DialAndSendWithContext(ctx, msg)
		if err != nil && ctx.Err() != nil {
			return errLeft
		}
		if err != nil && strings.Contains(err.Error(), "STARTTLS") {
			return errNoTLS
		}
		return err
	}, nil
}

// mailOptions returns the options of the library for a URL.
func mailOptions(u *url.URL) ([]mail.Option, error) {
	options := []mail.Option{
		mail.WithTimeout(requestTime), mail.WithHELO("amifend.invalid"), mail.WithoutNoop(),
		mail.WithTLSConfig(&tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}),
	}

	port := 587
	switch {
	case u.Scheme == "smtps":
		port = 465
		options = append(options, mail.WithTLSPolicy(mail.NoTLS)) // the connection is TLS already
	case isLoopback(u.Hostname()):
		port = 25
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if text := u.Port(); text != "" {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			return nil, isExample(u.Scheme)
		}
		port = int(n)
	}
	options = append(options, mail.WithPort(port))

	// The library discovers what the server offers, and sends no password without TLS.
	if name := u.User.Username(); name != "" {
		password, _ := u.User.Password()
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover),
			mail.WithUsername(name), mail.WithPassword(password))
	}
	return options, nil
}

// dialUntil returns a function that connects. The connection is closed when ctx ends.
func dialUntil(ctx context.Context, useTLS bool, host string) mail.DialContextFunc {
	return func(dialing context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(dialing, network, address)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { conn.Close() })
		if !useTLS {
			return conn, nil
		}

		c := tls.Client(conn, &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12})
		if err := c.HandshakeContext(dialing); err != nil {
			conn.Close()
			return nil, err
		}
		return c, nil
	}
}
