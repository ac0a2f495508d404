package control

import (
	"context"
	"net/http"
	"time"
)

// Feeder answers questions about the feeds of [[feed]]. The caller owns the answers.
type Feeder interface {
	Feeds(ctx context.Context) (Feeds, error)
	AcceptFeed(ctx context.Context, by Peer, q AcceptFeed) (FeedAccepted, error)
}

// Feeds are the feeds of [[feed]].
type Feeds struct {
	Feeds []FeedState `json:"feeds"` // in the order of the config
}

// FeedState is the state of a feed.
type FeedState struct {
	Name string `json:"name"`
	Kind string `json:"kind"` // its source, such as voipbl, or url or file
	// none, waiting (none is in force, and one takes the yes of an operator), current, stale (older
	// than seven days) or dropped (older than thirty days, and not in force)
	State    string    `json:"state"`
	Kernel   string    `json:"kernel"`                // in_kernel, pending, trial or dry
	Prefixes int       `json:"prefixes"`              // of the list
	Ranges   int       `json:"ranges"`                // of addresses that are dropped
	Ignored  int       `json:"ignored"`               // entries in private or reserved networks
	Bad      int       `json:"bad"`                   // lines that are neither an entry nor a comment
	BadLines []int     `json:"bad_lines,omitempty"`   // the numbers of the first of them
	Fetched  time.Time `json:"fetched,omitzero"`      // when the publisher last confirmed the list
	Age      float64   `json:"age_seconds,omitempty"` // of the list
	Next     time.Time `json:"next,omitzero"`         // when it is fetched
	Dropped  *uint64   `json:"dropped,omitempty"`     // packets; absent: the kernel was not asked
	Problem  string    `json:"problem,omitempty"`     // why the last list was not taken
	Disk     string    `json:"disk,omitempty"`        // what is wrong with the list on the disk
	Waiting  int       `json:"waiting,omitempty"`     // prefixes of the list that waits for a yes
	Why      string    `json:"why,omitempty"`         // it waits
	// What the list names and is not dropped, the first fifty.
	Spared     []Spared `json:"spared,omitempty"`
	SparedMore int      `json:"spared_more,omitempty"`
}

// Spared is what a feed lists and must not drop.
type Spared struct {
	Prefix string `json:"prefix"`
	Reason string `json:"reason"`
}

// AcceptFeed asks to put the list in force that waits.
type AcceptFeed struct {
	Name string `json:"name"`
}

// FeedAccepted is the outcome.
type FeedAccepted struct {
	Name     string `json:"name"`
	Prefixes int    `json:"prefixes"`
}

// Feeds returns the state of the feeds.
func (c *Client) Feeds(ctx context.Context) (f Feeds, err error) {
	err = c.call(ctx, http.MethodGet, "feeds", nil, nil, &f)
	return f, err
}

// AcceptFeed puts the list of a feed in force that waits.
func (c *Client) AcceptFeed(ctx context.Context, q AcceptFeed) (f FeedAccepted, err error) {
	err = c.call(ctx, http.MethodPost, "feeds/accept", nil, q, &f)
	return f, err
}

func (s *Server) feeds(_ http.ResponseWriter, r *http.Request, _ Peer) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()
	return s.Feeds.Feeds(ctx)
}

func (s *Server) acceptFeed(_ http.ResponseWriter, r *http.Request, by Peer) (any, error) {
	var q AcceptFeed
	if err := readJSON(r, &q); err != nil {
		return nil, err
	}

	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()
	f, err := s.Feeds.AcceptFeed(ctx, by, q)
	s.changed(by, "feed accept", err, "feed", q.Name)
	return f, err
}
