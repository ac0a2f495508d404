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
	// Enforce: amifend observed before, and observes again when the trial ends
	Enforce bool `json:"enforce,omitempty"`
}

// The bounds of a trial that Enforce begins.
const (
	LeastTrial = time.Second
	MostTrial  = 24 * time.Hour
)

// NewTrial asks to end observing for a trial.
type NewTrial struct {
	For float64 `json:"for_seconds"` // 1 to 86400
}

// Enforced answers NewTrial. The daemon changes over right after the answer: `observe` of the
// status says when it has.
type Enforced struct {
	Ends time.Time `json:"ends"` // about; the status has the exact time
}

// Enforce ends observing for a trial. The bans of the trial end with it, unless it is kept.
func (c *Client) Enforce(ctx context.Context, trial time.Duration) (e Enforced, err error) {
	err = c.call(ctx, http.MethodPost, "enforce", nil, NewTrial{trial.Seconds()}, &e)
	return e, err
}

func (s *Server) enforce(_ http.ResponseWriter, r *http.Request, by Peer) (any, error) {
	var wanted NewTrial
	if err := readJSON(r, &wanted); err != nil {
		return nil, err
	}
	if wanted.For < LeastTrial.Seconds() || wanted.For > MostTrial.Seconds() {
		return nil, Errorf(CodeBadRequest, "for_seconds: a trial takes from %v to %v", LeastTrial, MostTrial)
	}

	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()
	trial := time.Duration(wanted.For * float64(time.Second))
	e, err := s.Enforce(ctx, by, trial)
	s.changed(by, "enforce", err, "trial", trial.String())
	return e, err
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
