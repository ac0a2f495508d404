package asterisklog

import "bytes"

// Recognize reports whether head, the beginning of a file, is that of a log of Asterisk: a line of it is stamped, and names
// a level or, as the first line of a file does, Asterisk's version.
func Recognize(head []byte) bool {
	for line := range bytes.Lines(head) {
		_, rest, ok := cutStamp(bytes.TrimRight(line, "\r\n"))
		if ok && (bytes.HasPrefix(rest, []byte("Asterisk ")) || startsWithLevel(rest)) {
			return true
		}
	}
	return false
}

// startsWithLevel reports whether a line goes on with LEVEL[thread].
func startsWithLevel(rest []byte) bool {
	level, rest, ok := bytes.Cut(rest, []byte{'['})
	if !ok || len(level) == 0 || len(level) > 32 || bytes.ContainsFunc(level, func(r rune) bool { return r < 'A' || r > 'Z' }) {
		return false
	}
	thread, _, ok := bytes.Cut(rest, []byte{']'})
	return ok && allDigits(thread)
}
