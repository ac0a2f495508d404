package asterisklog

import "bytes"

// Likeness is how much the beginning of a file is like a log of Asterisk.
type Likeness uint8

// The degrees.
const (
	Unlike  Likeness = iota // no log
	Perhaps                 // a log of syslog or journald, in which lines of Asterisk may come
	Alike                   // a log of Asterisk
)

// Recognize tells what head, the beginning of a file, is. A log of Asterisk has a line that names a
// level or, as the first line of a file does, Asterisk's version; or it prints SIP messages.
func Recognize(head []byte) Likeness {
	head = bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))
	found := Unlike
	var f framer
	for line := range bytes.Lines(head) {
		fr := f.frame(bytes.TrimRight(line, "\r\n"), false)
		if fr.foreign {
			found = Perhaps
			continue
		}
		if fr.stamp != nil || fr.json {
			found = Perhaps
		}
		var t trace
		text := fr.text
		if _, ok := parsePrefix(text); ok || t.begin(text, false, false) {
			return Alike
		}
		if end := bytes.Index(text, []byte("] ")); end > 0 && text[0] == '[' &&
			bytes.HasPrefix(text[end+2:], []byte("Asterisk ")) {
			return Alike
		}
	}
	return found
}

// isStamped reports whether a text begins with a time in brackets, as every message of a log file
// does: what does not is the rest of one.
func isStamped(text []byte) bool {
	const longest = 64
	if len(text) == 0 || text[0] != '[' {
		return false
	}
	end := bytes.IndexByte(text[:min(len(text), longest)], ']')
	return end > 0 && end+1 < len(text) && text[end+1] == ' ' &&
		bytes.IndexByte(text[1:end], '[') < 0
}
