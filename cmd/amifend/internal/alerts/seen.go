package alerts

import (
	"cmp"
	"slices"
	"time"
)

// Seen is the latest alert of a kind. There is one for each kind, so that many of one kind do not
// push out the others.
type Seen struct {
	Alert
	At    time.Time
	Count int // events, or beginnings of conditions, in the last 24 hours of the clock

	key   string // of a condition
	hours [24]int
	hour  int64 // of the latest entry of hours
}

// saw notes an event, or that a condition of a key began.
func (b *Book) saw(key string, a Alert, now time.Time) {
	b.reported[a.Kind]++
	s := b.latest[a.Kind]
	if s == nil {
		s = &Seen{}
		b.latest[a.Kind] = s
	}
	s.Alert, s.At, s.key = a, now, key
	s.pass(now)
	s.hours[s.hour%24]++
}

// pass lets time pass: the hours that are over a day ago count nothing.
func (s *Seen) pass(now time.Time) {
	hour := now.Unix() / 3600
	for h := max(s.hour+1, hour-23); h <= hour; h++ {
		s.hours[h%24] = 0
	}
	s.hour = max(s.hour, hour)
}

// Latest returns the latest alert of each kind of the last day that has one, the worst kinds first.
// A condition that is ignored by now is left out.
func (b *Book) Latest() []Seen {
	b.mu.Lock()
	defer b.mu.Unlock()

	var out []Seen
	now := time.Now()
	for _, s := range b.latest {
		if now.Sub(s.At) >= day || b.ignored.Has(s.key) {
			continue
		}
		s.pass(now)
		s.Count = 0
		for _, n := range s.hours {
			s.Count += n
		}
		out = append(out, *s)
	}
	slices.SortFunc(out, func(x, y Seen) int {
		return cmp.Or(cmp.Compare(KindOf(x.Kind).Severity, KindOf(y.Kind).Severity),
			y.At.Compare(x.At), cmp.Compare(x.Kind, y.Kind))
	})
	return out
}
