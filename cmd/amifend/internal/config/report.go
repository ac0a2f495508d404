package config

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// Report holds when the weekly report is sent.
type Report struct {
	Weekly Weekly
}

// Weekly is a moment of each week, in local time. The zero value means never.
type Weekly struct {
	On  bool
	Day time.Weekday
	At  int // minutes after midnight
	// Every, if not 0, is the time between two such moments, whatever Day and At are. The file cannot
	// set it: tests do.
	Every time.Duration
}

// Next returns the first such moment after a time, in the zone of that time.
func (w Weekly) Next(after time.Time) time.Time {
	if w.Every > 0 {
		return after.Truncate(w.Every).Add(w.Every)
	}
	days := (int(w.Day) - int(after.Weekday()) + 7) % 7
	next := w.on(after, days)
	if !next.After(after) {
		next = w.on(after, days+7)
	}
	return next
}

// Last returns the last such moment that is not after a time.
func (w Weekly) Last(now time.Time) time.Time {
	if w.Every > 0 {
		return now.Truncate(w.Every)
	}
	return w.Next(now.AddDate(0, 0, -7))
}

// on returns the moment of the day that is some days later. The day has 23 or 25 hours when the
// clocks change, so the hour is set and not added.
func (w Weekly) on(after time.Time, days int) time.Time {
	year, month, day := after.Date()
	return time.Date(year, month, day+days, w.At/60, w.At%60, 0, 0, after.Location())
}

var (
	weekly = regexp.MustCompile(`^(?i)(sun|mon|tue|wed|thu|fri|sat) ([01][0-9]|2[0-3]):([0-5][0-9])$`)
	dayOf  = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
)

// report reads [report].
func (l *loader) report(raw rawReport) Report {
	text := get(l, "report.weekly", raw.Weekly, "")
	if text == "" {
		return Report{}
	}

	m := weekly.FindStringSubmatch(text)
	if m == nil {
		l.problem("report.weekly",
			"is not a moment of the week; write it like \"Mon 08:00\", in local time")
		return Report{}
	}
	at, _ := time.Parse("15:04", m[2]+":"+m[3]) // the expression accepts nothing else
	return Report{Weekly{
		On: true, Day: time.Weekday(slices.Index(dayOf, strings.ToLower(m[1]))),
		At: at.Hour()*60 + at.Minute(),
	}}
}
