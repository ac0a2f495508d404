package asterisklog

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"

	"github.com/amifend/amifend/ami"
)

// Unread is a reason why a line that looks like a failed request was not read.
type Unread uint8

// The reasons.
const (
	UnreadTime     Unread = iota // its time is not understood
	UnreadNoSender               // it names no sender, or only in the sender's own words
	UnreadDoubtful               // text of another message may have written it
	UnreadUnclear                // its text makes it unclear who the sender is
	UnreadCut                    // it is cut off, or holds two messages
	UnreadForm                   // it is not as Asterisk prints it
	UnreadForeign                // it is as Asterisk prints it, but another program wrote it
	NumUnread
)

// noTime is the example of a line that has no time at all.
const noTime = `""`

// Why returns the reason in words. example is that of [Stats.Example].
func (u Unread) Why(example string) string {
	switch u {
	case UnreadTime:
		if example == noTime {
			return "no time stands in front of them"
		}
		return fmt.Sprintf("the time %s is not understood (dateformat in logger.conf)", example)
	case UnreadNoSender:
		return "they name no sender, or only in the sender's own words"
	case UnreadDoubtful:
		return "text of another message may have written them (SIP debugging is on, or a call's " +
			"extension holds line ends)"
	case UnreadUnclear:
		return "the sender's text makes it unclear who sent them"
	case UnreadCut:
		return "they are cut off, or two in one line"
	case UnreadForm:
		return "they are not whole, or not as Asterisk prints them"
	case UnreadForeign:
		return fmt.Sprintf("the program %s wrote them, not Asterisk", example)
	case NumUnread:
	}

	return "unknown"
}

// Do returns advice on how to make such lines readable. example is that of [Stats.Example].
func (u Unread) Do(example string) string {
	switch u {
	case UnreadTime:
		return doTime(strings.Trim(example, `"`))
	case UnreadDoubtful:
		return "turn off SIP debugging (sip set debug off), and write `security => security` " +
			"into logger.conf"
	case UnreadForeign:
		return "if it is a PBX, give its container or unit a name that holds `asterisk` or `pbx`, " +
			"or cut off what stands in front of Asterisk's lines"
	case UnreadForm:
		return "copy the log as it is; if it is, write `security => security` into logger.conf, " +
			"then `logger reload`: the security channel reports them in full"
	case UnreadNoSender, UnreadUnclear, UnreadCut, NumUnread:
	}

	return "write `security => security` into logger.conf, then `logger reload`: the security " +
		"channel reports them in full"
}

// doTime returns advice on a stamp that is not understood.
func doTime(stamp string) string {
	zone := stamp[strings.LastIndexByte(stamp, ' ')+1:]
	switch {
	case stamp == "":
		return "give a log with times: `journalctl -o short-iso` instead of `-o cat`, " +
			"`docker logs --timestamps`"
	case isUptime([]byte(stamp)):
		return "give a log with dates: `journalctl -o short-iso` instead of `-o short-monotonic`"
	case len(zone) > 2 && zone == strings.ToUpper(zone) && zone != strings.ToLower(zone):
		return "name a place in that zone with --timezone, such as Europe/Berlin, or write " +
			"`dateformat = %F %T` into logger.conf"
	}

	return "write `dateformat = %F %T` into logger.conf; for the lines that are there, rewrite " +
		"the times as 2026-11-23 02:10:00"
}

// Stats counts lines. Every line counts in Lines, and only some in the other fields.
type Stats struct {
	Lines    uint64
	Messages uint64              // lines that begin a message of Asterisk
	Foreign  uint64              // lines of other programs
	Security uint64              // lines of the security channel
	Attempts [NumFamilies]uint64 // attempts that other lines reported, by family
	Traced   uint64              // lines of printed SIP messages, which were skipped
	Unread   [NumUnread]uint64   // lines that look like failed requests and gave nothing, by reason
	Stamp    string              // the first time that was not understood, quoted
	Program  string              // the first other program with lines like Asterisk's, quoted
	Decoder  ami.Stats
}

// Example returns what makes the first line unreadable that was not read for the reason u: its
// time, or the program that wrote it, quoted; "" for other reasons.
func (s *Stats) Example(u Unread) string {
	switch u {
	case UnreadTime:
		return s.Stamp
	case UnreadForeign:
		return s.Program
	default:
		return ""
	}
}

// Reported returns the number of attempts that NOTICE and WARNING lines reported.
func (s *Stats) Reported() (n uint64) {
	for _, a := range s.Attempts {
		n += a
	}
	return n
}

// NotRead returns the number of lines that look like failed requests but were not read.
func (s *Stats) NotRead() (n uint64) {
	for _, u := range s.Unread {
		n += u
	}
	return n
}

// isSuspicious reports whether a line of no known format looks like a failed request. A failure of
// the PBX itself elsewhere (`Failed to authenticate on REGISTER to …`) does not.
func isSuspicious(line []byte) bool {
	has := func(sign string) bool { return bytes.Contains(line, []byte(sign)) }
	if has("ailed ") && (has(" failed for ") && (has("Registration from ") || has("Request ")) ||
		has("Failed to authenticate device ") || has(" failed MD5 authentication for ") ||
		has(" failed to authenticate as ")) {
		return true
	}

	return has("SecurityEvent=") || has(" rejected because extension not ") ||
		has("No registration for peer ") ||
		has(" with nonexistent user ") || has("Rejecting unknown SIP connection") ||
		has("Sending fake auth rejection for ")
}

// LooksLike returns the beginning of the first line of head that looks like a failed request of a
// form that is not known. It reports false if there is none.
func LooksLike(head []byte) (string, bool) {
	const shown = 60
	for line := range bytes.Lines(head) {
		if isSuspicious(line) {
			line = bytes.TrimRight(line, "\r\n")
			return ami.Quote(line[:min(len(line), shown)]), true
		}
	}
	return "", false
}

// stranger is the last request that no endpoint matched. If its sender answered a challenge, PJSIP
// prints a second line for the same request, whose event names no account (pjsip_distributor.c
// 22.10.1, authenticate of artificial_endpoint).
type stranger struct {
	source  netip.AddrPort
	session []byte
}

// fold marks the second event of one request: it sets its account to `<unknown>`.
func (s *stranger) fold(ev *ami.Event) {
	switch ev.Kind {
	case ami.KindInvalidAccountID:
		s.source = ev.Source
		s.session = append(s.session[:0], ev.Session...)
	case ami.KindChallengeResponseFailed:
		if s.source == ev.Source && bytes.Equal(s.session, ev.Session) {
			ev.Account = []byte("<unknown>")
			s.source = netip.AddrPort{}
		}
	default:
	}
}
