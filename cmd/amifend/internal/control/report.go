package control

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Reporter answers questions about the past. The caller owns the answers.
type Reporter interface {
	Report(ctx context.Context, q ReportQuery) (Report, error)
	Alerts(ctx context.Context, q AlertQuery) (AlertList, error)
	// Logins returns how accounts logged in, so far back.
	Logins(ctx context.Context, since time.Duration) (LoginList, error)
}

// Bounds of a question about the past.
const (
	MostReported = 1000                  // of each kind
	LongestSince = 3660 * 24 * time.Hour // more than [state] retain can be
	usualSince   = 24 * time.Hour
)

// ReportQuery selects what to report. The zero value means the last 24 hours, at most MostReported
// of each kind.
type ReportQuery struct {
	Since time.Duration // how far back; hours count whole
	Limit int           // of each kind, at most MostReported
	Trend bool          // with Trend
}

// Report is a summary of the journal over a time.
type Report struct {
	From        time.Time      `json:"from"` // the beginning of an hour
	To          time.Time      `json:"to"`
	Bans        BanCounts      `json:"bans"`         // that were decided
	Latest      []PastBan      `json:"latest"`       // of these, the last one first
	Alerts      []Alert        `json:"alerts"`       // the last one first, see AlertList
	AlertCounts map[string]int `json:"alert_counts"` // how many there were, by kind
	Operations  []Operation    `json:"operations"`   // the last one first
	Servers     []Sum          `json:"servers"`      // those with the most failures first
	Sources     []Sum          `json:"sources"`
	Accounts    []Sum          `json:"accounts"`
	Trend       *Trend         `json:"trend,omitempty"` // only if it was asked for
	Audit       *Audit         `json:"audit,omitempty"` // of a weekly report
}

// BanCounts counts the bans that were decided.
type BanCounts struct {
	Made   int            `json:"made"`
	ByRule map[string]int `json:"by_rule"`
	Lifted int            `json:"lifted"` // of these, those that were ended early
	// of these, those that dropped no packet because amifend only observed
	Observed int `json:"observed"`
}

// Sum counts the events of a source, an account or a server. One attempt may raise several events.
type Sum struct {
	// an address, an account (quoted by [ami.Quote]) or a server; "(others)": all that had no room
	Name     string `json:"name" text:"quoted"`
	Server   string `json:"server,omitempty"` // of an account
	Servers  int    `json:"servers"`          // how many servers reported it
	Failures uint64 `json:"failures"`
	Logins   uint64 `json:"logins"`
	// the beginning of the first hour with an event
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`             // the beginning of the last hour with an event
	Banned bool      `json:"banned,omitempty"` // a source that is banned now
	Origin *Origin   `json:"origin,omitempty"` // of a source
}

// Operation is one action of an operator.
type Operation struct {
	At     time.Time `json:"at"`
	UID    int       `json:"uid"`
	Says   string    `json:"says,omitempty"` // the name that the operator's command gave
	What   string    `json:"what"`           // the verb: ban, unban, allow, …
	Object string    `json:"object,omitempty"`
	Reason string    `json:"reason,omitempty" text:"quoted"` // quoted by [ami.Quote]
}

// Report returns a summary of the past.
func (c *Client) Report(ctx context.Context, q ReportQuery) (r Report, err error) {
	v := sinceValues(q.Since, q.Limit)
	if q.Trend {
		v.Set("trend", "true")
	}
	err = c.call(ctx, http.MethodGet, "report", v, nil, &r)
	return r, err
}

func sinceValues(since time.Duration, limit int) url.Values {
	v := url.Values{}
	if since > 0 {
		v.Set("since_seconds", strconv.FormatInt(int64(max(1, since/time.Second)), 10))
	}
	if limit > 0 {
		v.Set("limit", strconv.Itoa(limit))
	}
	return v
}

func (s *Server) report(_ http.ResponseWriter, r *http.Request, _ Peer) (any, error) {
	v := r.URL.Query()
	q := ReportQuery{}
	var err error
	if q.Since, q.Limit, err = parseSince(v); err != nil {
		return nil, err
	}

	switch v.Get("trend") {
	case "true":
		q.Trend = true
	case "", "false":
	default:
		return nil, Errorf(CodeBadRequest, "trend: write true or false")
	}

	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()

	return s.Past.Report(ctx, q)
}

// parseSince reads the parameters since_seconds and limit.
func parseSince(v url.Values) (since time.Duration, limit int, err error) {
	since, limit = usualSince, MostReported
	if text := v.Get("since_seconds"); text != "" {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil || seconds < 1 || seconds > int64(LongestSince/time.Second) {
			return 0, 0, Errorf(CodeBadRequest, "since_seconds: is not a number from 1 to %d",
				int64(LongestSince/time.Second))
		}
		since = time.Duration(seconds) * time.Second
	}

	if text := v.Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > MostReported {
			return 0, 0, Errorf(CodeBadRequest, "limit: is not a number from 1 to %d", MostReported)
		}
	}

	return since, limit, nil
}
