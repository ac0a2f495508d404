package control

import (
	"context"
	"net/http"
	"time"
)

// LoginList is how the accounts of phones logged in.
type LoginList struct {
	From     time.Time     `json:"from"` // the beginning of an hour
	Accounts []AccountUsed `json:"accounts"`
	// servers whose chan_sip raised events, of logins or of attempts
	ChanSIP []string `json:"chan_sip"`
}

// AccountUsed is how an account logged in. Logins that a sender without the password could have
// forged do not count.
type AccountUsed struct {
	Server  string `json:"server"`
	Account string `json:"account" text:"quoted"` // quoted by [ami.Quote]
	Logins  uint64 `json:"logins"`
	UDP     bool   `json:"udp"` // it logged in over UDP
	TCP     bool   `json:"tcp"` // over TCP or WebSocket, without TLS
	TLS     bool   `json:"tls"` // over TLS, also with WebSocket
	ChanSIP bool   `json:"chan_sip"`
	// networks (/24, /48 of IPv6) from which it logged in: at least so many, 64 at most
	Networks int `json:"networks"`
}

// Logins returns how accounts logged in, so far back.
func (c *Client) Logins(ctx context.Context, since time.Duration) (l LoginList, err error) {
	err = c.call(ctx, http.MethodGet, "logins", sinceValues(since, 0), nil, &l)
	return l, err
}

func (s *Server) logins(_ http.ResponseWriter, r *http.Request, _ Peer) (any, error) {
	since, _, err := parseSince(r.URL.Query())
	if err != nil {
		return nil, err
	}

	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()
	return s.Past.Logins(ctx, since)
}
