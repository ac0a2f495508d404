package control

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"
)

// Reporter answers what happened. The answers are the caller's.
type Reporter interface {
	Report(ctx context.Context, q ReportQuery) (Report, error)
	Alerts(ctx context.Context, q AlertQuery) ([]Alert, error)
}

// How much of the past may be asked for at a time.
const (
	MostReported = 1000                  // of each kind
	LongestSince = 3660 * 24 * time.Hour // more than [state] retain can be
	usualSince   = 24 * time.Hour
)

// ReportQuery says what of the past to report. Its zero value means the last 24 hours, MostReported
// of each kind.
type ReportQuery struct {
	Since time.Duration // how far back; hours are reported whole
	Limit int           // of each kind, MostReported at most
}

// AlertQuery says which alerts to list. Its zero value means those of the last 24 hours,
// MostReported at most.
type AlertQuery struct {
	Since time.Duration
	About netip.Addr // alerts about this address, and about prefixes that it is in; invalid: all
	Kind  string     // "": all
	Limit int
}

// Report is what happened in a time. It is made of the journal.
type Report struct {
	From        time.Time      `json:"from"` // the beginning of an hour
	To          time.Time      `json:"to"`
	Bans        BanCounts      `json:"bans"`         // that were decided
	Latest      []PastBan      `json:"latest"`       // of these, the last one first
	Alerts      []Alert        `json:"alerts"`       // the last one first
	AlertCounts map[string]int `json:"alert_counts"` // how many there were, by kind
	Operations  []Operation    `json:"operations"`   // the last one first
	Servers     []Sum          `json:"servers"`      // those with the most failures first
	Sources     []Sum          `json:"sources"`
	Accounts    []Sum          `json:"accounts"`
}

// BanCounts is how many bans were decided.
type BanCounts struct {
	Made     int            `json:"made"`
	ByRule   map[string]int `json:"by_rule"`
	Lifted   int            `json:"lifted"`   // of these, how many were ended early
	Observed int            `json:"observed"` // of these, of how many nothing was dropped
}

// Sum is what a source, an account or a server did. Failures and logins are events: one attempt may
// raise several.
type Sum struct {
	// an address, an account (quoted by [ami.Quote]) or a server; "(others)": all that had no room
	Name     string `json:"name"`
	Server   string `json:"server,omitempty"` // of an account
	Servers  int    `json:"servers"`          // how many servers told of it
	Failures uint64 `json:"failures"`
	Logins   uint64 `json:"logins"`
	// the beginning of the first hour with an event of it
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`             // and of the last one
	Banned bool      `json:"banned,omitempty"` // it is a source that is banned now
}

// Alert is something that a person should know. Account is quoted by [ami.Quote].
type Alert struct {
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"`
	Source  string    `json:"source,omitempty"` // an address or a prefix
	Account string    `json:"account,omitempty"`
	Server  string    `json:"server,omitempty"`
	Reason  string    `json:"reason"`
	Do      string    `json:"do,omitempty"`
}

// AlertList is an answer to Alerts.
type AlertList struct {
	Alerts []Alert `json:"alerts"` // the last one first
}

// Operation is what an operator did.
type Operation struct {
	At     time.Time `json:"at"`
	UID    int       `json:"uid"`
	What   string    `json:"what"` // the verb: ban, unban, allow, …
	Object string    `json:"object,omitempty"`
	Reason string    `json:"reason,omitempty"` // quoted by [ami.Quote]
}

// Report asks what happened.
func (c *Client) Report(ctx context.Context, q ReportQuery) (r Report, err error) {
	err = c.call(ctx, http.MethodGet, "report", sinceValues(q.Since, q.Limit), nil, &r)
	return r, err
}

// Alerts asks for alerts.
func (c *Client) Alerts(ctx context.Context, q AlertQuery) (l AlertList, err error) {
	v := sinceValues(q.Since, q.Limit)
	if q.About.IsValid() {
		v.Set("address", q.About.String())
	}
	if q.Kind != "" {
		v.Set("kind", q.Kind)
	}

	err = c.call(ctx, http.MethodGet, "alerts", v, nil, &l)
	return l, err
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

	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()

	return s.Past.Report(ctx, q)
}

func (s *Server) alerts(_ http.ResponseWriter, r *http.Request, _ Peer) (any, error) {
	v := r.URL.Query()
	q := AlertQuery{Kind: v.Get("kind")}
	var err error
	if q.Since, q.Limit, err = parseSince(v); err != nil {
		return nil, err
	}

	if a := v.Get("address"); a != "" {
		if q.About, err = netip.ParseAddr(a); err != nil {
			return nil, Errorf(CodeBadRequest, "address: is no address")
		}
		q.About = q.About.Unmap().WithZone("")
	}

	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()

	found, err := s.Past.Alerts(ctx, q)
	return AlertList{found}, err
}

// parseSince reads how far back and how many.
func parseSince(v url.Values) (since time.Duration, limit int, err error) {
	since, limit = usualSince, MostReported
	if text := v.Get("since_seconds"); text != "" {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil || seconds < 1 || seconds > int64(LongestSince/time.Second) {
			return 0, 0, Errorf(CodeBadRequest, "since_seconds: is no number from 1 to %d",
				int64(LongestSince/time.Second))
		}
		since = time.Duration(seconds) * time.Second
	}

	if text := v.Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > MostReported {
			return 0, 0, Errorf(CodeBadRequest, "limit: is no number from 1 to %d", MostReported)
		}
	}

	return since, limit, nil
}
