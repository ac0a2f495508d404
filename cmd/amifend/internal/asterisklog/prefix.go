package asterisklog

import "bytes"

// prefix holds the text that Asterisk writes in front of a message. In a file it is
// (main/logger.c, format_log_default and format_log_plain of 16.28.0 and 22.10.1; the same with
// %ld in ast_log of 1.4.44 and 1.8.32.3):
//
//	[Nov 23 02:49:24] NOTICE[1234] chan_sip.c: MESSAGE
//	[Nov 23 02:49:24] NOTICE[1234][C-00000001] chan_sip.c: MESSAGE
//	[Nov 23 02:49:24] NOTICE[1234]: chan_sip.c:29062 handle_request_register: MESSAGE
//
// and to syslog, which adds a stamp of its own (see cutSyslog):
//
//	NOTICE[1234]: chan_sip.c:29062 in handle_request_register: MESSAGE
type prefix struct {
	stamp   []byte // the time; nil if the carrier has it
	level   level
	file    file
	message []byte
}

// level is the level of a message. Levels that are not read are levelOther.
type level uint8

const (
	levelOther level = iota
	levelSecurity
	levelNotice
	levelWarning
	levelVerbose
)

// file is the source file that wrote a message. Files that are not read are fileOther.
type file uint8

const (
	fileOther file = iota
	fileSecurity
	fileChanSIP
	fileIAX2
	fileManager
	fileDistributor
	fileSession
	fileRegistrar
	fileLogger // of traced SIP messages
)

// parsePrefix takes apart the text of a line. It reports false if the line does not begin as a
// message does.
func parsePrefix(text []byte) (prefix, bool) {
	var p prefix
	rest := text
	if len(rest) > 0 && rest[0] == '[' {
		// A stamp is short and holds no bracket. Otherwise the bracket belongs to the text.
		const longest = 64
		end := bytes.IndexByte(rest[:min(len(rest), longest)], ']')
		if end < 0 || end+1 >= len(rest) || rest[end+1] != ' ' ||
			bytes.IndexByte(rest[1:end], '[') >= 0 {
			return prefix{}, false
		}

		p.stamp = rest[1:end]
		rest = rest[end+2:]
	}

	// A message begins with a level and a thread. No other text is taken for one.
	name, rest, ok := cutLevel(rest)
	if !ok {
		return prefix{}, false
	}

	p.level = levelOf(name)
	rest = bytes.TrimPrefix(cutCall(rest), []byte{':'})
	if len(rest) == 0 || rest[0] != ' ' {
		return prefix{}, false
	}

	// Up to here the message includes the source file. origin cuts it off. A copy from a terminal
	// has blanks at the end, and one copied as text a second CR.
	p.message = bytes.TrimRight(rest[1:], "\r")

	// `… failed to authenticate as ` may end with a blank of Asterisk's: the name begins with a line
	// end then.
	if t := bytes.TrimRight(p.message, " \r"); !bytes.HasSuffix(t, []byte(" as")) {
		p.message = t
	}
	p.origin()
	return p, true
}

// cutLevel cuts LEVEL[thread].
func cutLevel(rest []byte) (name, after []byte, ok bool) {
	const longest = 32
	i := bytes.IndexByte(rest[:min(len(rest), longest)], '[')
	if i < 1 {
		return nil, nil, false
	}

	// Levels are written in capital letters.
	for _, c := range rest[:i] {
		if c < 'A' || c > 'Z' {
			return nil, nil, false
		}
	}

	n := countDigits(rest[i+1:])
	if n == 0 || i+1+n >= len(rest) || rest[i+1+n] != ']' {
		return nil, nil, false
	}

	return rest[:i], rest[i+n+2:], true
}

func levelOf(name []byte) level {
	switch string(name) {
	case "SECURITY":
		return levelSecurity
	case "NOTICE":
		return levelNotice
	case "WARNING":
		return levelWarning
	case "VERBOSE":
		return levelVerbose
	}

	return levelOther
}

// origin takes the file, the line and the function from the message, of which only the file is
// always there.
func (p *prefix) origin() {
	const longest = 64
	rest := p.message

	// A file name is short, so a colon far down in the text does not end one.
	i := bytes.IndexByte(rest[:min(len(rest), longest)], ':')
	if i < 0 {
		return
	}

	name := rest[:i]
	rest = rest[i+1:]
	if n := countDigits(rest); n > 0 {
		// Syslog and some versions print the line and the function too.
		function, after, ok := bytes.Cut(rest[n:], []byte{':'})
		function = bytes.TrimPrefix(bytes.TrimPrefix(function, []byte{' '}), []byte("in "))
		if !ok || !isName(function) {
			return
		}
		rest = after
	}

	if len(rest) == 0 || rest[0] != ' ' {
		return
	}

	// Now it is certain that the text in front is an origin.
	p.file = fileOf(name)
	p.message = rest[1:]
}

// fileOf returns the file by the last part of its name: some versions write
// `res_pjsip/pjsip_distributor.c`.
func fileOf(name []byte) file {
	if i := bytes.LastIndexByte(name, '/'); i >= 0 {
		name = name[i+1:]
	}
	switch string(name) {
	case "res_security_log.c":
		return fileSecurity
	case "chan_sip.c":
		return fileChanSIP
	case "chan_iax2.c":
		return fileIAX2
	case "manager.c":
		return fileManager
	case "pjsip_distributor.c":
		return fileDistributor
	case "res_pjsip_session.c":
		return fileSession
	case "res_pjsip_registrar.c":
		return fileRegistrar
	case "res_pjsip_logger.c":
		return fileLogger
	}

	return fileOther
}

// cutCall cuts the number of a call, [C-%08x], if it is there.
func cutCall(rest []byte) []byte {
	const length = len("[C-0123abcd]")
	if len(rest) < length || rest[1] != 'C' || rest[2] != '-' || rest[0] != '[' ||
		rest[length-1] != ']' {
		return rest
	}

	for _, c := range rest[3 : length-1] {
		if !isHex(c) {
			return rest
		}
	}

	return rest[length:]
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' }

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
