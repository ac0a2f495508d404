package feed

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
)

// APIBAN (https://apiban.org/doc.html) answers with 250 addresses at a time, the oldest first, and an
// ID that the next request names. An address is active for seven days after it was named last. A key
// may send 11 requests in two minutes, and on older documents 5.
const (
	apibanPage   = 250
	apibanPages  = 4               // in one fetch
	apibanPause  = 3 * time.Minute // until the next fetch, when there is more
	apibanActive = 7 * 24 * time.Hour
	apibanBytes  = 1 << 20 // of an answer
	apibanID     = 64      // bytes of an ID
)

// fetchAPIBAN asks for what is new since the last list.
func fetchAPIBAN(ctx context.Context, c config.Feed, last *List) (*List, error) {
	client, err := newClient(c)
	if err != nil {
		return nil, err
	}

	now := time.Now()
	seen := active(last, now)
	id := ""
	if last != nil && len(seen) > 0 {
		id = last.ID // without any address left, all are asked for anew
	}

	more := true
	bad := 0
	for range apibanPages {
		page, err := askAPIBAN(ctx, client, c, id)
		if err != nil {
			return nil, err
		}

		for _, text := range page.Addresses {
			p, ok := parsePrefix(text)
			switch {
			case !ok:
				bad++
			case !isReserved(p):
				seen[p] = now.Unix()
			}
		}
		if len(page.Addresses) == 0 || page.ID == id {
			more = false
			break
		}

		id = page.ID
		if more = len(page.Addresses) >= apibanPage; !more {
			break
		}
	}

	// A list without a single address is possible when the API was never used before.
	l := &List{ID: id, More: more, Fetched: now, Bad: bad}
	for _, p := range slices.SortedFunc(maps.Keys(seen), netip.Prefix.Compare) {
		if p.Bits() < p.Addr().BitLen() {
			return nil, refuse("it names a prefix, where it should name addresses")
		}
		l.Prefixes = append(l.Prefixes, p)
		l.Seen = append(l.Seen, seen[p])
	}
	switch {
	case len(l.Prefixes) > mostPrefixes:
		return nil, refuse("it has more than %d entries", mostPrefixes)
	case len(l.Prefixes) == 0 && bad > 0:
		return nil, refuse("it has no address; what it names is something else")
	}
	return l, nil
}

// active returns the addresses of a list that are still active, each with the time when it was named.
// One that was named in the future, by a clock that was wrong, counts as named now.
func active(l *List, now time.Time) map[netip.Prefix]int64 {
	seen := make(map[netip.Prefix]int64)
	if l == nil {
		return seen
	}
	for i, p := range l.Prefixes {
		if i >= len(l.Seen) {
			break
		}
		at := min(l.Seen[i], now.Unix())
		if now.Unix()-at < int64(apibanActive/time.Second) {
			seen[p] = at
		}
	}
	return seen
}

// apibanAnswer is an answer of the API.
type apibanAnswer struct {
	Addresses []string
	ID        string
}

// askAPIBAN asks for the addresses after an ID; "": for the oldest.
func askAPIBAN(
	ctx context.Context, client *http.Client, c config.Feed, id string,
) (apibanAnswer, error) {
	to := strings.TrimRight(c.URL.Reveal(), "/") + "/" + url.PathEscape(c.Key.Reveal()) + "/banned"
	if id != "" {
		to += "/" + url.PathEscape(id)
	}

	res, err := getAPIBAN(ctx, client, to)
	if err != nil {
		return apibanAnswer{}, err
	}
	defer res.Body.Close()

	body, err := io.ReadAll(io.LimitReader(res.Body, apibanBytes))
	if err != nil {
		return apibanAnswer{}, err
	}

	// An error has a text in the place of the list.
	var a struct {
		Addresses json.RawMessage `json:"ipaddress"`
		ID        string          `json:"ID"`
	}
	var list []string
	if json.Unmarshal(body, &a) == nil && a.ID == "none" {
		return apibanAnswer{ID: id}, nil // nothing new
	}
	switch {
	case res.StatusCode != http.StatusOK:
		return apibanAnswer{}, statusError(res.StatusCode)
	case json.Unmarshal(a.Addresses, &list) != nil || a.ID == "" || len(a.ID) > apibanID:
		return apibanAnswer{}, refuse("its answer is not that of the APIBAN API")
	}
	return apibanAnswer{Addresses: list, ID: a.ID}, nil
}

// getAPIBAN sends a request. That there is nothing new comes as HTTP 400.
func getAPIBAN(ctx context.Context, client *http.Client, to string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, to, http.NoBody)
	if err != nil || r.URL.Scheme != "https" {
		return nil, refuse("its URL cannot be used")
	}
	r.Header.Set("User-Agent", "amifend")

	res, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusBadRequest {
		res.Body.Close()
		return nil, statusError(res.StatusCode)
	}
	return res, nil
}
