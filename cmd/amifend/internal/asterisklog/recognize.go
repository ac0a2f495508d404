package asterisklog

import (
	"bufio"
	"bytes"
	"io"
)

// Likeness grades how much a file resembles a log of Asterisk.
type Likeness uint8

// The degrees.
const (
	Unlike  Likeness = iota // no log
	Perhaps                 // a log of syslog or journald, in which lines of Asterisk may come
	Alike                   // a log of Asterisk
)

// Recognize grades a file by head, its beginning. A log of Asterisk has a line that names a level
// or, as the first line of a file does, Asterisk's version; or it prints SIP messages.
func Recognize(head []byte) Likeness {
	head = bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))
	if isPretty(head) {
		// The last object may go on behind the head, and is left out then.
		head, _ = io.ReadAll(newPrettyReader(bufio.NewReader(bytes.NewReader(head))))
	}

	found := Unlike
	var f framer
	for line := range bytes.Lines(head) {
		line = bytes.TrimLeft(bytes.TrimRight(line, "\r\n"), "\x00")
		fr := f.frame(line, false, false)

		// Behind a line of another program, lines of Asterisk may follow.
		if fr.foreign {
			found = Perhaps
			continue
		}

		if fr.stamp != nil || fr.json {
			found = Perhaps
		}

		// The head of a printed SIP message is enough: only Asterisk writes one.
		var t trace
		text := fr.text
		if _, ok := parsePrefix(text); ok || t.begin(text, &fr, false) {
			return Alike
		}

		// The first line of a new file names the version, and has no level.
		if end := bytes.Index(text, []byte("] ")); end > 0 && text[0] == '[' &&
			bytes.HasPrefix(text[end+2:], []byte("Asterisk ")) {
			return Alike
		}
	}

	return found
}

// isStamped reports whether a text begins with a time in brackets, as every message of a log file
// does. A line without one continues a message.
func isStamped(text []byte) bool {
	const longest = 64
	if len(text) == 0 || text[0] != '[' {
		return false
	}
	end := bytes.IndexByte(text[:min(len(text), longest)], ']')
	return end > 0 && end+1 < len(text) && text[end+1] == ' ' &&
		bytes.IndexByte(text[1:end], '[') < 0
}
