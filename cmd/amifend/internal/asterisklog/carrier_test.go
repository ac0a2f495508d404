package asterisklog

import (
	"fmt"
	"strings"
	"testing"
)

// TestMoreCarriers: forms that loggers, containers and people put in front of Asterisk's lines,
// beside those of TestForms. `%s` is the message, as Asterisk prints it to syslog or to a console.
func TestMoreCarriers(t *testing.T) {
	for name, form := range map[string]string{
		// What glibc sends to /dev/log has no host.
		"without a host": "<165>Nov 23 02:49:24 asterisk[9]: %s",
		"without a host and process": "<165>Nov 23 02:49:24 asterisk: " +
			"%s",
		"structured data": `<165>1 2026-11-23T02:49:24Z pbx asterisk 9 - ` +
			`[timeQuality tzKnown="1" isSynced="1"] %s`,
		"two pieces of structured data": `<165>1 2026-11-23T02:49:24Z pbx asterisk 9 ID ` +
			`[a@1 b="x\"] y\\"][c@1] %s`,
		"RFC 5424 in a file":     "2026-11-23T02:49:24.744000+00:00 pbx asterisk 9 - - %s",
		"full, precise":          "Mon 2026-11-23 02:49:24.123456 UTC pbx asterisk[9]: %s",
		"a blank in the stamp":   "2026-11-23 02:49:24 pbx asterisk[9]: %s",
		"milliseconds":           "2026-11-23 02:49:24.744 pbx asterisk[9]: %s",
		"a year at the end":      "Nov 23 02:49:24 2026 pbx asterisk[9]: %s",
		"a year in the middle":   "Nov 23 2026 02:49:24 pbx asterisk[9]: %s",
		"a year in front":        "2026 Nov 23 02:49:24 pbx asterisk[9]: %s",
		"BusyBox":                "Nov 23 02:49:24 pbx local0.notice asterisk[9]: %s",
		"OpenWrt":                "Mon Nov 23 02:49:24 2026 local0.notice asterisk[9]: %s",
		"a relay's stamp, too":   "Nov 23 02:49:25 log Nov 23 02:49:24 pbx asterisk[9]: %s",
		"a relay's ISO stamp":    "2026-11-23T02:49:25Z log Nov 23 02:49:24 pbx asterisk[9]: %s",
		"a container's number":   "Nov 23 02:49:24 host 0a1b2c3d4e5f[9]: %s",
		"a container named pbx":  "Nov 23 02:49:24 host freepbx[9]: %s",
		"FreePBX's fwconsole":    "Nov 23 02:49:24 host fwconsole[9]: %s",
		"docker, seconds only":   "2026-11-23T02:49:24Z [Nov 23 02:49:24] %s",
		"docker, with an offset": "2026-11-23T02:49:24.123456789+00:00 [Nov 23 02:49:24] %s",
		"podman's file": "2026-11-23T03:49:24.123456789+01:00 stdout F " +
			"[Nov 23 02:49:24] %s",
		"podman's names":       "asterisk [Nov 23 02:49:24] %s",
		"podman's numbers":     "0a1b2c3d4e5f [Nov 23 02:49:24] %s",
		"docker swarm":         "pbx_asterisk.1.abc@node1    | [Nov 23 02:49:24] %s",
		"kubectl --prefix":     "[pod/asterisk-0/asterisk] [Nov 23 02:49:24] %s",
		"kubectl with a stamp": "[pod/asterisk-0/pbx] 2026-11-23T02:49:24.1Z [Nov 23 02:49:24] %s",
		"stern":                "asterisk-7d9c8b asterisk [Nov 23 02:49:24] %s",
		"the CLI's prompt":     "pbx*CLI> [Nov 23 02:49:24] %s",
		"grep of several":      "/var/log/asterisk/full.1:[Nov 23 02:49:24] %s",
		"grep -n":              "17:[Nov 23 02:49:24] %s",
		"grep -n of several":   "messages:17:[Nov 23 02:49:24] %s",
		"CR CR LF":             "[Nov 23 02:49:24] %s\r\r",
		"blanks at the end":    "[Nov 23 02:49:24] %s  ",
		"zeros of a crash":     "\x00\x00\x00[Nov 23 02:49:24] %s",
		"rsyslog's colours":    "Nov 23 02:49:24 pbx asterisk[9]: #033[1;33m#033[0m%s",
		"json-seq": "\x1e" + `{"__REALTIME_TIMESTAMP":"1795402164000000",` +
			`"SYSLOG_IDENTIFIER":"asterisk","MESSAGE":"%s"}`,
		"json-sse": `data: {"__REALTIME_TIMESTAMP":"1795402164000000",` +
			`"SYSLOG_IDENTIFIER":"asterisk","MESSAGE":"%s"}` + "\n",
		"json-pretty": "{\n\t\"__REALTIME_TIMESTAMP\" : \"1795402164000000\",\n" +
			"\t\"SYSLOG_IDENTIFIER\" : \"asterisk\",\n\t\"MESSAGE\" : \"%s\"\n}",
		"a container's JSON": `{"__REALTIME_TIMESTAMP":"1795402164000000",` +
			`"SYSLOG_IDENTIFIER":"0a1b2c3d4e5f","CONTAINER_NAME":"pbx","MESSAGE":"%s"}`,
	} {
		line := func(level, file, message string) string {
			if strings.Contains(form, "MESSAGE") {
				message = strings.ReplaceAll(message, `"`, `\"`)
			}
			return fmt.Sprintf(form, fmt.Sprintf("%s[9]: %s:114 in f: %s", level, file, message)) +
				"\n"
		}
		log := line("SECURITY", "res_security_log.c", eventText) +
			line("NOTICE", "chan_sip.c", noticeText)

		events, stats := read(t, log, Options{Location: nil})
		want := `11-23T02:49:24.744 InvalidAccountID PJSIP UDP 198.51.100.8:5070 "100"; ` +
			`11-23T02:49:2`
		if got := strings.Join(events, "; "); !strings.HasPrefix(got, want) || len(events) != 2 ||
			!strings.Contains(got, `InvalidPassword SIP unknown 198.51.100.9:5060 "1001"`) {
			t.Errorf("%s: %s, %s\n%s", name, got, renderStats(stats), log)
		}
		if Recognize([]byte(log)) != Alike {
			t.Errorf("%s is not recognized", name)
		}
	}
}
