package ami

import (
	"testing"
	"time"
)

func TestParseTimestamp(t *testing.T) {
	good := map[string]string{
		"2026-11-23T02:49:24.744+0000": "2026-11-23T02:49:24.744Z",
		"1970-01-01T00:00:00.000+0000": "1970-01-01T00:00:00Z",
		"2026-01-01T00:30:00.001+0100": "2025-12-31T23:30:00.001Z",
		"2026-12-31T20:00:00.999-0530": "2027-01-01T01:30:00.999Z",
		"2024-02-29T12:00:00.000+1400": "2024-02-28T22:00:00Z",
	}
	for text, want := range good {
		got, ok := parseTimestamp([]byte(text))
		if !ok || got.Format(time.RFC3339Nano) != want {
			t.Errorf("parseTimestamp(%q) = %s, %v; want %s", text, got.Format(time.RFC3339Nano), ok,
				want)
		}

		// The standard library must agree.
		parsed, err := time.Parse("2006-01-02T15:04:05.000-0700", text)
		if err != nil || !parsed.Equal(got) {
			t.Errorf("time.Parse(%q) = %v, %v; want %v", text, parsed, err, got)
		}
	}

	for _, text := range []string{
		"", "2026-11-23T02:49:24.744", "2026-11-23T02:49:24.744Z", "2026-11-23 02:49:24.744+0000",
		"2026-13-01T00:00:00.000+0000",
		"2026-00-01T00:00:00.000+0000", "2026-04-31T00:00:00.000+0000",
		"2025-02-29T00:00:00.000+0000", "2100-02-29T00:00:00.000+0000",
		"2026-11-23T24:00:00.000+0000", "2026-11-23T00:60:00.000+0000",
		"2026-11-23T00:00:61.000+0000", "2026-11-23T02:49:24.74a+0000",
		"2026-11-23T02:49:24.744 0000", "2026-11-23T02:49:24.744+0060",
		"2026-11-23T02:49:24.744+9900", "+026-11-23T02:49:24.744+0000",
		"2026-11-23T02:49:24.744+0000 ", "2026-11-23T02:49:24.744+000\r",
	} {
		if got, ok := parseTimestamp([]byte(text)); ok {
			t.Errorf("parseTimestamp(%q) = %v, want none", text, got)
		}
	}
}
