package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
)

// Client sends requests to a daemon. It is safe for concurrent use.
type Client struct {
	// Operator is the name that the daemon shows beside the uid of this process, such as that of
	// the user behind sudo; "": none. Set it before the first request.
	Operator string
	// Zone is the time zone of texts that the daemon writes, an IANA name; "": UTC.
	Zone string

	socket string
	http   *http.Client
}

// NewClient returns a client of the daemon that serves a socket. It does not connect yet.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}

	return &Client{
		socket: socket,
		http: &http.Client{Transport: &http.Transport{
			DialContext:       dial,
			DisableKeepAlives: true,
		}},
	}
}

// Status returns the state of the daemon.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	err = c.call(ctx, http.MethodGet, "status", nil, nil, &s)
	return s, err
}

// BanList is the answer to Bans.
type BanList struct {
	Total   int // bans in all
	Matched int // that the query matches, listed or not
	Bans    []Ban
	// Next returns further bans, some at a time, and none after the last; nil: there are none. A
	// client has all in Bans.
	Next func(context.Context) ([]Ban, error)
}

// All returns all bans of a list.
func (l *BanList) All(ctx context.Context) ([]Ban, error) {
	all := l.Bans
	for l.Next != nil {
		some, err := l.Next(ctx)
		if err != nil || len(some) == 0 {
			return all, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// Bans returns the bans that match a query.
func (c *Client) Bans(ctx context.Context, q BanQuery) (l BanList, err error) {
	res, err := c.do(ctx, http.MethodGet, "bans", q.values(), nil)
	if err != nil {
		return l, err
	}
	defer res.Body.Close()

	// A missing header counts as 0.
	l.Total, _ = strconv.Atoi(res.Header.Get(headerTotal))
	l.Matched, _ = strconv.Atoi(res.Header.Get(headerMatched))
	for b, err := range decodeLines[Ban](res.Body) {
		if err != nil {
			return l, fmt.Errorf("read the bans: %w", err)
		}
		l.Bans = append(l.Bans, b)
	}

	return l, nil
}

// Ban makes bans for an operator, at most MostBans in a call. A refused ban is an Error in its
// result.
func (c *Client) Ban(ctx context.Context, bans []NewBan) (r Banned, err error) {
	err = c.call(ctx, http.MethodPost, "bans", nil, NewBans{bans}, &r)
	return r, err
}

// Unban lifts the bans that lie within a prefix or cover it; an invalid prefix lifts all.
func (c *Client) Unban(ctx context.Context, within netip.Prefix) (l Lifted, err error) {
	q := url.Values{"all": {"true"}}
	if within.IsValid() {
		q = url.Values{"within": {within.String()}}
	}
	err = c.call(ctx, http.MethodDelete, "bans", q, nil, &l)
	return l, err
}

// Explain returns all that the daemon knows of an address.
func (c *Client) Explain(ctx context.Context, addr netip.Addr) (x Explanation, err error) {
	q := url.Values{"address": {addr.String()}}
	if c.Zone != "" {
		q.Set("zone", c.Zone)
	}
	err = c.call(ctx, http.MethodGet, "explain", q, nil, &x)
	return x, err
}

// Allowed returns what is never banned.
func (c *Client) Allowed(ctx context.Context) (l AllowList, err error) {
	err = c.call(ctx, http.MethodGet, "allow", nil, nil, &l)
	return l, err
}

// Allow adds a prefix, or a host name, to what is never banned.
func (c *Client) Allow(ctx context.Context, n NewAllow) (a Allowed, err error) {
	err = c.call(ctx, http.MethodPost, "allow", nil, n, &a)
	return a, err
}

// Disallow takes out a prefix that Allow added.
func (c *Client) Disallow(ctx context.Context, prefix netip.Prefix) (a Allowed, err error) {
	err = c.call(ctx, http.MethodDelete, "allow", url.Values{"prefix": {prefix.String()}}, nil, &a)
	return a, err
}

// DisallowName takes out a name that Allow added.
func (c *Client) DisallowName(ctx context.Context, name string) (a Allowed, err error) {
	err = c.call(ctx, http.MethodDelete, "allow", url.Values{"name": {name}}, nil, &a)
	return a, err
}

// Reload makes the daemon read its config again.
func (c *Client) Reload(ctx context.Context) (r Reloaded, err error) {
	err = c.call(ctx, http.MethodPost, "reload", nil, nil, &r)
	return r, err
}

// Events returns events as they come, until ctx or the daemon ends. An error is the last value. The
// sequence can be ranged over once.
func (c *Client) Events(ctx context.Context, f EventFilter) (iter.Seq2[Event, error], error) {
	//nolint:bodyclose // the iterator closes it when the events end
	res, err := c.do(ctx, http.MethodGet, "events", f.values(), nil)
	if err != nil {
		return nil, err
	}
	return func(yield func(Event, error) bool) {
		defer res.Body.Close()
		for ev, err := range decodeLines[Event](res.Body) {
			// An end that the caller asked for is not an error.
			if err != nil && ctx.Err() != nil || !yield(ev, err) {
				return
			}
		}
	}, nil
}

// decodeLines yields one value a line. An error is the last value.
func decodeLines[T any](r io.Reader) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		d := json.NewDecoder(bufio.NewReader(r))
		for {
			var v T
			err := d.Decode(&v)
			if errors.Is(err, io.EOF) || !yield(v, err) || err != nil {
				return
			}
		}
	}
}

// printable replaces what cannot stand in a header.
func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return '?'
	}
	return r
}

