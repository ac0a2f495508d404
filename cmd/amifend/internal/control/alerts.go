package control

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// AlertQuery selects alerts. The zero value means the last 24 hours, at most MostReported.
type AlertQuery struct {
	Since time.Duration
	About netip.Addr // alerts about this address, and about prefixes that it is in; invalid: all
	Kind  string     // "": all
	Limit int
}

// Alert is something that a person should know. Account is quoted by [ami.Quote].
//
// It is an event, which is reported once, or a condition, which lasts. Only a condition has an ID,
// Last and Count, and At is its beginning.
type Alert struct {
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"`
	Source  string    `json:"source,omitempty"` // an address or a prefix
	Account string    `json:"account,omitempty" text:"quoted"`
	Server  string    `json:"server,omitempty"`
	Reason  string    `json:"reason"`
	Do      string    `json:"do,omitempty"`

	Severity string    `json:"severity"`          // critical, warning or notice
	ID       string    `json:"id,omitempty"`      // names the condition to `amifend alerts ignore`
	Open     bool      `json:"open"`              // the condition goes on
	Last     time.Time `json:"last,omitzero"`     // when it was noticed last
	Ended    time.Time `json:"ended,omitzero"`    // when it was over
	Count    int       `json:"count,omitempty"`   // how often it was noticed
	Ignored  string    `json:"ignored,omitempty"` // the note of the operator who silenced it
}

// AlertList is the answer to Alerts. Where there is no room for all, alerts that forged packets can
// raise are left out first.
type AlertList struct {
	Alerts  []Alert        `json:"alerts"`  // the last one first
	Total   int            `json:"total"`   // how many there are with those that were left out
	Ignored []IgnoredAlert `json:"ignored"` // the conditions that operators silenced
}

// IgnoreAlert is a request to silence a condition.
type IgnoreAlert struct {
	ID   string `json:"id"`
	Note string `json:"note"`
}

// IgnoredAlert is a condition that an operator silenced: it is not reported, neither now nor when
// it comes again.
type IgnoredAlert struct {
	ID      string    `json:"id"`
	Kind    string    `json:"kind"`
	Source  string    `json:"source,omitempty"`
	Account string    `json:"account,omitempty" text:"quoted"` // quoted by [ami.Quote]
	Server  string    `json:"server,omitempty"`
	At      time.Time `json:"at"` // when it was silenced
	By      string    `json:"by"`
	Note    string    `json:"note"`
	// of an answer: what the caller should know, such as that it is not on the disk yet
	Warning string `json:"warning,omitempty"`
}

// Silencer silences alerts for an operator.
type Silencer interface {
	IgnoreAlert(ctx context.Context, by Peer, q IgnoreAlert) (IgnoredAlert, error)
	HeedAlert(ctx context.Context, by Peer, id string) (IgnoredAlert, error)
}

// Alerts returns alerts of the past and those that are open.
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

// IgnoreAlert silences an open condition.
func (c *Client) IgnoreAlert(ctx context.Context, q IgnoreAlert) (i IgnoredAlert, err error) {
	err = c.call(ctx, http.MethodPost, "alerts/ignored", nil, q, &i)
	return i, err
}

// HeedAlert undoes IgnoreAlert.
func (c *Client) HeedAlert(ctx context.Context, id string) (i IgnoredAlert, err error) {
	err = c.call(ctx, http.MethodDelete, "alerts/ignored", url.Values{"id": {id}}, nil, &i)
	return i, err
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
			return nil, Errorf(CodeBadRequest, "address: is not an address")
		}
		q.About = q.About.Unmap().WithZone("")
	}

	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()
	return s.Past.Alerts(ctx, q)
}

// mostNote is the length of a note in bytes.
const mostNote = 500

func (s *Server) ignoreAlert(_ http.ResponseWriter, r *http.Request, by Peer) (any, error) {
	var q IgnoreAlert
	if err := readJSON(r, &q); err != nil {
		return nil, err
	}
	if q.Note == "" || len(q.Note) > mostNote {
		return nil, Errorf(CodeBadRequest, "note: write one of at most %d bytes", mostNote)
	}

	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()
	ignored, err := s.Silence.IgnoreAlert(ctx, by, q)
	s.changed(by, "ignore an alert", err, "kind", ignored.Kind, "source", ignored.Source)
	return ignored, err
}

func (s *Server) heedAlert(_ http.ResponseWriter, r *http.Request, by Peer) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()
	heeded, err := s.Silence.HeedAlert(ctx, by, r.URL.Query().Get("id"))
	s.changed(by, "heed an alert", err, "kind", heeded.Kind, "source", heeded.Source)
	return heeded, err
}
