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
//	<13>1 2026-11-23T02:49:24.744Z pbx asterisk 99 - - MESSAGE        RFC 5424
func cutSyslog(line []byte) (stamp, program, rest []byte, ok bool) {
	after, prioritised := cutPriority(line)
	if prioritised {
		// RFC 5424 has a version behind the priority, and a stamp with an offset.
		if version, ok := bytes.CutPrefix(after, []byte("1 ")); ok && isoLength(version) > 0 {
			return cutRFC5424(version)
		}
	}

	// Without a stamp, no syslog has carried the line.
	n := syslogStamp(after)
	if n == 0 || n >= len(after) {
		return nil, nil, nil, false
	}

	_, program, rest, ok = cutHost(after[n+1:])
	return after[:n], program, rest, ok
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
	}

	if string(parts[5]) != "-" {
		return nil, nil, nil, false // structured data may hold anything
	}
	return parts[0], parts[2], bytes.TrimPrefix(line, []byte("\xef\xbb\xbf")), true
}

// cutHost cuts `HOST PROGRAM[PROCESS]: `. It reports false for an entry without a program, which
// journald may store.
func cutHost(line []byte) (host, program, rest []byte, ok bool) {
	host, line, ok = bytes.Cut(line, []byte{' '})
	if !ok || len(host) == 0 {
		return nil, nil, nil, false
	}

	// An empty message ends with the colon.
	program, rest, ok = bytes.Cut(line, []byte(": "))
	if !ok {
		program, ok = bytes.CutSuffix(line, []byte{':'})
		rest = nil
	}

	// With a blank before it, the colon belongs to the text.
	if !ok || len(program) == 0 || bytes.IndexByte(program, ' ') >= 0 {
		return nil, nil, nil, false
	}
	return host, program, rest, true
}

// isAsterisk reports whether a program of syslog is Asterisk, its wrapper safe_asterisk, its unit,
// or a container of it. The system logger writes the name of the program, so it is not text of a
// sender.
func isAsterisk(program []byte) bool {
	name, _, _ := bytes.Cut(program, []byte{'['})
	return bytes.Contains(name, []byte("asterisk"))
}

// syslogStamp returns the length of the stamp of syslog or journald that the line begins with, or
// 0.
func syslogStamp(line []byte) int {
	if n := isoLength(line); n > 0 {
		return n
	}

	// RFC 3164, with or without parts of a second.
	const old = len("Nov 23 02:49:24")
	if len(line) > old && line[3] == ' ' && line[6] == ' ' && line[9] == ':' && line[12] == ':' {
		n := old
		if line[n] == '.' {
			n += 1 + countDigits(line[n+1:])
		}
		return endsWithBlank(line, n)
	}

	// systemd's long form ends with the name of a zone.
	const full = len("Mon 2026-11-23 02:49:24")
	if len(line) > full+2 && line[3] == ' ' && line[8] == '-' && line[11] == '-' &&
		line[14] == ' ' && line[17] == ':' {
		zone := bytes.IndexByte(line[full+1:], ' ')
		if zone < 1 || line[full] != ' ' && line[full] != '.' {
			return 0
		}
		return full + 1 + zone
	}

	// Seconds since 1970, with a fraction. A number without one may be text.
	const epoch = 10
	if len(line) > epoch+8 && countDigits(line) == epoch && line[epoch] == '.' {
		return endsWithBlank(line, epoch+1+countDigits(line[epoch+1:]))
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
