package control

import (
	"context"
	"net/http"
	"time"
)

// Trial is a time whose bans end with it, unless they are kept.
type Trial struct {
	Ends time.Time `json:"ends"`
	Over bool      `json:"over"` // it has ended, and nobody is banned
	Bans int       `json:"bans"` // made in it, or after it if that were not over
}

// Kept tells what became of a trial's bans.
type Kept struct {
	Bans int    `json:"bans"` // that have their whole time now
	Note string `json:"note,omitempty"`
}

// Keep ends a trial: its bans are kept.
func (c *Client) Keep(ctx context.Context) (k Kept, err error) {
	err = c.call(ctx, http.MethodPost, "keep", nil, nil, &k)
	return k, err
}

func (s *Server) keep(_ http.ResponseWriter, r *http.Request, by Peer) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()
	kept, err := s.Keep(ctx, by)
	s.changed(by, "keep", err, "bans", kept.Bans)
	return kept, err
}
