package asterisklog

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// layouts returns the forms of stamps that are understood, with or without parts of a second.
// Asterisk writes a time by `dateformat` of logger.conf, whose default is `%b %e %T`. The forms of
// syslog, journald and docker are among them.
func layouts() []string {
	return []string{
		// The default of Asterisk, and RFC 3164.
		"Jan _2 15:04:05",

		// The year first, as in ISO 8601.
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

		// journalctl -o short-full
		"Mon 2006-01-02 15:04:05 MST",
		"Mon 2006-01-02 15:04:05 -07",
		"2006-01-02 15:04:05 -07",

		// The month first, by its name: strftime's %c, and what people write by hand.
		"Jan _2 2006 15:04:05",
		"Jan _2, 2006 15:04:05",
		"Jan _2 15:04:05 2006",
		"Jan _2 15:04:05 MST",
		"Mon Jan _2 15:04:05",
		"Mon Jan _2 15:04:05 2006",
		"Mon Jan _2 15:04:05 MST 2006",

		// The day first, as in RFC 2822 and in logs of web servers.
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
		"2006-01-02 3:04:05 PM",
		"Jan _2 3:04:05 PM",
		"Jan _2 2006 3:04:05 PM",
		"Mon _2 Jan 2006 3:04:05 PM MST",
		"2006 Jan _2 15:04:05",
		"2006-01-02-15:04:05",
		"2006-01-02 - 15:04:05",
		"2006-01-02, 15:04:05",
		"2006-01-02 15:04",
		"20060102150405",
		"2006-002 15:04:05",
		"January _2 15:04:05",
		"January _2 2006 15:04:05",
		"January _2, 2006 15:04:05",
		"_2 January 2006 15:04:05",
		"Monday _2 January 2006 15:04:05",
		"Monday, January _2, 2006 15:04:05",
		"Jan _2 15:04:05 MST 2006",
		"Jan _2 15:04",
		"_2.1.2006, 15:04:05",
		"_2.1.06, 15:04:05",
		"_2.1.2006 15.04.05",
		"15:04:05 _2.1.2006",
		"15:04:05 2006-01-02",
		"15:04:05 _2 Jan 2006",
		"_2 Jan 2006 3:04:05 PM",
		"Mon Jan _2 2006 3:04:05 PM",
	}
}

// dayFirst and monthFirst return the forms in which the order of day and month is ambiguous. A form
// has the same index in both.
func dayFirst() []string {
	return []string{
		"_2/1/2006 15:04:05", "_2/1/06 15:04:05", "_2-1-2006 15:04:05", "_2-1-06 15:04:05",
		"_2/1/2006 3:04:05 PM", "_2/1 15:04:05",
		"_2/1/2006 15:04:05 MST", "_2/1/06 3:04:05 PM", "15:04:05 _2/1/2006", "_2/1/2006 15:04",
		"_2/1/2006, 15:04:05", "3:04:05 PM _2/1/2006", "_2-1 15:04:05",
	}
}

func monthFirst() []string {
	return []string{
		"1/_2/2006 15:04:05", "1/_2/06 15:04:05", "1-_2-2006 15:04:05", "1-_2-06 15:04:05",
		"1/_2/2006 3:04:05 PM", "1/_2 15:04:05",
		"1/_2/2006 15:04:05 MST", "1/_2/06 3:04:05 PM", "15:04:05 1/_2/2006", "1/_2/2006 15:04",
		"1/_2/2006, 15:04:05", "3:04:05 PM 1/_2/2006", "1-_2 15:04:05",
	}
}

// order is the order of day and month in the stamps of a file.
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
	layout   int            // index of the one that fitted last
	order    order          // once a stamp of the file shows it
	offset   *time.Location // of the PBX's clock, once a security line shows it
	last     time.Time      // of the last line

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

