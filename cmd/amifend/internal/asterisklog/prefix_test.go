package asterisklog

import (
	"strings"
	"testing"
)

// TestPrefixes: the forms of logger.c in all versions, and of syslog.
func TestPrefixes(t *testing.T) {
	const message = "Registration from '<sip:1001@pbx>' failed for '198.51.100.9:5060' - Wrong " +
		"password\n"
	for prefix, want := range map[string]string{
		"[Nov 23 02:49:24] NOTICE[9] chan_sip.c: ":                                            "11-23T02:49:24.000",
		"[Nov  3 02:49:24] NOTICE[9] chan_sip.c: ":                                            "11-03T02:49:24.000",
		"[2026-11-23 02:49:24] NOTICE[9] chan_sip.c: ":                                        "11-23T02:49:24.000",
		"[2026-11-23 02:49:24.744] NOTICE[9] chan_sip.c: ":                                    "11-23T02:49:24.744",
		"[2026-11-23T02:49:24.744+0100] NOTICE[9] chan_sip.c: ":                               "11-23T01:49:24.744",
		"[2026-11-23 02:49:24] NOTICE[9][C-0000001a] chan_sip.c: ":                            "11-23T02:49:24.000",
		"[Nov 23 02:49:24] NOTICE[9]: chan_sip.c:29062 handle_request_register: ":             "11-23T02:49:24.000",
		"[Nov 23 02:49:24] NOTICE[9][C-0000001a]: chan_sip.c:29062 handle_request_register: ": "11-23T02:49:24.000",
		"Nov 23 02:49:24 pbx asterisk[99]: NOTICE[9]: chan_sip.c:29062 in " +
			"handle_request_register: ": "11-23T02:49:24.000",
		"2026-11-23T02:49:24.744+00:00 pbx asterisk[99]: NOTICE[9]: chan_sip.c:2 in " +
			"handle_request_reg: ": "11-23T02:49:24.744",
		"[Nov 23 02:49:24] DEBUG[9] chan_sip.c: ":                                                "",
		"[Nov 23 02:49:24] NOTICE[9] chan_iax2.c: ":                                              "",
		"[Nov 23 02:49:24] NOTICE[9]chan_sip.c: ":                                                "",
		"[Nov 23 02:49:24 NOTICE[9] chan_sip.c: ":                                                "",
		"[yesterday] NOTICE[9] chan_sip.c: ":                                                     "",
		"Nov 23 02:49:24 pbx sshd[99]: NOTICE[9]: chan_sip.c:29062 in handle_request_register: ": "",
		"": "",
	} {
		events, stats := read(t, prefix+message, Options{})
		switch {
		case want == "" && len(events) > 0:
			t.Errorf("%s: %q, want nothing", prefix, events)
		case want != "" && (len(events) != 1 || !strings.HasPrefix(events[0], want)):
			t.Errorf("%s: %q, want one at %s; %s", prefix, events, want, renderStats(stats))
		}
	}
}
