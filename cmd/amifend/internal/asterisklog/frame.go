package asterisklog

import (
	"bytes"
	"time"
)

// frame is a line of a log, taken out of what carried it.
type frame struct {
	text    []byte    // what Asterisk wrote
	stamp   []byte    // the carrier's own stamp, nil if it has none
	at      time.Time // the carrier's own time, if it is certain; else zero
	whole   bool      // text is one whole message, line ends in it included: the carrier escapes them
	json    bool      // JSON carried it
	foreign bool      // another program wrote it
}

// framer takes lines out of what carried them. Carriers may be nested: a line of docker compose may
// carry one that has a stamp of docker in front.
type framer struct {
	clean []byte // scratch: a line without colours
	json  jsonFramer
}

// frame takes one line, without its line end, apart. plain is whether it cannot be JSON.
func (f *framer) frame(line []byte, plain bool) frame {
	if bytes.IndexByte(line, '\x1b') >= 0 {
		line = f.uncolour(line)
	}
	// The commonest form first: Asterisk's own stamp, and nothing in front.
	if len(line) > 0 && line[0] == '[' {
		return f.uptime(line)
	}
	if len(line) > 0 && line[0] == '{' && !plain {
		if out, ok := f.json.frame(line); ok {
			return out
		}
	}

	var out frame
	rest := line
	if after, ok := cutCompose(rest); ok {
		rest = after
	}
	if stamp, after, ok := cutDocker(rest); ok {
		out.stamp, rest = stamp, after
	}
	if len(rest) > 0 && rest[0] == '{' && !plain {
		if inner, ok := f.json.frame(rest); ok {
			return inner
		}
	}
	out.text = rest
	if len(rest) > 0 && rest[0] == '[' {
		return out
	}

	if stamp, program, after, ok := cutSyslog(rest); ok {
		out.stamp = stamp
		out.text, out.foreign = after, !isAsterisk(program)
		if len(after) > 0 && after[0] == '{' && !plain {
			if inner, ok := f.json.frame(after); ok {
				return inner
			}
		}
	}
	return out
}

// uptime takes a line that begins with a bracket: Asterisk's own, or `journalctl -o
// short-monotonic`, whose time counts from the boot of the machine.
func (f *framer) uptime(line []byte) frame {
	end := bytes.IndexByte(line, ']')
	if end < 0 || end > len("[  123456.123456") || !isUptime(line[1:end]) {
		return frame{text: line}
	}
	_, program, after, ok := cutHost(bytes.TrimPrefix(line[end+1:], []byte{' '}))
	if !ok {
		return frame{text: line}
	}
	return frame{text: after, stamp: line[1:end], foreign: !isAsterisk(program)}
}

// isUptime reports whether b is seconds and microseconds, padded with blanks. Seconds since the
// epoch have ten digits.
func isUptime(b []byte) bool {
	seconds, micros, ok := bytes.Cut(bytes.TrimLeft(b, " "), []byte{'.'})
	return ok && allDigits(seconds) && len(seconds) < 10 && len(micros) == 6 && allDigits(micros)
}

// uncolour removes the sequences by which a terminal is told colours: ESC [ numbers m. The console
// of Asterisk has them (main/logger.c 22.10.1, format_log_default: COLORIZE_FMT).
func (f *framer) uncolour(line []byte) []byte {
	f.clean = f.clean[:0]
	for len(line) > 0 {
		i := bytes.IndexByte(line, '\x1b')
		if i < 0 {
			break
		}
		f.clean = append(f.clean, line[:i]...)
		line = line[i+1:]
		if len(line) == 0 || line[0] != '[' {
			continue
		}
		n := 1
		for n < len(line) && (line[n] == ';' || '0' <= line[n] && line[n] <= '9') {
			n++
		}
		if n < len(line) && (line[n] == 'm' || line[n] == 'K') {
			line = line[n+1:]
		}
	}
	f.clean = append(f.clean, line...)
	return f.clean
}

// cutCompose cuts the name that docker compose puts before each line: `asterisk-1  | `.
func cutCompose(line []byte) ([]byte, bool) {
	const longest = 64
	i := bytes.IndexByte(line[:min(len(line), longest)], '|')
	if i < 1 || line[i-1] != ' ' {
		return nil, false
	}
	name := bytes.TrimRight(line[:i], " ")
	if len(name) == 0 || bytes.ContainsFunc(name, func(r rune) bool { return !isWord(r) }) {
		return nil, false
	}
	return bytes.TrimPrefix(line[i+1:], []byte{' '}), true
}

func isWord(r rune) bool {
	return r == '-' || r == '_' || r == '.' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' ||
		'A' <= r && r <= 'Z'
}

// cutDocker cuts the stamp of `docker logs --timestamps`, which is RFC 3339's with nanoseconds and
// in UTC. Kubernetes puts the stream and a flag behind it.
func cutDocker(line []byte) (stamp, rest []byte, ok bool) {
	n := isoLength(line)
	if n == 0 || line[n-1] != 'Z' || n < len("2006-01-02T15:04:05.1Z") {
		return nil, nil, false
	}
	rest = line[n+1:]
	for _, stream := range []string{"stdout F ", "stderr F ", "stdout P ", "stderr P "} {
		if after, ok := bytes.CutPrefix(rest, []byte(stream)); ok {
			return line[:n], after, true
		}
	}
	// A line of syslog may begin like this too: there a host and a program follow.
	if len(rest) > 0 && rest[0] != '[' && rest[0] != ' ' && rest[0] != '<' {
		if _, _, _, syslog := cutHost(rest); syslog {
			return nil, nil, false
		}
	}
	return line[:n], rest, true
}
