package asterisklog

import (
	"bytes"
	"cmp"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// jsonFramer takes lines of JSON apart: Asterisk's own (`[json]` in logger.conf), journald's
// (`journalctl -o json`), and docker's json-file. All of them escape line ends, so a line is one
// whole message.
type jsonFramer struct {
	text []byte // scratch: the message, with the prefix of a log file
}

// jsonLine has the members of all three kinds of lines.
type jsonLine struct {
	// Asterisk's: main/logger.c 22.10.1, format_log_json.
	Timestamp   string `json:"timestamp"`
	Identifiers struct {
		LWP    int    `json:"lwp"`
		CallID string `json:"callid"`
	} `json:"identifiers"`
	LogMsg *struct {
		Location struct {
			Filename string `json:"filename"`
		} `json:"location"`
		Level   string `json:"level"`
		Message string `json:"message"`
	} `json:"logmsg"`

	// journald's: systemd.journal-fields(7). MESSAGE is an array of numbers if it is not text.
	Message    json.RawMessage `json:"MESSAGE"`
	Identifier string          `json:"SYSLOG_IDENTIFIER"`
	Unit       string          `json:"_SYSTEMD_UNIT"`
	Container  string          `json:"CONTAINER_NAME"`
	Command    string          `json:"_COMM"`
	Source     string          `json:"_SOURCE_REALTIME_TIMESTAMP"` // microseconds
	Realtime   string          `json:"__REALTIME_TIMESTAMP"`

	// docker's.
	Log  *string `json:"log"`
	Time string  `json:"time"`
}

// frame returns the message that a line of JSON carries. It reports false if the line is none of
// the three kinds.
func (f *jsonFramer) frame(line []byte) (frame, bool) {
	var l jsonLine
	if json.Unmarshal(line, &l) != nil {
		return frame{}, false
	}

	// Each kind has a member that the others lack.
	switch {
	case l.LogMsg != nil:
		return f.asterisk(&l), true
	case l.Log != nil:
		return f.docker(&l), true
	case len(l.Message) > 0:
		return f.journald(&l)
	}

	return frame{}, false
}

// asterisk writes a message of Asterisk with the prefix that a log file has.
func (f *jsonFramer) asterisk(l *jsonLine) frame {
	// All carriers give the same form, so that one parser reads them all.
	f.text = append(append(f.text[:0], '['), l.Timestamp...)
	f.text = append(append(f.text, "] "...), l.LogMsg.Level...)
	f.text = strconv.AppendInt(append(f.text, '['), int64(l.Identifiers.LWP), 10)
	f.text = append(append(append(f.text, ']'), l.Identifiers.CallID...), ' ')
	f.text = append(append(f.text, l.LogMsg.Location.Filename...), ": "...)
	f.text = append(f.text, strings.TrimSuffix(l.LogMsg.Message, "\n")...)
	return frame{text: f.text, whole: true, json: true}
}

// docker takes one line of a container. Docker splits a message at its line ends, so the line may
// not be a whole message.
func (f *jsonFramer) docker(l *jsonLine) frame {
	f.text = append(f.text[:0], strings.TrimRight(*l.Log, "\r\n")...)

	// Docker's own time has an offset, so the PBX's time zone does not matter.
	out := frame{text: f.uncoloured(), json: true}
	if at, err := time.Parse(time.RFC3339Nano, l.Time); err == nil {
		out.at = at
	}
	return out
}

// journald takes apart an entry of the journal. It reports false if the message cannot be read.
func (f *jsonFramer) journald(l *jsonLine) (frame, bool) {
	// A message with control characters or bytes that are not UTF-8 is an array of numbers.
	var text string
	if err := json.Unmarshal(l.Message, &text); err == nil {
		f.text = append(f.text[:0], text...)
	} else {
		var numbers []int
		if json.Unmarshal(l.Message, &numbers) != nil {
			return frame{}, false
		}

		f.text = f.text[:0]
		for _, n := range numbers {
			f.text = append(f.text, byte(n))
		}
	}

	// The journal holds the messages of all programs. An attacker on the network cannot choose the
	// fields that name the program.
	out := frame{text: f.uncoloured(), whole: true, json: true}
	out.foreign = true
	for _, name := range [...]string{l.Identifier, l.Unit, l.Container, l.Command} {
		out.foreign = out.foreign && !isAsterisk([]byte(name))
	}
	out.program = []byte(cmp.Or(l.Identifier, l.Container, l.Unit, l.Command))

	// The time of the source is nearer to the event than the time of the journal.
	for _, micros := range []string{l.Source, l.Realtime} {
		if n, err := strconv.ParseInt(micros, 10, 64); err == nil && n > 0 {
			out.at = time.UnixMicro(n)
			break
		}
	}

	// The journal stores Asterisk's standard output line by line, so such an entry may not be a
	// whole message. Its text has a stamp, or no prefix at all.
	if _, ok := parsePrefix(out.text); !ok || bytes.HasPrefix(out.text, []byte{'['}) {
		out.whole = false
	}

	return out, true
}

func (f *jsonFramer) uncoloured() []byte {
	if bytes.IndexByte(f.text, '\x1b') < 0 {
		return f.text
	}
	var clean framer
	return clean.uncolour(f.text)
}
