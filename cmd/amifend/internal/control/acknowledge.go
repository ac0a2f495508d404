package control

import (
	"context"
	"net/http"
)

// Acknowledged names what was removed from the status.
type Acknowledged struct {
	Journal bool `json:"journal"` // the loss of the journal; false: none was shown
}

// Acknowledge removes from the status what an operator has seen.
func (c *Client) Acknowledge(ctx context.Context) (a Acknowledged, err error) {
	err = c.call(ctx, http.MethodPost, "acknowledge", nil, nil, &a)
	return a, err
}

func (s *Server) acknowledge(_ http.ResponseWriter, r *http.Request, by Peer) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()
	done, err := s.Acknowledge(ctx, by)
	s.changed(by, "acknowledge", err, "journal", done.Journal)
	return done, err
}
