package control

import (
	"context"
	"net/http"
	"time"
)

// Notifier answers questions about notifications. The caller owns the answers.
type Notifier interface {
	NotifyTargets(ctx context.Context) (NotifyTargets, error)
	TestNotify(ctx context.Context, by Peer, q TestNotify) (NotifyTested, error)
}

// NotifyTargets are the targets of [[notify]].
type NotifyTargets struct {
	Targets []NotifyTarget `json:"targets"` // in the order of the config
}

// NotifyTarget is the state of a target.
type NotifyTarget struct {
	Name     string    `json:"name"`
	Service  string    `json:"service"`           // such as mail or slack
	Waiting  int       `json:"waiting"`           // messages that it has not taken yet
	Gathered int       `json:"gathered"`          // what goes into its next digest
	Dropped  int       `json:"dropped"`           // messages that were given up since the start
	Last     time.Time `json:"last,omitzero"`     // when it took a message last
	Problem  string    `json:"problem,omitempty"` // why it did not take the last one
	Retry    time.Time `json:"retry,omitzero"`    // when it is tried again
}

// TestNotify asks for a test message.
type TestNotify struct {
	Name string `json:"name"` // of a target; "": all
}

// NotifyTested is the outcome of a test.
type NotifyTested struct {
	Results []NotifyResult `json:"results"`
}

// NotifyResult is the outcome of a test of one target.
type NotifyResult struct {
	Name    string `json:"name"`
	Service string `json:"service"`
	Problem string `json:"problem,omitempty"` // why it did not take the message; missing: it did
}

// NotifyTargets returns the targets of notifications.
func (c *Client) NotifyTargets(ctx context.Context) (t NotifyTargets, err error) {
	err = c.call(ctx, http.MethodGet, "notify", nil, nil, &t)
	return t, err
}

// TestNotify sends a test message.
func (c *Client) TestNotify(ctx context.Context, q TestNotify) (t NotifyTested, err error) {
	err = c.call(ctx, http.MethodPost, "notify/test", nil, q, &t)
	return t, err
}

func (s *Server) notifyTargets(_ http.ResponseWriter, r *http.Request, _ Peer) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()
	return s.Notify.NotifyTargets(ctx)
}

func (s *Server) testNotify(_ http.ResponseWriter, r *http.Request, by Peer) (any, error) {
	var q TestNotify
	if err := readJSON(r, &q); err != nil {
		return nil, err
	}

	ctx, cancel := context.WithTimeout(r.Context(), reloadTime)
	defer cancel()
	t, err := s.Notify.TestNotify(ctx, by, q)
	s.changed(by, "notify test", err, "results", len(t.Results))
	return t, err
}
