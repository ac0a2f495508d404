package asterisklog

import "bytes"

// cutSyslog cuts what syslog or journald put before a message: a priority, a stamp, the host, and
// the program.
//
//	Nov 23 02:49:24 pbx asterisk[99]: MESSAGE                         RFC 3164, journalctl -o short
//	Nov 23 02:49:24.123456 pbx asterisk[99]: MESSAGE                  -o short-precise
//	2026-11-23T02:49:24.744+00:00 pbx asterisk[99]: MESSAGE           rsyslog; -o short-iso has +0000
//	Mon 2026-11-23 02:49:24 UTC pbx asterisk[99]: MESSAGE             -o short-full
//	Mon 2026-11-23 02:49:24 UTC pbx asterisk.service[99]: MESSAGE     -o with-unit
//	1795402164.123456 pbx asterisk[99]: MESSAGE                       -o short-unix
//	<13>Nov 23 02:49:24 pbx asterisk[99]: MESSAGE                     with the priority
//	<13>Nov 23 02:49:24 asterisk[99]: MESSAGE                         as a program sends it
//	<13>1 2026-11-23T02:49:24.744Z pbx asterisk 99 - - MESSAGE        RFC 5424
//	Nov 23 02:49:25 loghost Nov 23 02:49:24 pbx asterisk[99]: MESSAGE with a relay's header
//	Nov 23 02:49:24 pbx local0.notice asterisk[99]: MESSAGE           BusyBox
func cutSyslog(line []byte) (stamp, program, rest []byte, ok bool) {
	after, prioritised := cutPriority(line)
	if prioritised {
		// RFC 5424 has a version behind the priority, and a stamp with an offset.
		if version, ok := bytes.CutPrefix(after, []byte("1 ")); ok && isoLength(version) > 0 {
			return cutRFC5424(version)
		}
	}

	// A relay may have put a header in front of that of the PBX, which names the program.
	const headers = 2
	for range headers {
		// Without a stamp, no syslog has carried the line.
		n := syslogStamp(after)
		if n == 0 || n >= len(after) {
			return nil, nil, nil, false
		}
		stamp = after[:n]

		// A program sends its message without a host. A file has one.
		if prioritised {
			if program, rest, ok = cutProgram(after[n+1:]); ok {
				return stamp, program, rest, true
			}
		}

		if _, program, rest, ok = cutHost(after[n+1:]); ok {
			return stamp, program, rest, true
		}
		if isoLength(after) > 0 {
			if stamp, program, rest, ok = cutRFC5424(after); ok {
				return stamp, program, rest, true
			}
		}

		if _, after, ok = bytes.Cut(after[n+1:], []byte{' '}); !ok {
			break
		}
	}

	return nil, nil, nil, false
}

// cutPriority cuts `<13>`.
func cutPriority(line []byte) ([]byte, bool) {
	if len(line) < 3 || line[0] != '<' {
		return line, false
	}

	// A line may end within the number.
	n := countDigits(line[1:])
	rest, ok := bytes.CutPrefix(line[1+n:], []byte{'>'})
	if n < 1 || n > 3 || !ok {
		return line, false
	}
	return rest, true
}

// cutRFC5424 cuts STAMP HOST PROGRAM PROCESS ID DATA.
func cutRFC5424(line []byte) (stamp, program, rest []byte, ok bool) {
	var parts [6][]byte
	for i := range parts {
		if parts[i], line, ok = bytes.Cut(line, []byte{' '}); !ok {
			return nil, nil, nil, false
		}

		// Only a header without a program's process has these four words in front of its data.
		if i == 3 && !allDigits(parts[i]) && string(parts[i]) != "-" {
			return nil, nil, nil, false
		}
		if i == 4 && len(line) > 0 && line[0] == '[' {
			line, ok = cutStructured(line)
			return parts[0], parts[2], bytes.TrimPrefix(line, []byte("\xef\xbb\xbf")), ok
		}
	}

	if string(parts[5]) != "-" {
		return nil, nil, nil, false
	}
	return parts[0], parts[2], bytes.TrimPrefix(line, []byte("\xef\xbb\xbf")), true
}

// cutStructured cuts the structured data of RFC 5424 and the blank behind it:
// `[timeQuality tzKnown="1"][x y="\"]"] `. A bracket within quotes does not end an element.
func cutStructured(line []byte) ([]byte, bool) {
	quoted := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && c == ']' && i+1 < len(line) && line[i+1] == ' ':
			return line[i+2:], true
		}
	}

	return nil, false
}

// cutHost cuts `HOST PROGRAM[PROCESS]: `. It reports false for an entry without a program, which
// journald may store.
func cutHost(line []byte) (host, program, rest []byte, ok bool) {
	host, line, ok = bytes.Cut(line, []byte{' '})
	if !ok || len(host) == 0 {
		return nil, nil, nil, false
	}

	// BusyBox writes the facility and the level behind the host.
	if word, after, ok := bytes.Cut(line, []byte{' '}); ok && isPriority(word) {
		line = after
	}

	program, rest, ok = cutProgram(line)
	return host, program, rest, ok
}

