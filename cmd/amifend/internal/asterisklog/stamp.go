package asterisklog

import (
	"strings"
	"time"
)

// layouts are the time stamps that are understood: `dateformat` of logger.conf is `%b %e %T` unless it is set, and most
// set it to one of the others, with or without parts of a second. Syslog's two are among them.
var layouts = [...]string{
	"Jan _2 15:04:05",
	"2006-01-02 15:04:05",
	"2006-01-02T15:04:05",
	"2006-01-02T15:04:05Z07:00",
	"2006-01-02T15:04:05-0700",
	"2006-01-02 15:04:05 -0700",
	"2006-01-02 15:04:05-0700",
	"2006/01/02 15:04:05",
	"Jan _2 2006 15:04:05",
	"Jan _2 15:04:05 2006",
}

// stampReader reads the stamps of one file.
type stampReader struct {
	location *time.Location
	modified time.Time
	layout   int // the one that fitted last
	last     time.Time
}

func newStampReader(o Options) stampReader {
	s := stampReader{location: o.Location, modified: o.Modified}
	if s.location == nil {
		s.location = time.Local
	}
	if s.modified.IsZero() {
		s.modified = time.Now()
	}
	return s
}

// parse reads a stamp.
func (s *stampReader) parse(stamp []byte) (time.Time, bool) {
	text := string(stamp)
	for i := range layouts {
		n := (s.layout + i) % len(layouts)
		t, err := time.ParseInLocation(layouts[n], text, s.location)
		if err != nil {
			continue
		}
		s.layout = n
		if t.Year() == 0 {
			t = s.withYear(t)
		}
		if !strings.Contains(layouts[n], "0700") && !strings.Contains(layouts[n], "07:00") {
			t = s.twice(t)
		}
		if t.Year() < 1970 || t.Year() > 2261 {
			return time.Time{}, false
		}
		s.last = t
		return t, true
	}
	return time.Time{}, false
}

// disorder is how much earlier than the one before it a line may be, since several threads write.
const disorder = 10 * time.Second

// twice returns which of two times a stamp means of the hour that comes twice when summer time ends: the first, unless a
// line before it was later. Else a step back would count, and shift all that follows by an hour.
func (s *stampReader) twice(t time.Time) time.Time {
	const near = 6 * time.Hour // no zone changes twice within
	_, before := t.Add(-near).Zone()
	_, after := t.Add(near).Zone()
	if before <= after {
		return t
	}
	wall := time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
	in := func(offset int) (time.Time, bool) {
		at := wall.Add(-time.Duration(offset) * time.Second).In(s.location)
		_, is := at.Zone()
		return at, is == offset
	}
	first, ok := in(before)
	second, also := in(after)
	switch {
	case !ok || !also:
		return t
	case s.last.Sub(first) > disorder:
		return second
	}
	return first
}

// withYear finds the year of a stamp that has none: the first line of a file was not written after the file's last
// change, and later ones follow it. A new year is a step back of more than half a year.
func (s *stampReader) withYear(t time.Time) time.Time {
	in := func(year int) time.Time {
		return time.Date(year, t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), s.location)
	}
	const half, nearly = 183 * 24 * time.Hour, 350 * 24 * time.Hour
	if s.last.IsZero() {
		first := in(s.modified.In(s.location).Year())
		if first.After(s.modified.Add(24 * time.Hour)) {
			return in(first.Year() - 1)
		}
		return first
	}
	year := s.last.In(s.location).Year()
	guess := in(year)
	switch {
	case s.last.Sub(guess) > half:
		return in(year + 1)
	case guess.Sub(s.last) > nearly: // two threads, two years
		return in(year - 1)
	}
	return guess
}
