package asterisklog

import (
	"bytes"
	"strconv"
)

// trace skips a SIP message that `pjsip set logger on` printed (res/res_pjsip_logger.c,
// pjsip_log_write… of 13.38.3, 16.28.0, 18.0.0 and 22.10.1). One of these heads precedes the
// message, and a line end follows it:
//
//	<--- Received SIP %s (%d bytes) from %s:%s --->
//	<--- Transmitting SIP %s (%d bytes) to %s:%s --->
//
// The text of the message is the sender's. So as many bytes are skipped as the head says, and no
// line within them is read. That number is only an upper bound: on its way a log may lose or gain
// carriage returns, and Asterisk prints less of a message that holds a zero byte. The bound is
// enough, because Asterisk's own line end follows the text. No line reaches across it, so a line
// that is longer than the rest of the text does not belong to the text.
type trace struct {
	left int64 // how many bytes may be left of the text and its line end; 0 if none is skipped
	crlf bool  // the file has CR LF everywhere, so a CR of the text may have been added
	json bool  // the lines are carried by JSON
	// column is how many bytes the carrier put before the head: journald indents the lines of the
	// text by as many blanks. 0 if the file has no carrier.
	column   int
	coloured bool // colours were added; otherwise colours in the text are the sender's
}

// longestTrace is the largest number of bytes that Asterisk prints of a message: LOGMSG_SIZE of
// main/logger.c.
const longestTrace = 8192

// begin starts to skip if message is the head of a printed SIP message, and reports whether it is.
// fr is the line of the head; crlf is true if it ended in CR LF.
func (t *trace) begin(message []byte, fr *frame, crlf bool) bool {
	rest, ok := bytes.CutPrefix(message, []byte("<--- Received SIP "))
	if !ok {
		if rest, ok = bytes.CutPrefix(message, []byte("<--- Transmitting SIP ")); !ok {
			return false
		}
	}

	// Every part of the head is checked: a line that only looks like a head would hide the lines
	// behind it.
	kind, rest, ok := bytes.Cut(rest, []byte(" ("))
	if k := string(kind); !ok || k != "request" && k != "response" {
		return false
	}

	// Exactly one address ends the head.
	digits := countDigits(rest)
	after, ok := bytes.CutPrefix(rest[digits:], []byte(" bytes) "))
	if !ok || digits == 0 || digits > 6 || !bytes.HasSuffix(after, []byte(" --->")) ||
		bytes.Count(after, []byte{' '}) != 2 {
		return false
	}

	// No more than Asterisk prints is skipped, whatever length the head has.
	n, err := strconv.ParseInt(string(rest[:digits]), 10, 64)
	if err != nil || n == 0 {
		return false
	}

	*t = trace{
		left: min(n, longestTrace) + 1, crlf: crlf, json: fr.json, column: fr.column,
		coloured: fr.coloured,
	}
	return true
}

// stampSlack is how many bytes longer than another a carrier's stamp may be: a point and nine
// digits.
const stampSlack = 10

// text returns what Asterisk printed of a line of the text: fr is a line taken out of its carrier.
// It reports false if another program wrote the line.
//
// The sender's text may look like a carrier's. So no more is cut off than the carrier put before
// the head.
func (t *trace) text(fr *frame) ([]byte, bool) {
	switch {
	case t.json:
		return fr.text, !fr.foreign
	case t.column == 0:
		return fr.line, true
	case fr.column > t.column+stampSlack:
		return fr.line[t.column:], true
	case fr.column > 0:
		return fr.text, !fr.foreign
	}

	// journald indents the further lines of an entry, instead of repeating its text before them.
	blanks := 0
	for blanks < min(t.column, len(fr.line)) && fr.line[blanks] == ' ' {
		blanks++
	}
	return fr.line[blanks:], true
}

// skips reports whether a line may be a part of the message. text is Asterisk's part of the line,
// and cr is true if a CR followed. skips subtracts the least number of bytes that the line may
// stand for: if the message seemed to end too early, its last lines would count as real ones.
func (t *trace) skips(text []byte, cr bool) bool {
	if t.left <= 0 {
		return false
	}

	// Where all lines have a CR, it may have been added on the way, so it does not count.
	n := int64(len(text))
	if cr && !t.crlf && !t.json {
		n++
	}

	// JSON has three bytes for each byte that is not text.
	if t.json {
		n -= 2 * int64(bytes.Count(text, []byte("\ufffd")))
	}

	// A line that is longer than the rest of the text is not a part of it.
	if n >= t.left {
		t.left = 0
		return false
	}

	t.left -= n + 1
	return true
}
