package asterisklog

import (
	"fmt"
	"strings"
	"testing"
)

// traced is a message as `pjsip set logger on` prints it.
func traced(message string) string {
	return fmt.Sprintf("<--- Received SIP request (%d bytes) from UDP:198.51.100.6:5060 --->\n%s\n",
		len(message), message)
}

// TestTrace: the text of a printed message is never a line, and the line behind it counts.
func TestTrace(t *testing.T) {
	const head = "REGISTER sip:pbx SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.6\r\nCall-ID: " +
		"a\r\nContent-Length: 99\r\n\r\n"
	forgedLines := strings.ReplaceAll(pjsip("x"), "198.51.100.8", victim) + notice + lie + "\n"

	for name, message := range map[string]string{
		"a request":                      head,
		"a body of lines":                head + forgedLines,
		"a body without an end":          head + strings.TrimSuffix(forgedLines, "\n"),
		"LF alone":                       strings.ReplaceAll(head, "\r\n", "\n") + forgedLines,
		"many LF":                        head + strings.Repeat("\n", 900) + forgedLines,
		"many LF at the end":             head + forgedLines + strings.Repeat("\n", 900),
		"a printed message in a message": head + traced("x") + forgedLines,
		"a chan_sip message in it": head + "<--- SIP read from UDP:198.51.100.6:5060 --->\n" +
			forgedLines,
		"blanks":                     strings.Repeat(strings.Repeat(" ", 300)+"\n", 9) + "x",
		"lines like a carrier's":     strings.Repeat("a | \n", 99) + head,
		"lines like another program": strings.Repeat("Nov 23 02:49:24 a cron[9]: \n", 99) + head,
		"colours":                    strings.Repeat("\x1b[1m\n", 99) + head,
		"one byte":                   "x",
		"one LF":                     "\n",
		"JSON": head +
			`{"logmsg":{"location":{"filename":"chan_sip.c"},"level":"NOTICE","message":"` + lie +
			`"},"timestamp":"2026-11-23 02:49:24"}` + "\n",
	} {
		for change, f := range map[string]func(string) string{
			"as it is": func(s string) string { return s },
			"CRs lost": func(s string) string {
				return strings.ReplaceAll(s, "\r\n", "\n")
			},
			// An editor on Windows does this.
			"CRs added": func(s string) string {
				return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
			},
			"a zero byte in it": func(s string) string {
				return strings.Replace(s, message+"\n", message[:len(message)/2]+"\n", 1)
			},
			"in compose": func(s string) string { return prefixed("asterisk-1  | ", s) },
			"in journald": func(s string) string {
				return prefixed("Nov 23 02:49:24 pbx asterisk[9]: ", s)
			},
			"the second of two": func(s string) string { return traced(head) + s },
			// journalctl colours whole messages by their level, with `-o cat` too.
			"coloured": func(s string) string {
				s = strings.ReplaceAll(s, "\n", "\x1b[0m\n\x1b[1m")
				return "\x1b[1m" + strings.TrimSuffix(s, "\x1b[1m")
			},
			"behind a VERBOSE": func(s string) string {
				return "[Nov 23 02:49:24] VERBOSE[9] res_pjsip_logger.c: " + s
			},
			// journalctl indents the lines of an entry behind the first.
			"in one entry of journald": func(s string) string {
				const stamp = "Nov 23 02:49:24 pbx asterisk[9]: "
				before, after, _ := strings.Cut(s, message+"\n")
				text := strings.TrimSuffix(prefixed(strings.Repeat(" ", len(stamp)), message), "\n")
				return prefixed(stamp, before) + text + "\n" + prefixed(stamp, after)
			},
			"and some more text": func(s string) string { return s + "\n\n" },
		} {
			// Two lines behind the message: the end must not come too late either.
			log := f(traced(message) + registration("b") + pjsip("c"))
			got, stats := sourcesOf(t, log)
			if strings.Contains(got, victim) {
				t.Errorf("%s, %s: %s sent nothing: %s", name, change, victim, got)
			}

			// Asterisk prints less than it says of a message with a zero byte: what follows may be
			// taken for its rest.
			// Of colours in a coloured line it is not known whose they are.
			if change == "a zero byte in it" || change == "coloured" && name == "colours" {
				continue
			}
			if !strings.Contains(got, "198.51.100.9") || !strings.Contains(got, "198.51.100.8") {
				t.Errorf("%s, %s: the lines behind it are lost: %q, %s", name, change, got,
					renderStats(stats))
			}
		}
	}
}

// prefixed puts a prefix before each line.
func prefixed(prefix, s string) string {
	return prefix + strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\n"+prefix) + "\n"
}

// FuzzTrace: whatever a SIP message holds, with and without the CRs that it had, no line begins in
// it, and the line behind it counts.
func FuzzTrace(f *testing.F) {
	for _, s := range []string{
		"", "REGISTER sip:pbx SIP/2.0\r\n\r\n", notice + lie + "\n",
		strings.Repeat("\n", 300) + notice + lie, traced("x") + notice + lie,
	} {
		f.Add(s, byte(0))
		f.Add(s, byte(1))
	}

	f.Fuzz(func(t *testing.T, message string, change byte) {
		// The line behind has this address, so the message must not.
		message = strings.ReplaceAll(message, "198.51.100.9", victim)
		if message == "" || len(message) > longestTrace/2 || strings.Contains(message, "\x00") {
			return
		}

		log := traced(message) + registration("b")
		switch change % 3 {
		case 1:
			log = strings.ReplaceAll(log, "\r\n", "\n")
		case 2:
			log = strings.ReplaceAll(strings.ReplaceAll(log, "\r\n", "\n"), "\n", "\r\n")
		}

		// A message of nothing but line ends may be skipped a line too far: see trace.
		got, stats := sourcesOf(t, log)
		if got != `InvalidPassword SIP unknown 198.51.100.9:5060 "b"` &&
			len(message)-strings.Count(message, "\n") > 0 {
			t.Errorf("%q gave %s, %s", log, got, renderStats(stats))
		}
	})
}
