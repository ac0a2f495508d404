package control

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/amifend/amifend/ami"
)

func (s *Server) status(_ http.ResponseWriter, r *http.Request, _ Peer) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()
	return s.Read.Status(ctx)
}

// bans streams the list of bans. A list may be long, so few are made at a time.
func (s *Server) bans(w http.ResponseWriter, r *http.Request, by Peer) (any, error) {
	query, err := parseBanQuery(r.URL.Query())
	if err != nil {
		return nil, err
	}

	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()

	// Each right has a place of its own: a reader who reads slowly does not keep an operator
	// waiting.
	listing := s.listing[s.access.mayChange(by)]
	select {
	case listing <- struct{}{}:
		defer func() { <-listing }()
	case <-ctx.Done():
		return nil, Errorf(CodeBusy, "others are listing bans").Advise("try again")
	}

	list, err := s.Read.Bans(ctx, query)
	if err != nil {
		return nil, err
	}

	w.Header().Set(headerTotal, strconv.Itoa(list.Total))
	w.Header().Set(headerMatched, strconv.Itoa(list.Matched))
	w.Header().Set("Content-Type", typeLines)
	lines := newLines(w)

	for some := list.Bans; ; {
		for i := range some {
			if lines.write(&some[i]) != nil {
				return nil, nil // the client is gone
			}
		}
		if list.Next == nil {
			break
		}

		// The client must not take half of a list for all of it.
		if some, err = nextBans(r.Context(), list); err != nil {
			panic(http.ErrAbortHandler)
		}
		if len(some) == 0 {
			break
		}
	}

	_ = lines.flush() // fails only when the client is gone
	return nil, nil
}

// nextBans returns the next bans of a list.
func nextBans(ctx context.Context, l BanList) ([]Ban, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	return l.Next(ctx)
}

func (s *Server) allowed(_ http.ResponseWriter, r *http.Request, _ Peer) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()
	entries, err := s.Read.Allowed(ctx)
	return AllowList{entries}, err
}

func (s *Server) explain(_ http.ResponseWriter, r *http.Request, _ Peer) (any, error) {
	addr, err := netip.ParseAddr(r.URL.Query().Get("address"))
	if err != nil {
		return nil, Errorf(CodeBadRequest, "address: is not an address")
	}

	zone := time.UTC
	if name := r.URL.Query().Get("zone"); name != "" {
		// Only names: LoadLocation refuses those that lead out of the folder of zones.
		if zone, err = time.LoadLocation(name); err != nil {
			return nil, Errorf(CodeBadRequest, "zone: is not a time zone that this machine knows")
		}
	}

	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()

	return s.Explain(withZone(ctx, zone), addr.Unmap().WithZone(""))
}

// zoneKey is the context key of the zone that a client asked for.
type zoneKey struct{}

func withZone(ctx context.Context, zone *time.Location) context.Context {
	return context.WithValue(ctx, zoneKey{}, zone)
}

// Zone returns the time zone in which the client of a request wants to read times.
func Zone(ctx context.Context) *time.Location {
	if zone, ok := ctx.Value(zoneKey{}).(*time.Location); ok {
		return zone
	}
	return time.UTC
}

func (s *Server) ban(_ http.ResponseWriter, r *http.Request, by Peer) (any, error) {
	var wanted NewBans
	if err := readJSON(r, &wanted); err != nil {
		return nil, err
	}

	// A bound on bans bounds the time of the answer.
	if len(wanted.Bans) == 0 || len(wanted.Bans) > MostBans {
		return nil, Errorf(CodeBadRequest, "%d bans in one request; 1 to %d are possible",
			len(wanted.Bans), MostBans)
	}

	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()

	results, err := s.Ban.Ban(ctx, by, wanted.Bans)
	failed := 0
	for _, res := range results {
		if res.Error != nil {
			failed++
		}
	}

	// The log names the first ban only: an import may hold a thousand.
	s.changed(by, "ban", err, "bans", len(wanted.Bans), "first", wanted.Bans[0].Prefix.String(),
		"reason", ami.Quote([]byte(wanted.Bans[0].Reason)), "failed", failed)

	return Banned{results}, err
}

func (s *Server) unban(_ http.ResponseWriter, r *http.Request, by Peer) (any, error) {
	q := r.URL.Query()
	var within netip.Prefix
	switch {
	case q.Get("all") != "true":
		var err error
		if within, err = netip.ParsePrefix(q.Get("within")); err != nil ||
			within != within.Masked() {
			return nil, Errorf(CodeBadRequest, "within: is not a prefix")
		}
	case q.Has("within"):
		return nil, Errorf(CodeBadRequest, "all and within: write one of them")
	}

	// An invalid prefix means all from here on.
	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()

	lifted, err := s.Ban.Unban(ctx, by, within)
	what := within.String()
	if !within.IsValid() {
		what = "all"
	}

	s.changed(by, "unban", err, "prefix", what, "lifted", lifted.Count)
	return lifted, err
}

func (s *Server) allow(_ http.ResponseWriter, r *http.Request, by Peer) (any, error) {
	var wanted NewAllow
	if err := readJSON(r, &wanted); err != nil {
		return nil, err
	}

	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()

	allowed, err := s.Allow.Allow(ctx, by, wanted)
	s.changed(by, "allow", err, "prefix", prefixOrName(wanted.Prefix, wanted.Name), "for_seconds",
		wanted.For, "reason", ami.Quote([]byte(wanted.Reason)))

	return allowed, err
}

