package cli

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// Formats of times for people. Each shows its zone, since a log or a colleague may use another one.
const (
	stamp   = "2006-01-02 15:04:05 MST"
	minutes = "2006-01-02 15:04 MST"
)

// localtime is the symlink to the system's time zone, localtime(5).
const localtime = "/etc/localtime"

// zoneName returns the IANA name of the local time zone. It returns "" for UTC, and if the name is
// not known. As Go's time.Local does, it looks at TZ first, then at localtime.
func zoneName(getenv func(string) string, localtime string) string {
	name := strings.TrimPrefix(getenv("TZ"), ":")
	if name == "" {
		target, err := os.Readlink(localtime)
		if err != nil {
			return ""
		}
		_, name, _ = strings.Cut(target, "zoneinfo/")
	}

	// The daemon knows zones by name only. A path is the private file of a user.
	if _, err := time.LoadLocation(name); err != nil || name == "UTC" ||
		strings.HasPrefix(name, "/") {
		return ""
	}

	return name
}

// zone returns the zone with a name from [zoneName]. The daemon writes some times of an answer and
// the command the others, so both use this zone.
func zone(name string) *time.Location {
	l, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	return l
}

// rough returns a duration in its two largest units, such as 3d4h, 5h12m, 7m3s or 12s.
func rough(d time.Duration) string {
	d = d.Round(time.Second)
	switch {
	case d >= 24*time.Hour:
		return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	default:
		return fmt.Sprintf("%ds", max(0, d/time.Second))
	}
}

// seconds returns a number of seconds as a duration.
func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
