package control

import (
	"context"
	"net/http"
)

// Reconciled tells what kernel, journal and engine did not agree on, and what was done about it:
// how many bans each.
type Reconciled struct {
	PutBack      int `json:"put_back"`      // were not in the kernel, or until another time
	Restored     int `json:"restored"`      // only the journal had them
	Adopted      int `json:"adopted"`       // only the kernel had them
	Lifted       int `json:"lifted"`        // the kernel had them, though they were lifted
	EndCorrected int `json:"end_corrected"` // until another time in the journal
	WrittenAgain int `json:"written_again"` // the journal did not have them
}

// Repaired is how many bans were not the same everywhere.
func (r Reconciled) Repaired() int {
	return r.PutBack + r.Restored + r.Adopted + r.Lifted + r.EndCorrected + r.WrittenAgain
}

// Reconcile has kernel, journal and engine compared.
func (c *Client) Reconcile(ctx context.Context) (r Reconciled, err error) {
	err = c.call(ctx, http.MethodPost, "reconcile", nil, nil, &r)
	return r, err
}

func (s *Server) reconcile(_ http.ResponseWriter, r *http.Request, by Peer) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()
	done, err := s.Reconcile(ctx, by)
	s.changed(by, "reconcile", err, "repaired", done.Repaired())
	return done, err
}
