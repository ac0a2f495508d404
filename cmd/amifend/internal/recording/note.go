package recording

import (
	"cmp"

	"github.com/amifend/amifend/cmd/amifend/internal/asterisklog"
)

// The kinds of notes. They are part of the JSON of `replay` and `report`.
const (
	NoteUnread     = "unread"      // lines that look like failed requests were not read
	NoteNoAsterisk = "no_asterisk" // no line of Asterisk is in a file
	NoteSkipped    = "skipped"     // a file is not a recording
)

// Note is a remark on files that were not read in full. Without it, an attack that was not read
// would look like a quiet PBX.
type Note struct {
	Kind  string
	File  string // of NoteNoAsterisk and NoteSkipped
	Lines uint64 // of NoteUnread
	Why   string
	Do    string // what to do about it, may be empty
}

// Notes returns the notes on the files, as far as they were read.
func (s *Set) Notes() []Note {
	var out []Note
	files := s.Files()

	// One note for each reason covers all files, since the advice is the same.
	for u := range asterisklog.NumUnread {
		var lines uint64
		example := ""
		for i := range files {
			lines += files[i].Log.Unread[u]
			example = cmp.Or(example, files[i].Log.Example(u))
		}

		if lines > 0 {
			out = append(out, Note{
				Kind: NoteUnread, Lines: lines, Why: u.Why(example), Do: u.Do(example),
			})
		}
	}

	for i := range files {
		if n := files[i].Lost; n > 0 {
			out = append(out, Note{
				Kind: NoteUnread, Lines: n,
				Why: "a capture was changed on its way in part: events in it are not whole",
				Do:  "copy the capture as it is",
			})
		}

		// A log of another program gives no events, and must not look like a quiet PBX.
		if f := &files[i]; f.Format == FormatLog && f.Log.Messages == 0 && f.Log.NotRead() == 0 {
			out = append(out, Note{
				Kind: NoteNoAsterisk, File: f.Name, Why: "no line of Asterisk is in it",
				Do: "name the file that logger.conf logs to, such as /var/log/asterisk/messages",
			})
		}
	}

	// A skipped file is not an error, but the operator may have expected it to be read.
	for _, skipped := range s.skipped {
		out = append(out, Note{Kind: NoteSkipped, File: skipped.Name, Why: skipped.Why})
	}
	return out
}
