package asterisklog

import (
	"bytes"
	"strconv"
)

// A SIP message that `pjsip set logger on` printed (res/res_pjsip_logger.c, pjsip_log_write… of
// 13.38.3, 16.28.0, 18.0.0 and 22.10.1), followed by the message and a line end:
//
//	<--- Received SIP %s (%d bytes) from %s:%s --->
//	<--- Transmitting SIP %s (%d bytes) to %s:%s --->
//
// Its text is the sender's. So as many bytes are skipped as Asterisk says, and no line begins
// within. On the way of a log carriage returns may get lost, or be added, and Asterisk itself
// prints less of a message with a zero byte in it: what may be left of the text is an upper bound.
// It is enough. A line that is longer than what may be left is no part of the text: behind the text
// stands Asterisk's own line end, and no line goes across that.
type trace struct {
	left int64 // how many bytes may be left of the text and its line end; 0 if none is skipped
	crlf bool  // the file has CR LF everywhere, so a CR of the text may have been added
	json bool  // the lines are carried by JSON
}

// longestTrace is how many bytes of a message are printed at most: LOGMSG_SIZE of main/logger.c.
const longestTrace = 8192

// begin starts to skip if a message of Asterisk is the head of a printed one.
func (t *trace) begin(message []byte, crlf, json bool) bool {
	rest, ok := bytes.CutPrefix(message, []byte("<--- Received SIP "))
	if !ok {
		if rest, ok = bytes.CutPrefix(message, []byte("<--- Transmitting SIP ")); !ok {
			return false
		}
	}
	kind, rest, ok := bytes.Cut(rest, []byte(" ("))
	if k := string(kind); !ok || k != "request" && k != "response" {
		return false
	}
	digits := countDigits(rest)
	after, ok := bytes.CutPrefix(rest[digits:], []byte(" bytes) "))
	if !ok || digits == 0 || digits > 6 || !bytes.HasSuffix(after, []byte(" --->")) ||
		bytes.Count(after, []byte{' '}) != 2 {
		return false
	}
	n, err := strconv.ParseInt(string(rest[:digits]), 10, 64)
	if err != nil || n == 0 {
		return false
	}
	*t = trace{left: min(n, longestTrace) + 1, crlf: crlf, json: json}
	return true
}

// skips reports whether a line may be a part of the text. It takes the least that the line may have
// been of it: journald indents lines, and JSON writes three bytes for one that is no text.
func (t *trace) skips(line []byte) bool {
	if t.left <= 0 {
		return false
	}
	line = bytes.TrimLeft(line, " \t")
	n := int64(len(line))
	if t.crlf && n > 0 && line[n-1] == '\r' {
		n--
	}
	if t.json {
		n -= 2 * int64(bytes.Count(line, []byte("\ufffd")))
	}
	if n >= t.left {
		t.left = 0
		return false
	}
	t.left -= n + 1
	return true
}
