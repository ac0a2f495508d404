package control

import (
	"context"
	"net/http"
	"net/netip"
	"time"
)

// Limiter is the state of the limiter, which limits in the kernel what strangers send. It bans nobody.
type Limiter struct {
	Mode    string `json:"mode"`              // off, observe (it drops nothing) or on, as it works now
	Problem string `json:"problem,omitempty"` // why it is off, or does not drop although it should
	Known   int    `json:"known"`             // sources that logged in, and are not limited
	Counts  Beyond `json:"beyond"`            // since the table was made
}

// Beyond counts packets beyond the limits.
type Beyond struct {
	Dropped uint64 `json:"dropped"` // of sources that sent too much
	Passed  uint64 `json:"passed"`  // the same, while nothing was to be dropped

	// of sources that were not measured yet, when these together sent too much
	StrangersDropped uint64 `json:"strangers_dropped"`
	StrangersPassed  uint64 `json:"strangers_passed"`
}

// Limited is a source that sent more than the limiter allows, in the last ten minutes.
type Limited struct {
	Source  netip.Prefix `json:"source"`  // an address, or an IPv6 /64
	Dropped bool         `json:"dropped"` // false: its packets passed, and would have been dropped
	Packets uint64       `json:"packets"` // beyond the limit
	Last    time.Time    `json:"last"`    // when it was beyond the limit last
}

// LimitedList lists who is limited, or would be.
type LimitedList struct {
	Limiter Limiter   `json:"limiter"`
	Sources []Limited `json:"sources"` // most packets first, 1,000 at most
	More    int       `json:"more"`    // sources that are left out
}

// Limited returns who is limited, or would be.
func (c *Client) Limited(ctx context.Context) (l LimitedList, err error) {
	err = c.call(ctx, http.MethodGet, "limited", nil, nil, &l)
	return l, err
}

func (s *Server) limited(_ http.ResponseWriter, r *http.Request, _ Peer) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()
	return s.Limited(ctx)
}