// call sends a request and decodes the answer.
func (c *Client) call(
	ctx context.Context, method, name string, q url.Values, body, answer any,
) error {
	res, err := c.do(ctx, method, name, q, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()

	if err := json.NewDecoder(res.Body).Decode(answer); err != nil {
		return fmt.Errorf("read the daemon's answer: %w", err)
	}
	return nil
}

// do sends a request. It returns an error answer as an [*Error].
func (c *Client) do(
	ctx context.Context, method, name string, q url.Values, body any,
) (*http.Response, error) {
	var sent io.Reader = http.NoBody
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("make the request: %w", err)
		}
		sent = bytes.NewReader(b)
	}

	u := url.URL{Scheme: "http", Host: "amifend", Path: "/v1/" + name, RawQuery: q.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), sent)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}

	if c.Operator != "" {
		// net/http refuses what cannot stand in a header.
		req.Header.Set(headerOperator, strings.ToValidUTF8(strings.Map(printable, c.Operator), "?"))
	}

	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()

	// The status alone would hide what the daemon says.
	var answer struct {
		Error *Error `json:"error"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, mostBody)).Decode(&answer); err != nil ||
		answer.Error == nil {
		return nil, fmt.Errorf("ask the daemon at %s: it answered %s", c.socket, res.Status)
	}

	return nil, answer.Error
}

// unreachable adds advice to the error of a request that got no answer.
func (c *Client) unreachable(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return &Error{
			Code:    CodeNotRunning,
			Message: fmt.Sprintf("no amifend runs at the socket %s", c.socket),
			Do: "systemctl start amifend (or amifend run); if it runs with another config, " +
				"name it with --config or --socket",
		}
	case errors.Is(err, fs.ErrPermission):
		return &Error{
			Code: CodeForbidden, Message: fmt.Sprintf("no right on the socket %s", c.socket),
			Do: "use sudo, or join the socket's group (ls -l shows it) and log in again",
		}
	}

	// The URL in the error is ours and helps nobody.
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}

	// A connection that was made and then closed means a busy or ending daemon.
	var op *net.OpError
	if dialled := !errors.As(err, &op) || op.Op != "dial"; dialled &&
		!errors.Is(err, context.DeadlineExceeded) {
		return Errorf(CodeBusy, "the daemon at %s has closed the connection (%s): it ends, or "+
			"too many ask it at a time", c.socket, err).Advise("try again")
	}

	return fmt.Errorf("ask the daemon at %s: %w", c.socket, err)
}

// PID returns the number of the daemon's process, also while the daemon does not answer.
func (c *Client) PID(ctx context.Context) (int, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.socket)
	if err != nil {
		return 0, c.unreachable(err)
	}
	defer conn.Close()

	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, errors.New("the control socket is not a socket of this machine") // not reached
	}
	p, err := peerOf(unixConn)
	return int(p.PID), err
}
