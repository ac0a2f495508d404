package recording

import (
	"bytes"
	"errors"

	"github.com/amifend/amifend/cmd/amifend/internal/asterisklog"
)

// foreignError is the error for a file that is not a recording. Such a file is skipped if there are
// others, since a shell may have named it by a pattern.
type foreignError string

func (e foreignError) Error() string { return string(e) }

func isForeign(err error) bool {
	var e foreignError
	return errors.As(err, &e)
}

// errForeign is the error if no more is known.
const errForeign = foreignError("is neither an AMI capture (it would begin with `Asterisk Call " +
	"Manager/`) nor a log of Asterisk (its lines would have `LEVEL[thread] file:` in them)")

// errCRAlone is the error for a log whose line ends were changed.
var errCRAlone = errors.New("has lines that end in CR alone: a program changed it on its way; " +
	"copy it as it is")

// unlike returns the error for a file that is not a recording. It names the likely cause, by head,
// the beginning of the file.
func unlike(head []byte) error {
	has := func(sign string) bool { return bytes.Contains(head, []byte(sign)) }
	switch {
	case isUTF16(head):
		return foreignError("is UTF-16: a program changed it on its way (a PowerShell that wrote " +
			"it to a file?); copy it as it is")
	case hasMagic(head, "\xd4\xc3\xb2\xa1", "\xa1\xb2\xc3\xd4", "\x4d\x3c\xb2\xa1",
		"\x0a\x0d\x0d\x0a"):
		return foreignError("is a capture of packets (pcap): amifend reads Asterisk's logs and " +
			"captures of AMI, not packets")
	case has("\nMESSAGE="), has("\n    MESSAGE="):
		return foreignError("is of `journalctl -o export` or `-o verbose`: write it with " +
			"`-o short-iso` or `-o json`")
	case has("RemoteAddress: IPV") && has("Event: "), has("remoteaddress: ipv"):
		return foreignError("holds events of AMI, but not as AMI writes them: `Event: …` begins no " +
			"line, or no line ends in CR LF. Copy the capture as it is")
	}

	// An attack that is not read must not look like a file of something else.
	if line, ok := asterisklog.LooksLike(head); ok {
		return foreignError("has lines that look like failed requests, but what stands in " +
			"front of them is not known: " + line + "; a log has `[time] LEVEL[thread] file:` " +
			"there. Cut off what a tool added, or give Asterisk's own file")
	}

	return errForeign
}

// isUTF16 reports whether a file is UTF-16, with or without its mark.
func isUTF16(head []byte) bool {
	if hasMagic(head, "\xff\xfe", "\xfe\xff") {
		return true
	}

	// Every second byte of plain text is zero then.
	const letters = 8
	if len(head) < 2*letters {
		return false
	}
	even, odd := 0, 0
	for i := 0; i < 2*letters; i += 2 {
		if head[i] == 0 {
			even++
		}
		if head[i+1] == 0 {
			odd++
		}
	}
	return even == letters && odd == 0 || odd == letters && even == 0
}

// otherPacking returns an error if a file, by its first bytes, is packed in a form that is not unpacked
// here.
func otherPacking(magic []byte) error {
	for _, p := range [...]struct{ magic, name, tool string }{
		{"\xfd7zXZ\x00", "xz", "xz -dc"},
		{"\x28\xb5\x2f\xfd", "zstd", "zstd -dc"},
		{"\x04\x22\x4d\x18", "lz4", "lz4 -dc"},
		{"LZIP", "lzip", "lzip -dc"},
		{"\x1f\x9d", "compress", "gzip -dc"},
		{"PK\x03\x04", "zip", "unzip -p"},
		{"7z\xbc\xaf\x27\x1c", "7-Zip", "7z x -so"},
	} {
		if hasMagic(magic, p.magic) {
			return foreignError("is packed by " + p.name + ": unpack it first, or write `" +
				p.tool + " FILE | amifend replay -` (report takes `-`, too)")
		}
	}
	return nil
}

func hasMagic(head []byte, magics ...string) bool {
	for _, m := range magics {
		if bytes.HasPrefix(head, []byte(m)) {
			return true
		}
	}
	return false
}
