// Package delivery sends a message to a mail server, a chat, a push service or a webhook.
//
// A target is named by a URL whose scheme is one of a closed list, see [Services]. The package has
// no state but the target's URL: who decides what is sent, and keeps what could not be sent, is
// package notify.
//
// # Libraries
//
// github.com/nicholas-fedor/shoutrrr sends to Slack, Discord, Matrix, ntfy, Gotify and
// Pushover. Only these of its packages are imported, so that no other scheme can be used.
// containrrr/shoutrrr, from which it was forked, had its last release in 2023.
// nikoksr/notify (last release January 2025) needs the SDK of each service, and has no
// URLs, so a config would need the options of each.
//
// Mail is sent by github.com/wneessen/go-mail. shoutrrr's mail has no time limit after the
// connection is there, does not encode headers, and falls back from TLS to plain text.
// Telegram is one request of this package: shoutrrr 0.13.2 reports a message as sent when its
// request failed, since it only looks for an error in the answer. Teams gets an Adaptive Card at the
// URL of a workflow: shoutrrr posts to connectors, which Microsoft retires. The webhook is our own.
//
// # Bounds
//
// shoutrrr takes no context, and for Slack and Matrix no HTTP client. So all
// requests go through [http.DefaultTransport], which [Confine] replaces by one that follows no
// redirect, takes 20 seconds and 64 KiB of an answer at most, and speaks plain HTTP with this
// machine only. [Target.Send] refuses to work without it. An answer that is not a success becomes
// an error of the number alone, so no library parses, logs or repeats it.
//
// No error of this package has text of a library or of a target: libraries print URLs, which hold
// tokens.
package delivery

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// sendTime limits how long one message may take. Matrix needs three requests.
const sendTime = time.Minute

// Message is what is sent.
type Message struct {
	ID      string // of the message: the same if it is sent again
	Subject string // one line of printable ASCII
	Text    string // lines of printable text, without markup
	Body    []byte // JSON for a webhook
	HTML    []byte // the same as Text, as a page for mail; nil: there is none
}

// Target is where messages go. One message may be sent at a time.
type Target struct {
	service string
	send    func(ctx context.Context, m Message) error
}

// Service returns what the target is, such as "mail" or "slack".
func (t *Target) Service() string { return t.service }

// Error is the error of a target. Its text names neither the URL nor what the target answered.
type Error struct{ text string }

func (e *Error) Error() string { return e.text }

// errLeft is the error of a message that a library still sends when the time is over.
var errLeft = errors.New("it did not answer in time")

// Send delivers a message, or returns an [*Error]. It takes a minute at most.
func (t *Target) Send(ctx context.Context, m Message) error {
	if _, ok := http.DefaultTransport.(*confined); !ok {
		return &Error{"requests are not confined: this is a mistake in amifend"}
	}

	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()

	// A library that takes no context is left behind. The transport ends its requests.
	done := make(chan error, 1)
	go func() { done <- t.send(ctx, m) }()
	err := errLeft
	select {
	case err = <-done:
	case <-ctx.Done():
	}

	if err == nil {
		return nil
	}
	return &Error{describe(err)}
}

// maker makes a target of a URL whose scheme it was chosen by. An error continues a sentence that
// begins with the key of the URL.
type maker struct {
	scheme  string
	service string
	options []string // of the URL's query that may be there; nil: the query is the target's own
	example string
	make    func(u *url.URL, secret string) (func(context.Context, Message) error, error)
}

func makers() []maker {
	return []maker{
		{
			"smtp", "mail",
			[]string{"from", "to"},
			"smtp://USER:PASSWORD@mail.example.com:587/?from=amifend@example.com&to=admin@example.com",
			newMail,
		},
		{
			"smtps", "mail",
			[]string{"from", "to"},
			"smtps://USER:PASSWORD@mail.example.com:465/?from=amifend@example.com&to=admin@example.com",
			newMail,
		},
		{
			"slack", "slack",
			[]string{"botname", "color"},
			"slack://hook:T000-B000-XXXX@webhook", newSlack,
		},
		{
			"telegram", "telegram",
			[]string{"chats", "notification"},
			"telegram://TOKEN@telegram?chats=-1001234567890", newTelegram,
		},
		{
			"discord", "discord",
			[]string{"username"},
			"discord://TOKEN@WEBHOOK-ID", newDiscord,
		},
		{
			"matrix", "matrix",
			[]string{"rooms", "disableTLS"},
			"matrix://:ACCESS-TOKEN@matrix.example.com/?rooms=!room:example.com", newMatrix,
		},
		{
			"teams", "teams", nil,
			"teams://HOST/PATH?QUERY, the URL of the workflow with teams in the place of https",
			newTeams,
		},
		{
			"ntfy", "ntfy",
			[]string{"priority", "tags", "scheme"},
			"ntfy://:TOKEN@ntfy.sh/TOPIC", newNtfy,
		},
		{
			"gotify", "gotify",
			[]string{"priority", "disabletls"},
			"gotify://gotify.example.com/TOKEN", newGotify,
		},
		{
			"pushover", "pushover",
			[]string{"devices", "priority"},
			"pushover://:TOKEN@USER-KEY", newPushover,
		},
		{"https", "webhook", nil, "https://hooks.example.com/amifend", newWebhook},
		{"http", "webhook", nil, "http://127.0.0.1:8080/amifend", newWebhook},
	}
}

// Services returns the schemes that a URL may have.
func Services() (schemes []string) {
	for _, m := range makers() {
		schemes = append(schemes, m.scheme)
	}
	return schemes
}

// New returns the target of a URL. It asks no network. secret is the key of a webhook's signature,
// "" for others. An error continues a sentence that begins with the name of the URL, and shows
// nothing of it.
func New(rawURL, secret string) (*Target, error) {
	scheme, _, ok := strings.Cut(rawURL, "://")
	all := makers()
	i := slices.IndexFunc(all, func(m maker) bool { return m.scheme == scheme })
	if !ok || i < 0 {
		return nil, errors.New("is not the URL of a target; its scheme is one of " +
			strings.Join(Services(), ", "))
	}

	m := all[i]
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" || strings.ContainsAny(rawURL, "\r\n\t ") {
		return nil, errors.New("is not a URL; write one like " + m.example)
	}
	if err := m.checkOptions(u.Query()); err != nil {
		return nil, err
	}

	webhook := m.service == "webhook"
	switch {
	case secret != "" && !webhook:
		return nil, errors.New("is not that of a webhook, and only a webhook has a secret; delete it")
	case secret == "" && webhook:
		return nil, errors.New("is that of a webhook, which needs a secret for its signature; write " +
			"secret_file, with what `openssl rand -hex 32` prints")
	}

	send, err := m.make(u, secret)
	if err != nil {
		return nil, err
	}
	return &Target{m.service, send}, nil
}

// checkOptions returns an error for an option that is not on the list: libraries have more, which
// switch off TLS or add links.
func (m *maker) checkOptions(q url.Values) error {
	if m.options == nil {
		return nil
	}
	for k, v := range q {
		if !slices.Contains(m.options, k) || len(v) != 1 {
			return errors.New("has an option that amifend does not take, or one twice; possible are " +
				strings.Join(m.options, ", "))
		}
	}
	return nil
}

// isExample returns the error of a URL whose parts are not those of its service.
func isExample(scheme string) error {
	for _, m := range makers() {
		if m.scheme == scheme {
			return errors.New("lacks a part, or has one of another form; write one like " + m.example)
		}
	}
	return errors.New("is not the URL of a target")
}
