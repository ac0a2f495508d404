package control

import (
	"context"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amifend/amifend/ami"
)

// Event is a security event as its followers get it. Account and Session are quoted by [ami.Quote].
type Event struct {
	Time      time.Time      `json:"time,omitzero"` // by the PBX's clock
	Server    string         `json:"server,omitempty"`
	Kind      string         `json:"kind,omitempty"`
	Service   string         `json:"service,omitempty"`
	Transport string         `json:"transport,omitempty"`
	Source    netip.AddrPort `json:"source,omitzero"`
	Local     netip.AddrPort `json:"local,omitzero"`
	Account   string         `json:"account,omitempty" text:"quoted"`
	Session   string         `json:"session,omitempty" text:"quoted"`
	Taint     string         `json:"taint,omitempty"` // why the text of the event is not believed
	Score     *Score         `json:"score,omitempty"` // of its source when it was sent; none in a flood
	// the only field of its line: how many events were left out
	Lost uint64 `json:"lost,omitempty"`
}

// Score is what is held against a source, beside what bans it.
type Score struct {
	Score float64 `json:"score"`
	Limit float64 `json:"limit"` // a higher score bans, unless the source is protected or proved
}

// EventFilter selects the events to follow. The zero value selects all.
type EventFilter struct {
	Within netip.Prefix // sources; invalid: all
	Server string
	Kinds  []string // Asterisk's names; none: all
}

func (f EventFilter) values() url.Values {
	v := url.Values{}
	if f.Within.IsValid() {
		v.Set("within", f.Within.String())
	}
	if f.Server != "" {
		v.Set("server", f.Server)
	}

	for _, k := range f.Kinds {
		v.Add("kind", k)
	}

	return v
}

func parseEventFilter(v url.Values) (eventFilter, error) {
	f := eventFilter{server: v.Get("server")}
	if s := v.Get("within"); s != "" {
		var err error
		if f.within, err = netip.ParsePrefix(s); err != nil {
			return f, Errorf(CodeBadRequest, "within: is not a prefix")
		}
	}

	// A misspelt kind must not follow nothing for ever.
	for _, name := range v["kind"] {
		k, ok := ami.ParseKind(name)
		if !ok {
			return f, Errorf(CodeBadRequest, "kind: %s is not an event of Asterisk",
				ami.Quote([]byte(name))).
				Advise("write one like InvalidAccountID, InvalidPassword or " +
					"ChallengeResponseFailed")
		}

		f.kinds = append(f.kinds, k)
	}

	return f, nil
}

// eventFilter is a validated EventFilter.
type eventFilter struct {
	within netip.Prefix
	server string
	kinds  []ami.Kind
}

func (f *eventFilter) matches(server string, ev *ami.Event) bool {
	return (f.server == "" || f.server == server) &&
		(!f.within.IsValid() || f.within.Contains(ev.Source.Addr())) &&
		(len(f.kinds) == 0 || slices.Contains(f.kinds, ev.Kind))
}

// followerRoom is how many events may wait for one follower.
const followerRoom = 512

// Feed passes events on to followers. It never waits for any of them, and without followers it
// costs one atomic load. The zero value is ready.
type Feed struct {
	count atomic.Int32

	mu        sync.RWMutex
	followers []*follower
}

type follower struct {
	filter eventFilter
	events chan Event
	lost   atomic.Uint64
}

// Publish passes on an event of a server. It keeps nothing of ev.
func (f *Feed) Publish(server string, ev *ami.Event) {
	if f.count.Load() > 0 {
		f.publish(server, ev)
	}
}

func (f *Feed) publish(server string, ev *ami.Event) {
	f.mu.RLock()
	defer f.mu.RUnlock()

	// The text is made once, and only if somebody gets it.
	var told Event
	for _, to := range f.followers {
		if !to.filter.matches(server, ev) {
			continue
		}

		// A full queue is counted before the text is made: a flood would make it in vain.
		if len(to.events) == cap(to.events) {
			to.lost.Add(1)
			continue
		}

		if told.Kind == "" {
			told = newEvent(server, ev)
		}

		select {
		case to.events <- told:
		default:
			to.lost.Add(1)
		}
	}
}

// newEvent copies an event and quotes what an attacker chose.
func newEvent(server string, ev *ami.Event) Event {
	e := Event{
		Time: ev.Time, Server: server, Kind: ev.Kind.String(), Service: ev.Service.String(),
		Transport: ev.Transport.String(),
		Source:    ev.Source, Local: ev.Local, Account: ami.Quote(ev.Account),
		Session: ami.Quote(ev.Session),
	}
	if ev.Taint != ami.Untainted {
		e.Taint = ev.Taint.String()
	}
	return e
}

// follow adds a follower. It returns nil when there are too many.
func (f *Feed) follow(filter eventFilter) *follower {
	f.mu.Lock()
	defer f.mu.Unlock()

	if len(f.followers) >= mostFollows {
		return nil
	}

	n := &follower{filter: filter, events: make(chan Event, followerRoom)}
	f.followers = append(f.followers, n)
	f.count.Add(1)

	return n
}

// judgeTime is how long the first of some events waits for others. The engine has judged it by then, so
// that the score holds it.
const judgeTime = 20 * time.Millisecond

// next waits for events, and returns those together that come within judgeTime, up to linesPart. If it
// sees the end of ctx, it returns all that have come until then, and false.
func (f *follower) next(ctx context.Context) (events []Event, more bool) {
	var end <-chan time.Time // nil, which is never ready, before the first event
	for len(events) < linesPart {
		select {
		case ev := <-f.events:
			events = append(events, ev)
			if end == nil {
				end = time.After(judgeTime)
			}
		case <-end:
			return f.waiting(events, linesPart), true
		case <-ctx.Done():
			return f.waiting(events, len(events)+followerRoom), false
		}
	}
	return events, true
}

// waiting appends the events that wait, as long as there are less than most. Nobody else receives them,
// so it does not wait.
func (f *follower) waiting(events []Event, most int) []Event {
	for len(f.events) > 0 && len(events) < most {
		events = append(events, <-f.events)
	}
	return events
}

// Followers returns the number of followers.
func (f *Feed) Followers() int { return int(f.count.Load()) }

// leave removes a follower.
func (f *Feed) leave(gone *follower) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.followers = slices.DeleteFunc(f.followers, func(o *follower) bool { return o == gone })
	f.count.Store(int32(len(f.followers)))
}
