package config

import (
	"regexp"
	"strconv"
	"time"
)

const wantDuration = `write a duration like "90s", "20m", "12h" or "30d"`

var days = regexp.MustCompile(`^([0-9]{1,5})d(.*)$`)

// assignDuration stores a duration. It returns "", or what is wrong with data.
func assignDuration(p *time.Duration, data any) string {
	s, ok := data.(string)
	if !ok {
		return "is " + typeName(data) + " without a unit; " + wantDuration
	}

	d, ok := ParseDuration(s)
	if !ok {
		return "is not a valid duration; " + wantDuration
	}

	*p = d
	return ""
}

// ParseDuration reads a duration in the form of the config file, such as "90s", "20m", "12h" or
// "30d". It accepts what time.ParseDuration accepts, and days of 24 hours before it. It returns
// false for any other text and for a text with a sign.
func ParseDuration(s string) (time.Duration, bool) {
	var d time.Duration

	// time.ParseDuration has no days.
	if m := days.FindStringSubmatch(s); m != nil {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			return 0, false
		}

		d = time.Duration(n) * 24 * time.Hour // 99,999 days are 274 years: still in range
		if s = m[2]; s == "" {
			return d, true
		}
	}

	// The sum is negative if it overflows.
	rest, err := time.ParseDuration(s)
	if err != nil || s[0] == '-' || s[0] == '+' || d+rest < 0 {
		return 0, false
	}

	return d + rest, true
}