func (s *Server) disallow(_ http.ResponseWriter, r *http.Request, by Peer) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()

	if name := r.URL.Query().Get("name"); name != "" {
		allowed, err := s.Allow.DisallowName(ctx, by, name)
		s.changed(by, "disallow", err, "name", ami.Quote([]byte(name)))
		return allowed, err
	}

	prefix, err := netip.ParsePrefix(r.URL.Query().Get("prefix"))
	if err != nil {
		return nil, Errorf(CodeBadRequest, "prefix: is not a prefix")
	}

	allowed, err := s.Allow.Disallow(ctx, by, prefix)
	s.changed(by, "disallow", err, "prefix", prefix.String())
	return allowed, err
}

// prefixOrName returns what is allowed, for the log.
func prefixOrName(prefix netip.Prefix, name string) string {
	if name != "" {
		return ami.Quote([]byte(name))
	}
	return prefix.String()
}

func (s *Server) reload(_ http.ResponseWriter, r *http.Request, by Peer) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), reloadTime)
	defer cancel()
	reloaded, err := s.Reload(ctx, by)
	s.changed(by, "reload", err, "changed", reloaded.Changed)
	return reloaded, err
}

// events streams events until the client goes.
func (s *Server) events(w http.ResponseWriter, r *http.Request, _ Peer) (any, error) {
	filter, err := parseEventFilter(r.URL.Query())
	if err != nil {
		return nil, err
	}

	f := s.Events.follow(filter)
	if f == nil {
		return nil, Errorf(CodeBusy, "%d clients follow events already",
			mostFollows).Advise("end one of them")
	}
	defer s.Events.leave(f)

	w.Header().Set("Content-Type", typeLines)
	lines := newLines(w)

	// The client waits for the first bytes to know that it is following.
	if lines.flush() != nil {
		return nil, nil
	}

	// When the daemon stops, a full part may be followed by what still waits.
	for more := true; more; {
		var events []Event
		events, more = f.next(r.Context())
		s.score(r.Context(), events)
		for i := range events {
			if lines.write(&events[i]) != nil {
				return nil, nil
			}
		}
		if n := f.lost.Swap(0); n > 0 && lines.write(Event{Lost: n}) != nil {
			return nil, nil
		}
		if lines.idle(len(f.events)) != nil {
			return nil, nil
		}
	}
	return nil, nil
}

// score adds the scores of their sources to events. Without an answer they are sent as they are.
func (s *Server) score(ctx context.Context, events []Event) {
	if s.Scores == nil || len(events) == 0 {
		return
	}

	// So many at once are a flood. The judge, which all events wait for, is not asked then.
	if len(events) >= linesPart {
		return
	}

	place := map[netip.Addr]int{}
	var addrs []netip.Addr
	for i := range events {
		addr := events[i].Source.Addr()
		if _, known := place[addr]; !known && addr.IsValid() {
			place[addr] = len(addrs)
			addrs = append(addrs, addr)
		}
	}

	ctx, cancel := context.WithTimeout(ctx, scoreTime)
	defer cancel()
	scores, err := s.Scores(ctx, addrs)
	if err != nil {
		return
	}
	for i := range events {
		if at, known := place[events[i].Source.Addr()]; known {
			events[i].Score = &scores[at]
		}
	}
}

// Names in the answers' headers.
const (
	headerTotal   = "Amifend-Total"
	headerMatched = "Amifend-Matched"
	typeLines     = "application/x-ndjson"
	typeJSON      = "application/json"
)

// lines writes JSON, one value a line. The client must read each part within answerTime.
type lines struct {
	control *http.ResponseController
	encode  *json.Encoder
	n       int
}

// scoreTime is the longest wait for the scores of events.
const scoreTime = time.Second

// linesPart is the number of lines between two deadlines.
const linesPart = 256

func newLines(w http.ResponseWriter) *lines {
	l := &lines{control: http.NewResponseController(w), encode: json.NewEncoder(w)}
	_ = l.control.SetWriteDeadline(time.Now().Add(answerTime)) // unix sockets have deadlines
	return l
}

func (l *lines) write(v any) error {
	if l.n++; l.n%linesPart == 0 {
		if err := l.control.SetWriteDeadline(time.Now().Add(answerTime)); err != nil {
			return err
		}
	}
	return l.encode.Encode(v)
}

// idle flushes when no further line waits.
func (l *lines) idle(waiting int) error {
	if waiting > 0 {
		return nil
	}
	return l.flush()
}

func (l *lines) flush() error {
	if err := l.control.SetWriteDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	return l.control.Flush()
}

// readJSON decodes a body that holds one object with known fields.
func readJSON(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(v)

	if err == nil {
		// A second value would be a second request that nobody sees.
		if _, err = d.Token(); err == nil {
			err = errors.New("something follows the object")
		} else if errors.Is(err, io.EOF) {
			err = nil
		}
	}

	if err != nil {
		return Errorf(CodeBadRequest, "the request's body is not valid: %.200s", err)
	}

	return nil
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", typeJSON)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that is gone needs no answer
}

func writeError(w http.ResponseWriter, err error) {
	e := asError(err)
	writeJSON(w, statuses[e.Code], struct {
		Error *Error `json:"error"`
	}{e})
}