// parse returns the time of a stamp. It reports false if the form is not known.
func (s *stampReader) parse(stamp []byte) (time.Time, bool) {
	if len(stamp) > 0 && bytes.Equal(stamp, s.seen) {
		return s.seenTime, true
	}

	// Nanoseconds since the epoch overflow in 2262.
	t, ok := s.parseNew(plainStamp(string(stamp)))
	if !ok || t.Year() < 1970 || t.Year() > 2261 {
		return time.Time{}, false
	}

	// Lines of the same second are common, so the last stamp is kept.
	s.last = t
	s.seen = append(s.seen[:0], stamp...)
	s.seenTime = t
	return t, true
}

// plainStamp returns a stamp in the spelling of layouts: numbers padded with blanks (%e, %l, %k)
// are not padded, and halves of the day are written `PM` with a blank in front (%p, %P).
func plainStamp(text string) string {
	text = strings.TrimSpace(strings.ReplaceAll(text, "  ", " "))
	n := len(text)
	for _, half := range [...]string{"am", "pm", "AM", "PM", "a.m.", "p.m."} {
		i := strings.Index(text, half)
		if i < 1 || i+len(half) < n && text[i+len(half)] != ' ' ||
			text[i-1] != ' ' && (text[i-1] < '0' || text[i-1] > '9') {
			continue
		}
		return strings.TrimSuffix(text[:i], " ") + " " + strings.ToUpper(half[:1]) + "M" +
			text[i+len(half):]
	}
	return text
}

