package control

import (
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amifend/amifend/ami"
)

// Event is a security event as it is told to who follows them. Account and Session are quoted by
// [ami.Quote].
type Event struct {
	Time      time.Time      `json:"time,omitzero"` // by the PBX's clock
	Server    string         `json:"server,omitempty"`
	Kind      string         `json:"kind,omitempty"`
	Service   string         `json:"service,omitempty"`
	Transport string         `json:"transport,omitempty"`
	Source    netip.AddrPort `json:"source,omitzero"`
	Local     netip.AddrPort `json:"local,omitzero"`
	Account   string         `json:"account,omitempty"`
	Session   string         `json:"session,omitempty"`
	Taint     string         `json:"taint,omitempty"` // why the text of the event is not believed
	// alone in its line: as many events were left out
	Lost uint64 `json:"lost,omitempty"`
}

// EventFilter says which events to follow. Its zero value means all.
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
			return f, Errorf(CodeBadRequest, "within: is no prefix")
		}
	}

	for _, name := range v["kind"] {
		k, ok := ami.ParseKind(name)
		if !ok {
			return f, Errorf(CodeBadRequest, "kind: %s is no event of Asterisk",
				ami.Quote([]byte(name))).
				Advise("write one like InvalidAccountID, InvalidPassword or " +
					"ChallengeResponseFailed")
		}

		f.kinds = append(f.kinds, k)
	}

	return f, nil
}

// eventFilter is an EventFilter that was checked.
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

// followerRoom is how many events may wait for a follower.
const followerRoom = 512

// Feed hands events on to who follows them. It never waits for any of them, and while there is none
// it costs a load of one number. Its zero value is ready.
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

// Publish hands on an event of a server. Nothing of it is kept.
func (f *Feed) Publish(server string, ev *ami.Event) {
	if f.count.Load() > 0 {
		f.publish(server, ev)
	}
}

func (f *Feed) publish(server string, ev *ami.Event) {
	f.mu.RLock()
	defer f.mu.RUnlock()

	var told Event
	for _, to := range f.followers {
		if !to.filter.matches(server, ev) {
			continue
		}

		// before the text is made, which a flood would do in vain
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

// follow returns nil when there are too many followers.
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

// Followers is how many follow.
func (f *Feed) Followers() int { return int(f.count.Load()) }

func (f *Feed) leave(gone *follower) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.followers = slices.DeleteFunc(f.followers, func(o *follower) bool { return o == gone })
	f.count.Store(int32(len(f.followers)))
}
