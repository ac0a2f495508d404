package asterisklog

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// Asterisk writes a time by `dateformat` of logger.conf, which is `%b %e %T` unless it is set.
// These are the forms that are understood, with or without parts of a second; syslog's, journald's
// and docker's are among them.
func layouts() []string {
	return []string{
		"Jan _2 15:04:05",
		"2006-01-02 15:04:05",
		"2006-01-02T15:04:05",
		"2006-01-02T15:04:05Z07:00",
		"2006-01-02T15:04:05-0700",
		"2006-01-02 15:04:05 -0700",
		"2006-01-02 15:04:05-0700",
		"2006-01-02 15:04:05-07:00",
		"2006-01-02 15:04:05 -07:00",
		"2006-01-02 15:04:05 MST",
		"2006-01-02_15:04:05",
		"2006/01/02 15:04:05",
		"2006.01.02 15:04:05",
		"20060102 15:04:05",
		"20060102T150405",
		"20060102-150405",
		"Mon 2006-01-02 15:04:05 MST",
		"Mon 2006-01-02 15:04:05 -07",
		"2006-01-02 15:04:05 -07",
		"Jan _2 2006 15:04:05",
		"Jan _2, 2006 15:04:05",
		"Jan _2 15:04:05 2006",
		"Jan _2 15:04:05 MST",
		"Mon Jan _2 15:04:05",
		"Mon Jan _2 15:04:05 2006",
		"Mon Jan _2 15:04:05 MST 2006",
		"Mon, 02 Jan 2006 15:04:05 -0700",
		"Mon _2 Jan 2006 15:04:05",
		"Mon _2 Jan 2006 15:04:05 MST",
		"_2 Jan 2006 15:04:05",
		"_2-Jan-2006 15:04:05",
		"_2/Jan/2006:15:04:05 -0700",
		"_2/Jan/2006 15:04:05",
		"_2 Jan 15:04:05",
		"_2.1.2006 15:04:05",
		"_2.1.06 15:04:05",
		"_2.1. 15:04:05",
		"2006-01-02 03:04:05 PM",
		"Jan _2 03:04:05 PM",
		"Jan _2 2006 03:04:05 PM",
		"Mon _2 Jan 2006 03:04:05 PM MST",
	}
}

// dayFirst and monthFirst are forms of which the numbers alone tell which is meant; the same index
// is the same form.
func dayFirst() []string {
	return []string{
		"_2/1/2006 15:04:05", "_2/1/06 15:04:05", "_2-1-2006 15:04:05", "_2-1-06 15:04:05",
		"_2/1/2006 03:04:05 PM", "_2/1 15:04:05",
		"_2/1/2006 15:04:05 MST",
	}
}

func monthFirst() []string {
	return []string{
		"1/_2/2006 15:04:05", "1/_2/06 15:04:05", "1-_2-2006 15:04:05", "1-_2-06 15:04:05",
		"1/_2/2006 03:04:05 PM", "1/_2 15:04:05",
		"1/_2/2006 15:04:05 MST",
	}
}

// order is which of two numbers is the day.
type order uint8

const (
	orderUnknown order = iota
	orderDayFirst
	orderMonthFirst
)

// stampReader reads the stamps of one file.
type stampReader struct {
	location *time.Location
	modified time.Time
	layouts  []string
	layout   int   // the one that fitted last
	order    order // as a stamp of the file tells
	offset   *time.Location
	last     time.Time

	seen     []byte // the stamp that was parsed last, and its time
	seenTime time.Time
}

func newStampReader(o Options) stampReader {
	s := stampReader{location: o.Location, modified: o.Modified, layouts: layouts()}
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
	if len(stamp) > 0 && bytes.Equal(stamp, s.seen) {
		return s.seenTime, true
	}
	t, ok := s.parseNew(string(stamp))
	if !ok || t.Year() < 1970 || t.Year() > 2261 {
		return time.Time{}, false
	}
	s.last = t
	s.seen, s.seenTime = append(s.seen[:0], stamp...), t
	return t, true
}

func (s *stampReader) parseNew(text string) (time.Time, bool) {
	for i := range s.layouts {
		n := (s.layout + i) % len(s.layouts)
		if t, ok := s.as(s.layouts[n], text); ok {
			s.layout = n
			return t, true
		}
	}
	if t, ok := parseEpoch(text); ok {
		return t, true
	}
	return s.parseOrdered(text)
}

// as reads a stamp by one layout.
func (s *stampReader) as(layout, text string) (time.Time, bool) {
	t, err := time.ParseInLocation(layout, text, s.zone())
	if err != nil {
		return time.Time{}, false
	}
	if strings.Contains(layout, "MST") {
		if t, err = time.ParseInLocation(layout, text, s.location); err != nil || !s.known(t) {
			return time.Time{}, false
		}
	}
	if t.Year() == 0 {
		t = s.withYear(t)
	}
	if !strings.Contains(layout, "0700") && !strings.Contains(layout, "07:00") &&
		!strings.Contains(layout, "MST") {
		t = s.twice(t)
	}
	return t, true
}

// zone is where stamps without an offset were written.
func (s *stampReader) zone() *time.Location {
	if s.offset != nil {
		return s.offset
	}
	return s.location
}

