package recording

import (
	"github.com/amifend/amifend/cmd/amifend/internal/asterisklog"
)

// The kinds of notes. They are part of the JSON of `replay` and `report`.
const (
	NoteUnread     = "unread"      // lines that look like failed requests were not read
	NoteNoAsterisk = "no_asterisk" // no line of Asterisk is in a file
	NoteSkipped    = "skipped"     // a file is no recording
)

// Note is something that whoever reads the result of recordings must know: without it, an attack
// that was not read would look like a quiet PBX.
type Note struct {
	Kind  string
	File  string // of NoteNoAsterisk and NoteSkipped
	Lines uint64 // of NoteUnread
	Why   string
	Do    string // what to do about it, may be empty
}

// Notes returns what is to be told of the files that were read.
func (s *Set) Notes() []Note {
	var out []Note
	files := s.Files()
	for u := range asterisklog.NumUnread {
		var lines uint64
		stamp := ""
		for i := range files {
			lines += files[i].Log.Unread[u]
			if stamp == "" {
				stamp = files[i].Log.Stamp
			}
		}
		if lines > 0 {
			out = append(out, Note{Kind: NoteUnread, Lines: lines, Why: u.Why(stamp), Do: u.Do()})
		}
	}

	for i := range files {
		if f := &files[i]; f.Format == FormatLog && f.Log.Messages == 0 && f.Log.NotRead() == 0 {
			out = append(out, Note{
				Kind: NoteNoAsterisk, File: f.Name, Why: "no line of Asterisk is in it",
				Do: "name the file that logger.conf logs to, such as /var/log/asterisk/messages",
			})
		}
	}
	for _, skipped := range s.skipped {
		out = append(out, Note{Kind: NoteSkipped, File: skipped.Name, Why: skipped.Why})
	}
	return out
}
