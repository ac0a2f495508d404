package control

import (
	"context"
	"net/http"
	"time"
)

// Trial is a time whose bans end with it, unless an operator keeps them.
type Trial struct {
	Ends time.Time `json:"ends"`
	Over bool      `json:"over"` // it has ended, and nobody is banned
	Bans int       `json:"bans"` // made in it, or decided since it ended
}

// Kept is the result of keeping a trial's bans.
type Kept struct {
	Bans int    `json:"bans"` // that last their whole time now
	Note string `json:"note,omitempty"`
}

// Keep ends a trial and keeps its bans.
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