// known reports whether the name of the zone in a stamp is one that is known: UTC, or one of the
// location's. Of another one package time makes a zone without an offset.
func (s *stampReader) known(t time.Time) bool {
	name, offset := t.Zone()
	return t.Location() == s.location || offset == 0 && (name == "UTC" || name == "GMT" ||
		name == "Z")
}

// learn notes the offset of the PBX's clock from UTC, which a security line tells in EventTV next
// to the stamp of the same moment. It matters only where it is not the location's.
func (s *stampReader) learn(stamp []byte, event time.Time) {
	t, ok := s.parse(stamp)
	if !ok || hasOffset(stamp) {
		return
	}
	const quarter, near = 15 * time.Minute, 30 * time.Second
	off := event.Sub(t)
	steps := off.Round(quarter)
	if steps == 0 || (off-steps).Abs() > near || steps.Abs() > 26*time.Hour {
		return
	}
	_, seconds := t.Zone()
	s.offset = time.FixedZone("", seconds-int(steps/time.Second))
	s.seen, s.last = s.seen[:0], event
}

// hasOffset reports whether a stamp ends with an offset or the name of a zone, or is an epoch: it
// needs no location.
func hasOffset(stamp []byte) bool {
	const epoch, colons, plain = 9, len("+01:00"), len("+0100")
	n := len(stamp)
	switch {
	case countDigits(stamp) >= epoch && bytes.IndexByte(stamp, ' ') < 0 &&
		bytes.IndexByte(stamp, '-') < 0:
		return true
	case n < colons+1:
		return false
	case stamp[n-1] >= 'A' && stamp[n-1] <= 'Z' && !bytes.HasSuffix(stamp, []byte("M")):
		return true
	case stamp[n-3] == ':' && (stamp[n-colons] == '+' || stamp[n-colons] == '-'):
		return true
	}
	return (stamp[n-plain] == '+' || stamp[n-plain] == '-') && allDigits(stamp[n-plain+1:])
}

// parseEpoch reads seconds since 1970, `%s`, with or without parts, and milliseconds.
func parseEpoch(text string) (time.Time, bool) {
	whole, part, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	switch {
	case err != nil || n < 0:
		return time.Time{}, false
	case len(whole) == len("1795399800123"):
		return time.UnixMilli(n), true
	case len(whole) < 9 || len(whole) > 10 || len(part) > 9:
		return time.Time{}, false
	}
	nanos, err := strconv.ParseInt((part + "000000000")[:9], 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	return time.Unix(n, nanos), true
}

// parseOrdered reads a form whose numbers alone tell which is the day. If they do not, the file's
// other stamps or the time of its last change do: no line is younger, and most are not much older.
func (s *stampReader) parseOrdered(text string) (time.Time, bool) {
	days, months := dayFirst(), monthFirst()
	for i := range days {
		day, isDay := s.as(days[i], text)
		month, isMonth := s.as(months[i], text)
		switch {
		case !isDay && !isMonth:
			continue
		case isDay && isMonth && !day.Equal(month):
			if s.order == orderUnknown && s.dayIsNearer(day, month) || s.order == orderDayFirst {
				return day, true
			}
			return month, true
		case isDay && !isMonth:
			s.order = orderDayFirst
			return day, true
		case isMonth && !isDay:
			s.order = orderMonthFirst
			return month, true
		}
		return day, true
	}
	return time.Time{}, false
}

func (s *stampReader) dayIsNearer(day, month time.Time) bool {
	latest := s.modified.Add(24 * time.Hour)
	if day.After(latest) != month.After(latest) {
		return month.After(latest)
	}
	return latest.Sub(day).Abs() <= latest.Sub(month).Abs()
}

// disorder is how much earlier than the one before it a line may be, since several threads write.
const disorder = 10 * time.Second

// twice returns which of two times a stamp means of the hour that comes twice when summer time
// ends: the first, unless a line before it was later. Else a step back would count, and shift all
// that follows by an hour.
func (s *stampReader) twice(t time.Time) time.Time {
	const near = 6 * time.Hour // no zone changes twice within
	_, before := t.Add(-near).Zone()
	_, after := t.Add(near).Zone()
	if before <= after {
		return t
	}
	wall := time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(),
		t.Nanosecond(), time.UTC)
	in := func(offset int) (time.Time, bool) {
		at := wall.Add(-time.Duration(offset) * time.Second).In(t.Location())
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

// withYear finds the year of a stamp that has none: the first line of a file was not written after
// the file's last change, and later ones follow it. A new year is a step back of more than half a
// year.
func (s *stampReader) withYear(t time.Time) time.Time {
	in := func(year int) time.Time {
		return time.Date(year, t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(),
			t.Location())
	}
	const half, nearly = 183 * 24 * time.Hour, 350 * 24 * time.Hour
	if s.last.IsZero() {
		first := in(s.modified.In(t.Location()).Year())
		if first.After(s.modified.Add(24 * time.Hour)) {
			return in(first.Year() - 1)
		}
		return first
	}

	year := s.last.In(t.Location()).Year()
	guess := in(year)
	switch {
	case s.last.Sub(guess) > half:
		return in(year + 1)
	case guess.Sub(s.last) > nearly: // two threads, two years
		return in(year - 1)
	}
	return guess
}
