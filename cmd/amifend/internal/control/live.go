package control

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Live is the present and the last hour, for a screen that asks every second.
type Live struct {
	At      time.Time `json:"at"`
	Version string    `json:"version"`
	Since   time.Time `json:"since"` // when the daemon started
	// it bans nobody: it observes, only logs bans, or its trial is over
	Dry    bool       `json:"dry"`
	Counts LiveCounts `json:"counts"` // since the start
	// the last hour as far as the daemon runs, the oldest minute first; the last one goes on
	Minutes []LiveCounts `json:"minutes"`
	Servers []LiveServer `json:"servers"`
	// who failed most in the last hour. A source or an account that was never among the 64 that failed
	// most in a minute is missing.
	Sources  []LiveSum `json:"sources"`
	Accounts []LiveSum `json:"accounts"`
	Running  int       `json:"running"` // bans as decided, without those of a trial that is over
	Bans     []Ban     `json:"bans"`    // of these, the newest first
	// the open conditions, the worst first; then the latest event of each other kind of the last day
	Alerts []Alert `json:"alerts"`
	// parts that did not answer in time: what they have to say is missing
	Busy []string `json:"busy"`
}

// LiveCounts counts what happened.
type LiveCounts struct {
	Events   uint64 `json:"events"`   // security events of all servers
	Attempts uint64 `json:"attempts"` // of these, those of failed attempts
	Bans     uint64 `json:"bans"`     // that were made, or would have been by a daemon that bans nobody
	// packets that bans dropped; null: unknown
	Dropped *uint64 `json:"dropped"`
}

// LiveServer is the link to one PBX.
type LiveServer struct {
	Name      string    `json:"name"`
	Connected bool      `json:"connected"`
	Phase     string    `json:"phase"`
	Since     time.Time `json:"since"` // of the phase
	// since when no events come
	Down time.Time `json:"down,omitzero"`
	// what keeps it from working now
	Problem string `json:"problem,omitempty"`
	Error   string `json:"error,omitempty"` // the same in words

	Events     uint64  `json:"events"`
	EventsRate float64 `json:"events_per_second"`
	Lag        float64 `json:"lag_seconds"`
	Latency    float64 `json:"latency_seconds"`
}

// LiveSum counts the events of a source or an account in the last hour.
type LiveSum struct {
	Name     string    `json:"name"`             // an address, or an account quoted by [ami.Quote]
	Server   string    `json:"server,omitempty"` // of an account
	Servers  int       `json:"servers"`          // how many servers reported it
	Failures uint64    `json:"failures"`
	Logins   uint64    `json:"logins"`
	Lately   uint64    `json:"lately"` // failures of the last minute, or up to two
	Last     time.Time `json:"last"`   // the last minute with a failure
	Banned   bool      `json:"banned,omitempty"`
}

// MostLive is the most entries of each list of Live.
const MostLive = 100

// usualLive is the number of entries without a limit.
const usualLive = 20

// Live returns the present and the last hour, with at most limit entries of each list.
func (c *Client) Live(ctx context.Context, limit int) (l Live, err error) {
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	err = c.call(ctx, http.MethodGet, "live", q, nil, &l)
	return l, err
}

func (s *Server) live(_ http.ResponseWriter, r *http.Request, _ Peer) (any, error) {
	limit := usualLive
	if text := r.URL.Query().Get("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > MostLive {
			return nil, Errorf(CodeBadRequest, "limit: is not a number from 1 to %d", MostLive)
		}
	}

	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()
	return s.Live(ctx, limit)
}
