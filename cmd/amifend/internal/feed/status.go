package feed

import (
	"fmt"
	"slices"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
)

// The states of a feed.
const (
	StateNone    = "none"    // there is no list yet
	StateWaiting = "waiting" // there is none in force, and one takes the yes of an operator
	StateCurrent = "current"
	StateStale   = "stale"   // older than seven days, and still in force
	StateDropped = "dropped" // older than thirty days, and not in force
)

// Status is the state of a feed.
type Status struct {
	Name     string
	Kind     string // its source, or "url" or "file"
	State    string
	Prefixes int
	Ignored  int   // entries in private or reserved networks
	Bad      int   // lines that are neither an entry nor a comment
	BadLines []int // the first of them
	Fetched  time.Time
	Age      time.Duration
	Next     time.Time // when it is fetched
	Problem  string    // why the last list was not taken; "": it was
	Disk     string    // what is wrong with the list on the disk; "": nothing
	Waiting  int       // prefixes of the list that waits; 0: none does
	Why      string    // it waits
}

// Status returns the state of all feeds, in the order of the config. It never waits.
func (k *Keeper) Status() []Status { return slices.Clone(*k.status.Load()) }

// publish makes the status.
func (k *Keeper) publish(now time.Time) {
	out := make([]Status, 0, len(k.feeds))
	for _, s := range k.feeds {
		st := Status{
			Name: s.conf.Name, Kind: s.kind(), State: StateNone, Problem: s.problem, Disk: s.disk,
			Next: s.next.Round(0), Why: s.why,
		}
		if s.waiting != nil {
			st.Waiting, st.State = len(s.waiting.Prefixes), StateWaiting
		}
		if s.list != nil {
			st.State = s.ageState(now)
			st.Prefixes, st.Ignored = len(s.list.Prefixes), s.list.Ignored
			st.Bad, st.BadLines = s.list.Bad, s.list.BadLines
			st.Age = s.age(now)
			st.Fetched = now.Round(0).Add(-st.Age)
		}
		out = append(out, st)
	}
	k.status.Store(&out)
}

func (s *state) kind() string {
	switch {
	case s.conf.Source != "":
		return s.conf.Source
	case s.conf.File != "":
		return "file"
	}
	return "url"
}

func (s *state) ageState(now time.Time) string {
	switch {
	case s.dropped(now):
		return StateDropped
	case s.age(now) > StaleAfter:
		return StateStale
	}
	return StateCurrent
}

// lookAtAges opens a condition for each feed whose list is old, or that has had none for as long, and
// ends those of the others.
func (k *Keeper) lookAtAges(now time.Time) {
	var old []string
	for _, s := range k.feeds {
		age := now.Sub(s.since)
		if s.list != nil {
			age = s.age(now)
		}
		if age <= StaleAfter || s.loading(now) {
			continue
		}

		key := alerts.Key(alerts.FeedStale, s.conf.Name)
		old = append(old, key)
		k.o.Book.Raise(key, alerts.Alert{
			Kind: alerts.FeedStale, Text: s.staleText(age),
			Do: "amifend feed list shows why; fetch it by hand, or remove the [[feed]]",
		}, alerts.Span{})
	}

	for _, key := range k.o.Book.Keys(alerts.FeedStale) {
		if !slices.Contains(old, key) {
			k.o.Book.Resolve(key, alerts.Span{})
		}
	}
}

func (s *state) staleText(age time.Duration) string {
	days := int(age / (24 * time.Hour))
	text := fmt.Sprintf("the list of feed %s is %d days old", s.conf.Name, days)
	switch {
	case s.list == nil:
		text = fmt.Sprintf("feed %s has had no list for %d days", s.conf.Name, days)
	case age > dropAfter:
		text += ", and not in force any more"
	}
	switch {
	case s.waiting != nil:
		text += "; a new one waits for: amifend feed accept " + s.conf.Name
	case s.problem != "":
		text += ": " + s.problem
	}
	return text
}
