package live

import (
	"strconv"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// rateSpan is the time over which a rate is measured: long enough for a number that can be read.
const rateSpan = 5 * time.Second

// trail is what the daemon counted in the last seconds, the oldest first.
type trail []sample

type sample struct {
	at     time.Time
	since  time.Time // of the daemon's start
	counts control.LiveCounts
}

// rates holds numbers a second. One below 0 is unknown.
type rates struct{ events, attempts, bans, dropped float64 }

// add adds an answer of the daemon.
func (t trail) add(l control.Live) trail {
	now := sample{l.At, l.Since, l.Counts}

	// The counters of a daemon that started since begin at 0.
	if n := len(t); n > 0 && (!t[n-1].since.Equal(now.since) || !now.at.After(t[n-1].at)) {
		if t[n-1].at.Equal(now.at) {
			return t // the daemon's answer to another screen
		}
		t = nil
	}

	// One sample that is older stays, so that the span is as long as it should be.
	t = append(append(trail(nil), t...), now)
	for len(t) > 2 && now.at.Sub(t[1].at) >= rateSpan {
		t = t[1:]
	}
	return t
}

// rates returns the rates over the time of t.
func (t trail) rates() rates {
	if len(t) < 2 {
		return rates{-1, -1, -1, -1}
	}
	first, last := t[0], t[len(t)-1]
	span := last.at.Sub(first.at).Seconds()
	rate := func(before, after uint64) float64 {
		if after < before {
			return 0 // a server was removed, or the kernel's rules are new
		}
		return float64(after-before) / span
	}

	out := rates{
		events:   rate(first.counts.Events, last.counts.Events),
		attempts: rate(first.counts.Attempts, last.counts.Attempts),
		bans:     rate(first.counts.Bans, last.counts.Bans),
		dropped:  -1,
	}
	if first.counts.Dropped != nil && last.counts.Dropped != nil {
		out.dropped = rate(*first.counts.Dropped, *last.counts.Dropped)
	}
	return out
}

// rateText returns a number a second in at most eight columns.
func rateText(r float64) string {
	switch {
	case r < 0:
		return "?/s"
	case r < 99.95:
		return strconv.FormatFloat(r, 'f', 1, 64) + "/s"
	default:
		return number(uint64(r+0.5)) + "/s"
	}
}

// number returns a number in at most five columns.
func number(n uint64) string {
	switch {
	case n < 100_000:
		return strconv.FormatUint(n, 10)
	case n < 10_000_000:
		return strconv.FormatUint(n/1000, 10) + "k"
	case n < 10_000_000_000:
		return strconv.FormatUint(n/1_000_000, 10) + "M"
	default:
		return strconv.FormatUint(n/1_000_000_000, 10) + "G"
	}
}

// span returns a duration in at most four columns, such as 45s, 12m, 5h or 30d.
func span(d time.Duration) string {
	unit := func(n time.Duration, name string) string {
		return strconv.FormatInt(int64(d/n), 10) + name
	}
	switch {
	case d < 0:
		return "0s"
	case d < 100*time.Second:
		return unit(time.Second, "s")
	case d < 100*time.Minute:
		return unit(time.Minute, "m")
	case d < 48*time.Hour:
		return unit(time.Hour, "h")
	default:
		return unit(24*time.Hour, "d")
	}
}
