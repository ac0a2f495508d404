package ami

import "time"

// timestampLen is the length of `2026-11-23T02:49:24.744+0000`.
const timestampLen = len("2026-11-23T02:49:24.744+0000")

// parseTimestamp parses EventTV and SessionTV: AST_ISO8601_FORMAT of include/asterisk/localtime.h,
// `%FT%T.%q%z`, that is milliseconds and the PBX's own offset from UTC (the same in 12.8.2 and
// 22.10.1). The result is in UTC.
func parseTimestamp(b []byte) (time.Time, bool) {
	if len(b) != timestampLen || b[4] != '-' || b[7] != '-' || b[10] != 'T' || b[13] != ':' ||
		b[16] != ':' || b[19] != '.' {
		return time.Time{}, false
	}

	var bad bool
	digits := func(from, to, lowest, highest int) int {
		n := 0
		for _, c := range b[from:to] {
			bad = bad || c < '0' || c > '9'
			n = n*10 + int(c-'0')
		}
		bad = bad || n < lowest || n > highest
		return n
	}

	// A PBX without a set clock begins at the epoch, which is in 1969 west of Greenwich.
	// Nanoseconds since the epoch overflow in 2262.
	year, month, day := digits(0, 4, 1969, 2261), digits(5, 7, 1, 12), digits(8, 10, 1, 31)

	// Second 60 is a leap second.
	hour, minute, second := digits(11, 13, 0, 23), digits(14, 16, 0, 59), digits(17, 19, 0, 60)
	milli := digits(20, 23, 0, 999)
	offset := digits(24, 26, 0, 15)*60 + digits(26, 28, 0, 59)

	if bad || b[23] != '+' && b[23] != '-' || day > daysIn(year, month) {
		return time.Time{}, false
	}
	if b[23] == '+' {
		offset = -offset
	}

	return time.Date(year, time.Month(month), day, hour, minute+offset, second,
		milli*int(time.Millisecond), time.UTC), true
}

func daysIn(year, month int) int {
	switch {
	case month == 2 && year%4 == 0 && (year%100 != 0 || year%400 == 0):
		return 29
	case month == 2:
		return 28
	case month == 4 || month == 6 || month == 9 || month == 11:
		return 30
	default:
		return 31
	}
}