func (s *stampReader) parseNew(text string) (time.Time, bool) {
	for i := range s.layouts {
		// A file has one form, so the one that fitted last is tried first.
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

	// The name of a zone has a meaning only in a location that uses it.
	if strings.Contains(layout, "MST") {
		if t, err = time.ParseInLocation(layout, text, s.location); err != nil || !s.known(t) {
			return time.Time{}, false
		}
	}

	// A form without a year, such as syslog's.
	if t.Year() == 0 {
		t = s.withYear(t)
	}

	// A stamp without an offset may be in the hour that comes twice.
	if !strings.Contains(layout, "0700") && !strings.Contains(layout, "07:00") &&
		!strings.Contains(layout, "MST") {
		t = s.twice(t)
	}

	return t, true
}

// zone returns the location of stamps without an offset.
func (s *stampReader) zone() *time.Location {
	if s.offset != nil {
		return s.offset
	}
	return s.location
}

// known reports whether the zone that a stamp names is UTC or one of the location's. For any other
// name package time makes up a zone with offset 0.
func (s *stampReader) known(t time.Time) bool {
	name, offset := t.Zone()
	return t.Location() == s.location || offset == 0 && (name == "UTC" || name == "GMT" ||
		name == "Z")
}

// learn records the offset of the PBX's clock from UTC. A security line has the same moment twice:
// in its stamp, and with an offset in EventTV. The offset matters only if the location has another
// one.
func (s *stampReader) learn(stamp []byte, event time.Time) {
	t, ok := s.parse(stamp)
	if !ok || hasOffset(stamp) {
		return
	}

	// Zones differ by quarters of an hour. Any other difference is the delay of a line.
	const quarter, near = 15 * time.Minute, 30 * time.Second
	off := event.Sub(t)
	steps := off.Round(quarter)
	if steps == 0 || (off-steps).Abs() > near || steps.Abs() > 26*time.Hour {
		return
	}

	// The last stamp was parsed with another offset, so its time must not be used again.
	_, seconds := t.Zone()
	s.offset = time.FixedZone("", seconds-int(steps/time.Second))
	s.seen = s.seen[:0]
	s.last = event
}

// hasOffset reports whether a stamp needs no location, because it ends with an offset or the name
// of a zone, or counts seconds since the epoch.
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

// parseEpoch reads seconds since 1970 (`%s`), with or without a fraction, and milliseconds.
func parseEpoch(text string) (time.Time, bool) {
	whole, part, _ := strings.Cut(text, ".")

	// Nine or ten digits are the years 1973 to 2286; shorter numbers are something else.
	n, err := strconv.ParseInt(whole, 10, 64)
	switch {
	case err != nil || n < 0:
		return time.Time{}, false
	case len(whole) == len("1795399800123"):
		return time.UnixMilli(n), true
	case len(whole) < 9 || len(whole) > 10 || len(part) > 9:
		return time.Time{}, false
	}

	// The fraction may be milliseconds, microseconds or nanoseconds.
	nanos, err := strconv.ParseInt((part + "000000000")[:9], 10, 64)
	if err != nil {
		return time.Time{}, false
	}

	return time.Unix(n, nanos), true
}

// parseOrdered reads a form whose order of day and month is ambiguous. A number above 12 decides.
// Without one, the other stamps of the file decide, and last the time of the file's last change: no
// line is newer, and most lines are not much older.
func (s *stampReader) parseOrdered(text string) (time.Time, bool) {
	days, months := dayFirst(), monthFirst()
	for i := range days {
		// Each form is tried both ways.
		day, isDay := s.as(days[i], text)
		month, isMonth := s.as(months[i], text)
		switch {
		case !isDay && !isMonth:
			continue
		case isDay && isMonth && !day.Equal(month):
			// Both are valid dates, and they differ.
			if s.order == orderUnknown && s.dayIsNearer(day, month) || s.order == orderDayFirst {
				return day, true
			}
			return month, true
		case isDay && !isMonth:
			// A number above 12 fixes the order for all stamps of the file.
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

// dayIsNearer reports whether day fits the time of the file's last change better than month.
func (s *stampReader) dayIsNearer(day, month time.Time) bool {
	latest := s.modified.Add(24 * time.Hour)

	// No line was written after the file's last change, so a date after it is wrong.
	if day.After(latest) != month.After(latest) {
		return month.After(latest)
	}
	return latest.Sub(day).Abs() <= latest.Sub(month).Abs()
}

// disorder is the largest step back between two lines that several threads may cause.
const disorder = 10 * time.Second

// twice resolves a stamp in the hour that comes twice when summer time ends. It means the first of
// the two hours, unless an earlier line was later than that. Without this rule, all lines that
// follow would be an hour early.
func (s *stampReader) twice(t time.Time) time.Time {
	const near = 6 * time.Hour // no zone changes twice within

	// The hour comes twice only where the offset shrinks.
	_, before := t.Add(-near).Zone()
	_, after := t.Add(near).Zone()
	if before <= after {
		return t
	}

	// Read the same wall clock with each offset. Both are right in that hour only.
	wall := time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(),
		t.Nanosecond(), time.UTC)
	in := func(offset int) (time.Time, bool) {
		at := wall.Add(-time.Duration(offset) * time.Second).In(t.Location())
		_, is := at.Zone()
		return at, is == offset
	}

	// From line to line, time goes forward. So after a later line, the second hour is meant.
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

// withYear sets the year of a stamp without one. The first line of a file is not newer than the
// file's last change. Every other line follows the one before: a step back of more than half a year
// means that a new year has begun.
func (s *stampReader) withYear(t time.Time) time.Time {
	in := func(year int) time.Time {
		return time.Date(year, t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(),
			t.Location())
	}

	const half, nearly = 183 * 24 * time.Hour, 350 * 24 * time.Hour

	// A day of grace, since clocks and zones differ.
	if s.last.IsZero() {
		first := in(s.modified.In(t.Location()).Year())
		if first.After(s.modified.Add(24 * time.Hour)) {
			return in(first.Year() - 1)
		}
		return first
	}

	// Lines follow each other, so the year of the line before is the best guess.
	year := s.last.In(t.Location()).Year()
	guess := in(year)
	switch {
	case s.last.Sub(guess) > half:
		return in(year + 1)
	case guess.Sub(s.last) > nearly: // a thread wrote late, after another began the new year
		return in(year - 1)
	}

	return guess
}
