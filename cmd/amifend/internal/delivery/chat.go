package delivery

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/url"

	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/discord"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/matrix"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/slack"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/push/gotify"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/push/ntfy"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/push/pushover"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"
)

// service is the part of a shoutrrr service that this package uses.
type service interface {
	Initialize(u *url.URL, logger types.StdLogger) error
	Send(message string, params *types.Params) error
}

// nobody is a logger that drops what libraries log: it holds tokens and answers.
func nobody() types.StdLogger { return log.New(io.Discard, "", 0) }

// begin sets a service up. An error of the library may hold a token, so it is not passed on.
func begin(s service, u *url.URL) error {
	copied := *u
	if s.Initialize(&copied, nobody()) != nil {
		return isExample(u.Scheme)
	}
	return nil
}

// titled returns a sender of a service that has titles. limit bounds the text in bytes.
func titled(
	s service, title, text func(string) string, limit int,
) func(context.Context, Message) error {
	return func(_ context.Context, m Message) error {
		params := &types.Params{"title": title(oneLine(m.Subject))}
		return s.Send(text(cut(m.Text, limit)), params)
	}
}

// untitled is titled for a service without titles: the subject is the first line.
func untitled(s service, limit int) func(context.Context, Message) error {
	return func(_ context.Context, m Message) error {
		text := oneLine(m.Subject) + "\n\n" + m.Text
		return s.Send(cut(unmentioned(text), limit), nil)
	}
}

func newSlack(u *url.URL, _ string) (func(context.Context, Message) error, error) {
	s := &slack.Service{}
	if err := begin(s, u); err != nil {
		return nil, err
	}
	return titled(s, slackText, slackText, 3000), nil
}

func newDiscord(u *url.URL, _ string) (func(context.Context, Message) error, error) {
	s := &discord.Service{}
	if u.Path != "" && u.Path != "/" { // /raw would send the text as JSON
		return nil, isExample(u.Scheme)
	}
	plain := *u
	plain.Path = ""
	if err := begin(s, &plain); err != nil {
		return nil, err
	}

	// Of more than ten lines, the library mixes up those that it sends one by one.
	s.Config.SplitLines = false

	// The library would try again for five minutes. Package notify does that.
	s.HTTPClient = once{}
	return titled(s, discordText, discordText, 1800), nil
}

// once is an HTTP client whose errors the library takes for lasting ones.
type once struct{}

// Do returns errors that are no net.Error, so the library does not try again.
func (once) Do(r *http.Request) (*http.Response, error) {
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, &Error{describe(err)}
	}
	return res, nil
}

func newMatrix(u *url.URL, _ string) (func(context.Context, Message) error, error) {
	if u.User.Username() != "" {
		return nil, errors.New("holds a user; write an access token: " +
			"matrix://:ACCESS-TOKEN@matrix.example.com/?rooms=!room:example.com")
	}
	if u.Query().Get("disableTLS") != "" && !isLoopback(u.Hostname()) {
		return nil, errors.New("switches TLS off for another machine; delete disableTLS")
	}
	if u.Query().Get("rooms") == "" {
		return nil, isExample(u.Scheme)
	}

	s := &matrix.Service{}
	if err := begin(s, u); err != nil {
		return nil, err
	}
	return untitled(s, 8000), nil
}

func newNtfy(u *url.URL, _ string) (func(context.Context, Message) error, error) {
	if u.Query().Get("scheme") == "http" && !isLoopback(u.Hostname()) {
		return nil, errors.New("switches TLS off for another machine; delete scheme=http")
	}

	s := &ntfy.Service{}
	if err := begin(s, u); err != nil {
		return nil, err
	}
	s.SetHTTPClient(&http.Client{}) // by http.DefaultTransport
	// The title becomes a header, and ntfy knows no mentions.
	return titled(s, func(t string) string { return oneLine(unlinked(t)) }, unmentioned, 3500), nil
}

func newGotify(u *url.URL, _ string) (func(context.Context, Message) error, error) {
	if u.Query().Get("disabletls") != "" && !isLoopback(u.Hostname()) {
		return nil, errors.New("switches TLS off for another machine; delete disabletls")
	}

	s := &gotify.Service{}
	if err := begin(s, u); err != nil {
		return nil, err
	}
	if len(s.Config.Token) != 15 || s.Config.Token[0] != 'A' {
		return nil, isExample(u.Scheme)
	}
	s.Config.UseHeader = true // so that no log of a proxy has the token
	s.GetHTTPClient().Transport = nil
	return titled(s, unmentioned, unmentioned, 8000), nil
}

func newPushover(u *url.URL, _ string) (func(context.Context, Message) error, error) {
	s := &pushover.Service{}
	if err := begin(s, u); err != nil {
		return nil, err
	}
	return titled(s, unmentioned, unmentioned, 1000), nil
}
