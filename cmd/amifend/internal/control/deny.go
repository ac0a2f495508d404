package control

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/amifend/amifend/ami"
)

// Denied prefixes by command: see also [Denied], which counts those of the config as well.

// MostDenied is the number of prefixes that one request may deny.
const MostDenied = 1000

// NewDeny is a request to deny prefixes of any length: their packets are always dropped.
type NewDeny struct {
	Prefixes []netip.Prefix `json:"prefixes"`
	Note     string         `json:"note,omitempty"`
}

// DenyResults answers a request to deny prefixes, or to deny them no longer, in the same order.
type DenyResults struct {
	Results []DenyResult `json:"results"`
}

// DenyResult is the result for one prefix.
type DenyResult struct {
	Prefix netip.Prefix `json:"prefix"`
	By     string       `json:"by,omitempty"`
	At     time.Time    `json:"at,omitzero"`
	Note   string       `json:"note,omitempty" text:"quoted"` // quoted by [ami.Quote]
	// in_kernel, pending, dry, or trial: it waits for amifend keep
	State   string `json:"state,omitempty"`
	Warning string `json:"warning,omitempty"` // what of it is not dropped, or not yet, and why
	Error   *Error `json:"error,omitempty"`
}

// DenyEntry is a prefix that is denied by command.
type DenyEntry struct {
	Prefix netip.Prefix `json:"prefix"`
	By     string       `json:"by,omitempty"`
	At     time.Time    `json:"at,omitzero"`
	Note   string       `json:"note,omitempty" text:"quoted"` // quoted by [ami.Quote]
}

// DenyList lists what is denied by command.
type DenyList struct {
	Entries []DenyEntry `json:"entries"` // by prefix
	Config  int         `json:"config"`  // prefixes that [deny] of the config lists
}

// Denier keeps the list of what operators deny.
type Denier interface {
	DenyList(ctx context.Context) (DenyList, error)
	Deny(ctx context.Context, by Peer, n NewDeny) ([]DenyResult, error)
	Undeny(ctx context.Context, by Peer, prefixes []netip.Prefix) ([]DenyResult, error)
}

// DenyList returns what is denied by command.
func (c *Client) DenyList(ctx context.Context) (l DenyList, err error) {
	err = c.call(ctx, http.MethodGet, "deny", nil, nil, &l)
	return l, err
}

// Deny denies prefixes. A refused prefix is an Error in its result.
func (c *Client) Deny(ctx context.Context, n NewDeny) (r DenyResults, err error) {
	err = c.call(ctx, http.MethodPost, "deny", nil, n, &r)
	return r, err
}

// Undeny ends what Deny began.
func (c *Client) Undeny(ctx context.Context, prefixes []netip.Prefix) (r DenyResults, err error) {
	v := url.Values{}
	for _, p := range prefixes {
		v.Add("prefix", p.String())
	}
	err = c.call(ctx, http.MethodDelete, "deny", v, nil, &r)
	return r, err
}

func (s *Server) denyList(_ http.ResponseWriter, r *http.Request, _ Peer) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()
	return s.Deny.DenyList(ctx)
}

func (s *Server) deny(_ http.ResponseWriter, r *http.Request, by Peer) (any, error) {
	var wanted NewDeny
	if err := readJSON(r, &wanted); err != nil {
		return nil, err
	}
	if n := len(wanted.Prefixes); n == 0 || n > MostDenied {
		return nil, Errorf(CodeBadRequest, "%d prefixes in one request; 1 to %d are possible", n,
			MostDenied)
	}

	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()

	results, err := s.Deny.Deny(ctx, by, wanted)
	s.changed(by, "deny", err, "prefixes", len(wanted.Prefixes), "first",
		wanted.Prefixes[0].String(), "note", ami.Quote([]byte(wanted.Note)), "failed",
		failedDenials(results))
	return DenyResults{results}, err
}

func (s *Server) undeny(_ http.ResponseWriter, r *http.Request, by Peer) (any, error) {
	var prefixes []netip.Prefix
	for _, text := range r.URL.Query()["prefix"] {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, Errorf(CodeBadRequest, "prefix: is not a prefix")
		}
		prefixes = append(prefixes, p)
	}
	if len(prefixes) == 0 {
		return nil, Errorf(CodeBadRequest, "prefix: is missing")
	}

	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()

	results, err := s.Deny.Undeny(ctx, by, prefixes)
	s.changed(by, "undeny", err, "prefixes", len(prefixes), "first", prefixes[0].String(),
		"failed", failedDenials(results))
	return DenyResults{results}, err
}

// failedDenials counts the results that are errors.
func failedDenials(results []DenyResult) (n int) {
	for _, r := range results {
		if r.Error != nil {
			n++
		}
	}
	return n
}
