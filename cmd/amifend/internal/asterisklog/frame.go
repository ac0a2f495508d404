package asterisklog

import (
	"bytes"
	"time"
)

// frame is a line of a log, taken out of its carrier.
type frame struct {
	text  []byte    // what Asterisk wrote
	stamp []byte    // the carrier's own stamp, nil if it has none
	at    time.Time // the carrier's own time, if it is certain; else zero
	// whole is set if text is a whole message with its line ends, because the carrier escapes them.
	whole   bool
	json    bool   // JSON carried it
	foreign bool   // another program wrote it
	program []byte // that wrote it, if the carrier names it
	column  int    // how many bytes of line the carrier put before text; 0 if JSON carried it

	line     []byte // the line without the carrier's colours
	coloured bool   // the line had colours
}

// framer takes lines out of their carriers: syslog, journald, docker. Carriers may be nested:
// docker compose may put its name before a line that has docker's stamp.
type framer struct {
	clean []byte // scratch: a line without colours
	json  jsonFramer
}

// frame takes apart one line without its line end. If plain is set, the line cannot be JSON. If
// keep is set, colours in it belong to the text.
func (f *framer) frame(line []byte, plain, keep bool) frame {
	// Colours first: they may stand anywhere, in front of the stamp too.
	coloured := !keep && (bytes.IndexByte(line, '\x1b') >= 0 || bytes.Contains(line, []byte(escaped)))
	if coloured {
		line = f.uncolour(line)
	}

	out := f.carried(line, plain)
	out.line, out.coloured = line, coloured
	return out
}

// carried takes apart one line without colours.
func (f *framer) carried(line []byte, plain bool) frame {
	// The commonest form first: Asterisk's own stamp, and nothing in front.
	if len(line) > 0 && line[0] == '[' && !bytes.HasPrefix(line, []byte("[pod/")) {
		return f.uptime(line)
	}

	// What looks like JSON and is not stays text.
	if out, ok := f.asJSON(line, plain); ok {
		return out
	}

	// Carriers may be nested, so each is cut off in the order in which they are put on.
	var out frame
	rest := line
	if after, ok := cutCompose(rest); ok {
		rest = after
	} else if after, ok := cutLabel(rest); ok {
		rest = after
	}

	if stamp, after, ok := cutDocker(rest); ok {
		out.stamp = stamp
		rest = after
	}

	// A container may log JSON itself.
	if inner, ok := f.asJSON(rest, plain); ok {
		return inner
	}

	// A bracket begins Asterisk's own stamp: no syslog stands in front of it.
	out.text, out.column = rest, len(line)-len(rest)
	if len(rest) > 0 && rest[0] == '[' {
		return out
	}

	// Only the system logger names the program that wrote a line.
	if stamp, program, after, ok := cutSyslog(rest); ok {
		out.stamp = stamp
		out.text, out.column = after, len(line)-len(after)
		out.foreign = !isAsterisk(program)
		out.program = program
		if inner, ok := f.asJSON(after, plain); ok {
			return inner
		}
	}

	return out
}

// asJSON takes apart a line of JSON. `journalctl -o json-seq` and `-o json-sse` put a few bytes in
// front of it. It reports false if the line is none, or cannot be any because plain is set.
func (f *framer) asJSON(line []byte, plain bool) (frame, bool) {
	if plain {
		return frame{}, false
	}

	line = bytes.TrimPrefix(bytes.TrimPrefix(line, []byte{'\x1e'}), []byte("data: "))
	if len(line) == 0 || line[0] != '{' {
		return frame{}, false
	}
	return f.json.frame(line)
}

// uptime takes apart a line that begins with a bracket: Asterisk's own, or `journalctl -o
// short-monotonic`, whose time counts from the boot of the machine.
func (f *framer) uptime(line []byte) frame {
	end := bytes.IndexByte(line, ']')
	if end < 0 || end > len("[  123456.123456") || !isUptime(line[1:end]) {
		return frame{text: line}
	}

	// Without a host and a program behind it, the number is Asterisk's own stamp (`dateformat`).
	_, program, after, ok := cutHost(bytes.TrimPrefix(line[end+1:], []byte{' '}))
	if !ok {
		return frame{text: line}
	}

	return frame{
		text: after, stamp: line[1:end], foreign: !isAsterisk(program), program: program,
		column: len(line) - len(after),
	}
}

// isUptime reports whether b is seconds and microseconds, padded with blanks. A number of ten
// digits is not: it counts seconds since the epoch.
func isUptime(b []byte) bool {
	seconds, micros, ok := bytes.Cut(bytes.TrimLeft(b, " "), []byte{'.'})
	return ok && allDigits(seconds) && len(seconds) < 10 && len(micros) == 6 && allDigits(micros)
}

