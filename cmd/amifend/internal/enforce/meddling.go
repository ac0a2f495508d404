package enforce

import (
	"log/slog"
	"time"
)

const (
	// gonePause is the pause before the table is laid out again while another program keeps
	// deleting it. It does not grow: the bans must be back soon after that program has stopped.
	gonePause = 5 * time.Millisecond
	// tellEvery is how often one kind of such a change is logged.
	tellEvery = time.Minute
)

// meddling counts what other programs took out of the kernel within an hour.
type meddling struct {
	minutes [60]int // how often, by minute
	minute  int64   // of the last one
	last    int64   // by the daemon's clock; 0: never
	retry   int64   // the table is not laid out before
	told    map[string]telling
}

// telling is when a message was logged last, and how often it was left out since.
type telling struct {
	at   int64
	left int
}

// note counts one deletion. It returns how long to wait before the repair.
func (m *meddling) note(now int64) time.Duration {
	m.age(now)
	m.minutes[m.minute%60]++

	// The first one is repaired at once. A program that goes on must not take all of our time.
	var pause time.Duration
	if m.last != 0 && now-m.last < int64(time.Second) {
		pause = gonePause
	}
	m.last = now
	m.retry = now + int64(pause)
	return pause
}

// age forgets what is older than an hour.
func (m *meddling) age(now int64) {
	minute := now / int64(time.Minute)
	for m.minute = max(m.minute, minute-60); m.minute < minute; {
		m.minute++
		m.minutes[m.minute%60] = 0
	}
}

// times returns how often there was something within the last hour.
func (m *meddling) times(now int64) (n int) {
	m.age(now)
	for _, c := range m.minutes {
		n += c
	}
	return n
}

// tell logs a message, at most once a minute, with the number of those that were left out. It
// reports whether it was logged.
func (m *meddling) tell(now int64, log func(string, ...any), text string, attrs ...any) bool {
	t, ok := m.told[text]
	if ok && now-t.at < int64(tellEvery) {
		t.left++
		m.told[text] = t
		return false
	}

	if t.left > 0 {
		attrs = append(attrs, slog.Int("more", t.left))
	}
	if m.told == nil {
		m.told = make(map[string]telling)
	}
	m.told[text] = telling{at: now} // as many as there are texts in this package
	log(text, attrs...)
	return true
}
