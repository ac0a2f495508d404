package control

import (
	"context"
	"net/http"
	"time"
)

// Undone is what the caller's last command did, and what became of it.
type Undone struct {
	What    string       `json:"what"` // ban, unban, allow, disallow, deny or undeny
	At      time.Time    `json:"at"`   // of the command
	Changes []UndoneItem `json:"changes"`
}

// UndoneItem is one change of a command.
type UndoneItem struct {
	Object   string `json:"object"`             // such as an address
	Restored int    `json:"restored,omitempty"` // bans that are in force again
	Observed bool   `json:"observed,omitempty"` // amifend observes: they only would be
	Note     string `json:"note,omitempty"`
	Error    *Error `json:"error,omitempty"` // why it could not be undone
}

// Undoer undoes what operators did.
type Undoer interface {
	// LastCommand returns what Undo would undo.
	LastCommand(by Peer) (Undone, error)
	Undo(ctx context.Context, by Peer) (Undone, error)
}

// LastCommand returns what Undo would undo.
func (c *Client) LastCommand(ctx context.Context) (u Undone, err error) {
	err = c.call(ctx, http.MethodGet, "undo", nil, nil, &u)
	return u, err
}

// Undo undoes the caller's last ban, unban, allow or deny.
func (c *Client) Undo(ctx context.Context) (u Undone, err error) {
	err = c.call(ctx, http.MethodPost, "undo", nil, nil, &u)
	return u, err
}

func (s *Server) lastCommand(_ http.ResponseWriter, _ *http.Request, by Peer) (any, error) {
	return s.Undo.LastCommand(by)
}

func (s *Server) undo(_ http.ResponseWriter, r *http.Request, by Peer) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()

	undone, err := s.Undo.Undo(ctx, by)
	s.changed(by, "undo", err, "command", undone.What, "changes", len(undone.Changes))
	return undone, err
}
