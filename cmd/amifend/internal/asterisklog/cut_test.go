package asterisklog

import (
	"strings"
	"testing"
)

// TestLinesMayEndAnywhere: a line of any form that a file has, cut at any place, stops nothing.
func TestLinesMayEndAnywhere(t *testing.T) {
	message := strings.TrimSuffix(registration("<sip:1001@pbx>"), "\n")
	for _, form := range []string{
		message,
		"<13>Nov 23 02:49:24 pbx asterisk[99]: " + message,
		"<13>1 2026-11-23T02:49:24.744Z pbx asterisk 99 - - " + message,
		"Nov 23 02:49:24.123456 pbx asterisk[99]: " + message,
		"2026-11-23T02:49:24.744+00:00 pbx asterisk[99]: " + message,
		"Mon 2026-11-23 02:49:24 UTC pbx asterisk[99]: " + message,
		"1795402164.123456 pbx asterisk[99]: " + message,
		"2026-11-23T02:49:24.744123456Z " + message,
		"pbx-1  | " + message,
		`{"log":"` + message + `\n","stream":"stdout","time":"2026-11-23T02:49:24.744Z"}`,
		"\x1b[1;33m" + message + "\x1b[0m",
		"<--- Received SIP request (330 bytes) from UDP:198.51.100.7:5060 --->",
	} {
		// Alone, and between two other lines. A panic fails the test.
		for n := range len(form) + 1 {
			cut := form[:n]
			_, _ = read(t, cut, Options{})
			_, _ = read(t, sip("a")+cut+"\n"+sip("b"), Options{})
		}
	}
}