// escaped is how rsyslog prints the beginning of a sequence that sets colours.
const escaped = "#033["

// uncolour removes the sequences that set a terminal's colours: ESC [ numbers m. The console of
// Asterisk has them (main/logger.c 22.10.1, format_log_default: COLORIZE_FMT).
func (f *framer) uncolour(line []byte) []byte {
	f.clean = f.clean[:0]
	for len(line) > 0 {
		i := bytes.IndexByte(line, '\x1b')
		size := 1
		if j := bytes.Index(line, []byte(escaped)); j >= 0 && (i < 0 || j < i) {
			i, size = j, len(escaped)-1
		}
		if i < 0 {
			break
		}

		f.clean = append(f.clean, line[:i]...)
		line = line[i+size:]

		// Of a sequence that does not set colours, only the escape is removed.
		if len(line) == 0 || line[0] != '[' {
			continue
		}

		// The numbers are separated by semicolons, and a letter ends the sequence.
		n := 1
		for n < len(line) && (line[n] == ';' || '0' <= line[n] && line[n] <= '9') {
			n++
		}

		if n < len(line) && (line[n] == 'm' || line[n] == 'K') {
			line = line[n+1:]
		}
	}

	// The text behind the last sequence.
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

	// A message may hold a bar too. Only a container's name is one word.
	name := bytes.TrimRight(line[:i], " ")
	if len(name) == 0 || bytes.ContainsFunc(name, func(r rune) bool { return !isWord(r) }) {
		return nil, false
	}

	return bytes.TrimPrefix(line[i+1:], []byte{' '}), true
}

func isWord(r rune) bool {
	return r == '-' || r == '_' || r == '.' || r == '@' || '0' <= r && r <= '9' ||
		'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}

// cutLabel cuts what a tool puts before each line to name its origin:
//
//	[pod/asterisk-0/asterisk] [Nov 23 02:49:24] …    kubectl logs --prefix
//	asterisk [Nov 23 02:49:24] …                     podman logs --names
//	asterisk-7d9c8b asterisk [Nov 23 02:49:24] …     stern
//	/var/log/asterisk/full.1:17:[Nov 23 02:49:24] …  grep -n
//	pbx*CLI> [Nov 23 02:49:24] …                     a terminal
//
// Apart from kubectl's, a label is cut only where a whole prefix of Asterisk follows.
func cutLabel(line []byte) ([]byte, bool) {
	const longest = 128
	head := line[:min(len(line), longest)]
	if bytes.HasPrefix(head, []byte("[pod/")) {
		i := bytes.Index(head, []byte("] "))
		if i < 0 {
			return nil, false
		}
		return line[i+len("] "):], true
	}

	// A label has at most two words.
	i := bytes.IndexByte(head, '[')
	if i < 2 || head[i-1] != ' ' && head[i-1] != ':' || bytes.Count(head[:i], []byte{' '}) > 2 ||
		head[0] == ' ' {
		return nil, false
	}
	for _, c := range head[:i] {
		if !isWord(rune(c)) && bytes.IndexByte([]byte("/:*> "), c) < 0 {
			return nil, false
		}
	}

	_, ok := parsePrefix(line[i:])
	return line[i:], ok
}

// cutDocker cuts the stamp of `docker logs --timestamps` or `podman logs --timestamps`: RFC 3339,
// mostly with nanoseconds. After it, Kubernetes and podman's files put the stream and a flag.
func cutDocker(line []byte) (stamp, rest []byte, ok bool) {
	n := isoLength(line)
	if n == 0 {
		return nil, nil, false
	}

	rest = line[n+1:]
	for _, stream := range []string{"stdout F ", "stderr F ", "stdout P ", "stderr P "} {
		if after, ok := bytes.CutPrefix(rest, []byte(stream)); ok {
			return line[:n], after, true
		}
	}

	// In front of Asterisk's own stamp no syslog stands.
	if len(rest) > 0 && rest[0] == '[' {
		return line[:n], rest, true
	}
	if line[n-1] != 'Z' || n < len("2006-01-02T15:04:05.1Z") {
		return nil, nil, false
	}

	// A line of syslog may begin like this too: there a host and a program follow.
	if len(rest) > 0 && rest[0] != ' ' && rest[0] != '<' {
		if _, _, _, syslog := cutSyslog(line); syslog {
			return nil, nil, false
		}
	}

	return line[:n], rest, true
}
