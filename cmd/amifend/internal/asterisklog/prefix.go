package asterisklog

import "bytes"

// What stands before a message. To a file, Asterisk writes (main/logger.c, format_log_default and format_log_plain of
// 16.28.0 and 22.10.1; the same with %ld in ast_log of 1.4.44 and 1.8.32.3):
//
//	[Nov 23 02:49:24] NOTICE[1234] chan_sip.c: MESSAGE
//	[Nov 23 02:49:24] NOTICE[1234][C-00000001] chan_sip.c: MESSAGE
//	[Nov 23 02:49:24] NOTICE[1234]: chan_sip.c:29062 handle_request_register: MESSAGE
//
// and to syslog, which adds its own stamp:
//
//	Nov 23 02:49:24 pbx asterisk[99]: NOTICE[1234]: chan_sip.c:29062 in handle_request_register: MESSAGE
type prefix struct {
	stamp   []byte // the time
	level   string // "" for a level that is of no interest
	file    string // "" for a file that is of no interest
	message []byte
}

const (
	levelSecurity = "SECURITY"
	levelNotice   = "NOTICE"
	fileSecurity  = "res_security_log.c"
	fileChanSIP   = "chan_sip.c"
)

// parsePrefix takes a line apart. False means that it is no message of a level and file that are of interest.
func parsePrefix(line []byte) (prefix, bool) {
	stamp, rest, ok := cutStamp(line)
	if !ok {
		return prefix{}, false
	}
	p := prefix{stamp: stamp}
	level, rest, ok := bytes.Cut(rest, []byte{'['})
	if !ok {
		return prefix{}, false
	}
	switch string(level) {
	case levelSecurity:
		p.level = levelSecurity
	case levelNotice:
		p.level = levelNotice
	default:
		return prefix{}, false
	}
	thread, rest, ok := bytes.Cut(rest, []byte{']'})
	if !ok || !allDigits(thread) {
		return prefix{}, false
	}
	rest = bytes.TrimPrefix(cutCall(rest), []byte{':'})
	if len(rest) == 0 || rest[0] != ' ' {
		return prefix{}, false
	}
	return p.origin(rest[1:])
}

// origin takes the file, the line and the function, of which only the file is always there.
func (p prefix) origin(rest []byte) (prefix, bool) {
	file, rest, ok := bytes.Cut(rest, []byte{':'})
	if !ok {
		return prefix{}, false
	}
	switch string(file) {
	case fileSecurity:
		p.file = fileSecurity
	case fileChanSIP:
		p.file = fileChanSIP
	default:
		return prefix{}, false
	}
	if n := countDigits(rest); n > 0 {
		function, after, ok := bytes.Cut(rest[n:], []byte{':'})
		function = bytes.TrimPrefix(bytes.TrimPrefix(function, []byte{' '}), []byte("in "))
		if !ok || !isName(function) {
			return prefix{}, false
		}
		rest = after
	}
	if len(rest) == 0 || rest[0] != ' ' {
		return prefix{}, false
	}
	p.message = rest[1:]
	return p, true
}

// cutStamp cuts the time that a line begins with from the rest, which begins with the level if it is a message.
func cutStamp(line []byte) (stamp, rest []byte, ok bool) {
	if len(line) > 0 && line[0] == '[' {
		const longest = 64
		end := bytes.IndexByte(line[:min(len(line), longest)], ']')
		if end < 0 || end+1 >= len(line) || line[end+1] != ' ' || bytes.IndexByte(line[1:end], '[') >= 0 {
			return nil, nil, false
		}
		return line[1:end], line[end+2:], true
	}
	return cutSyslog(line)
}

// cutSyslog cuts syslog's stamp, RFC 3164's or RFC 3339's, host and program.
func cutSyslog(line []byte) (stamp, rest []byte, ok bool) {
	n := syslogStamp(line)
	if n == 0 {
		return nil, nil, false
	}
	stamp, rest = line[:n], line[n+1:]
	_, rest, _ = bytes.Cut(rest, []byte{' '}) // the host
	program, after, found := bytes.Cut(rest, []byte(": "))
	if !found || !bytes.HasPrefix(program, []byte("asterisk")) || bytes.IndexByte(program, ' ') >= 0 {
		return stamp, nil, true
	}
	return stamp, after, true
}

// syslogStamp is the length of a stamp of syslog that the line begins with, 0 if there is none.
func syslogStamp(line []byte) int {
	const old = len("Nov 23 02:49:24")
	if len(line) > old && line[3] == ' ' && line[6] == ' ' && line[9] == ':' && line[12] == ':' && line[old] == ' ' {
		return old
	}
	if len(line) > 20 && line[4] == '-' && line[7] == '-' && line[10] == 'T' && line[13] == ':' && line[16] == ':' {
		return max(0, bytes.IndexByte(line[:min(len(line), 40)], ' '))
	}
	return 0
}

// stamped reports whether a line begins with a time, as every message does: what does not is the rest of one.
func stamped(line []byte) bool {
	_, _, ok := cutStamp(line)
	return ok
}

// cutCall cuts the number of a call, [C-%08x], if it is there.
func cutCall(rest []byte) []byte {
	after, ok := bytes.CutPrefix(rest, []byte("[C-"))
	if !ok {
		return rest
	}
	number, after, ok := bytes.Cut(after, []byte{']'})
	if !ok || len(number) != 8 || bytes.ContainsFunc(number, func(r rune) bool { return !isHex(r) }) {
		return rest
	}
	return after
}

func isHex(r rune) bool { return '0' <= r && r <= '9' || 'a' <= r && r <= 'f' }

func countDigits(b []byte) int {
	n := 0
	for n < len(b) && '0' <= b[n] && b[n] <= '9' {
		n++
	}
	return n
}

func allDigits(b []byte) bool { return len(b) > 0 && countDigits(b) == len(b) }

// isName reports whether b is the name of a C function.
func isName(b []byte) bool {
	for _, c := range b {
		if c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return len(b) > 0
}