// isPriority reports whether a word is a facility and a level, as `local0.notice`.
func isPriority(word []byte) bool {
	facility, level, ok := bytes.Cut(word, []byte{'.'})
	if !ok || len(facility) < 3 || len(level) < 3 {
		return false
	}

	for _, c := range word {
		if c != '.' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// cutProgram cuts `PROGRAM[PROCESS]: `.
func cutProgram(line []byte) (program, rest []byte, ok bool) {
	// An empty message ends with the colon.
	program, rest, ok = bytes.Cut(line, []byte(": "))
	if !ok {
		program, ok = bytes.CutSuffix(line, []byte{':'})
		rest = nil
	}

	// With a blank before it, the colon belongs to the text.
	if !ok || len(program) == 0 || bytes.IndexByte(program, ' ') >= 0 {
		return nil, nil, false
	}
	return program, rest, true
}

// isAsterisk reports whether a program of syslog is Asterisk, its wrapper safe_asterisk, its unit,
// FreePBX's fwconsole which starts it, or a container: one that is named after a PBX, or one
// without a name, of which docker writes the beginning of its number. The system logger writes the
// name of the program, so it is not text of a sender.
func isAsterisk(program []byte) bool {
	name, _, _ := bytes.Cut(program, []byte{'['})
	for _, part := range [...]string{"asterisk", "pbx", "fwconsole"} {
		if bytes.Contains(name, []byte(part)) {
			return true
		}
	}

	const number = 12
	if len(name) != number && len(name) != 64 {
		return false
	}
	for _, c := range name {
		if !isHex(c) {
			return false
		}
	}
	return true
}

// syslogStamp returns the length of the stamp of syslog or journald that the line begins with, or
// 0.
func syslogStamp(line []byte) int {
	if n := isoLength(line); n > 0 {
		return n
	}
	if n := oldLength(line); n > 0 {
		return n
	}

	// systemd's long form ends with the name of a zone.
	const full = len("Mon 2026-11-23 02:49:24")
	if len(line) > full+2 && line[3] == ' ' && fits(line[4:], "0000-00-00 00:00:00") {
		n := full + fraction(line[full:])
		if n >= len(line) || line[n] != ' ' {
			return 0
		}
		zone := bytes.IndexByte(line[n+1:], ' ')
		if zone < 1 {
			return 0
		}
		return n + 1 + zone
	}

	// Templates of rsyslog and syslog-ng may have a blank instead of a T.
	const plain = len("2026-11-23 02:49:24")
	if fits(line, "0000-00-00 00:00:00") {
		return endsWithBlank(line, plain+fraction(line[plain:]))
	}

	// Seconds since 1970, with a fraction. A number without one may be text.
	const epoch = 10
	if len(line) > epoch+8 && countDigits(line) == epoch && line[epoch] == '.' {
		return endsWithBlank(line, epoch+1+countDigits(line[epoch+1:]))
	}

	return 0
}

// oldLength returns the length of the stamp of RFC 3164 that the line begins with, or 0. It may
// have parts of a second, and a day of the week or a year:
//
//	Nov 23 02:49:24.123456, Nov 23 02:49:24 2026, Nov 23 2026 02:49:24, 2026 Nov 23 02:49:24,
//	Mon Nov 23 02:49:24 2026
func oldLength(line []byte) int {
	at := 0
	if fits(line, "0000 Aaa ") || fits(line, "Aaa Aaa ") {
		at = bytes.IndexByte(line, ' ') + 1
	}

	// The day is padded with a blank.
	if !fits(line[at:], "Aaa  0 ") && !fits(line[at:], "Aaa 00 ") {
		return 0
	}

	at += len("Nov 23 ")
	if fits(line[at:], "0000 ") {
		at += len("2026 ")
	}
	if !fits(line[at:], "00:00:00") {
		return 0
	}

	at += len("02:49:24")
	at += fraction(line[at:])
	if fits(line[at:], " 0000 ") {
		at += len(" 2026")
	}
	return endsWithBlank(line, at)
}

// fits reports whether a line begins in a form, in which 0 stands for a digit, A for a capital
// letter, a for a small one, and any other byte for itself.
func fits(line []byte, form string) bool {
	if len(line) < len(form) {
		return false
	}

	for i := range len(form) {
		c := line[i]
		switch form[i] {
		case '0':
			if c < '0' || c > '9' {
				return false
			}
		case 'A':
			if c < 'A' || c > 'Z' {
				return false
			}
		case 'a':
			if c < 'a' || c > 'z' {
				return false
			}
		default:
			if c != form[i] {
				return false
			}
		}
	}

	return true
}

// fraction returns the length of the parts of a second that b begins with, or 0.
func fraction(b []byte) int {
	if len(b) < 2 || b[0] != '.' && b[0] != ',' {
		return 0
	}
	if n := countDigits(b[1:]); n > 0 {
		return 1 + n
	}
	return 0
}

// isoLength returns the length of the stamp of RFC 3339, with or without a colon in the offset,
// that the line begins with, or 0.
func isoLength(line []byte) int {
	if len(line) <= 20 || line[4] != '-' || line[7] != '-' || line[10] != 'T' || line[13] != ':' ||
		line[16] != ':' {
		return 0
	}
	return max(0, bytes.IndexByte(line[:min(len(line), 40)], ' '))
}

func endsWithBlank(line []byte, n int) int {
	if n >= len(line) || line[n] != ' ' {
		return 0
	}
	return n
}
