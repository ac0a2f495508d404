package control

import (
	"context"
	"net/http"
)

// Reconciled counts the bans on which kernel, journal and engine disagreed, by what was done.
type Reconciled struct {
	PutBack int `json:"put_back"` // into the kernel, which lacked them or had another end
	// into the kernel and the engine; only the journal had them
	Restored int `json:"restored"`
	// into the journal and the engine; only the kernel had them
	Adopted      int `json:"adopted"`
	Lifted       int `json:"lifted"`        // from the kernel, which still had them
	EndCorrected int `json:"end_corrected"` // in the journal, which had another one
	WrittenAgain int `json:"written_again"` // into the journal, which lacked them
}

// Repaired returns the number of bans that were not the same everywhere.
func (r Reconciled) Repaired() int {
	return r.PutBack + r.Restored + r.Adopted + r.Lifted + r.EndCorrected + r.WrittenAgain
}

// Reconcile makes the daemon compare kernel, journal and engine, and repair what differs.
func (c *Client) Reconcile(ctx context.Context) (r Reconciled, err error) {
	err = c.call(ctx, http.MethodPost, "reconcile", nil, nil, &r)
	return r, err
}

func (s *Server) reconcile(_ http.ResponseWriter, r *http.Request, by Peer) (any, error) {
	// With very many bans, kernel and journal take seconds to read.
	ctx, cancel := context.WithTimeout(r.Context(), reloadTime)
	defer cancel()
	done, err := s.Reconcile(ctx, by)
	s.changed(by, "reconcile", err, "repaired", done.Repaired())
	return done, err
}
