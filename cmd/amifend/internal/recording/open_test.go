package recording

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestStdin: standard input is read, a pipe too.
func TestStdin(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}

	old := os.Stdin
	os.Stdin = r
	t.Cleanup(func() { os.Stdin = old })

	// A pipe has no size and cannot be read twice.
	go func() {
		_, _ = io.WriteString(w, logLine+logLine)
		w.Close()
	}()
	if got, err := play(t, Stdin); err != nil || got != "1001@1 1001@1" {
		t.Errorf("%s, %v", got, err)
	}
}

// TestFolder: the files of a folder are read, those that are no recordings are named, and one of
// them alone is an error.
func TestFolder(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string][]byte{
		"messages":      []byte(logLine),
		"messages.1.gz": packed(t, strings.ReplaceAll(logLine, "1001", "1002")),
		"queue_log":     []byte("1|NONE\n"), "full.xz": []byte("\xfd7zXZ\x00xxxxxxxx"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	// Folders in it are left aside.
	if err := os.Mkdir(filepath.Join(dir, "cdr-csv"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{dir, filepath.Join(dir, "*[0-9a-z]*")} {
		set, err := Open([]string{name}, Options{Location: time.UTC})
		if err != nil {
			t.Fatal(err)
		}

		// Both recordings are read, the packed one too.
		n := 0
		if err := set.Play(t.Context(), func(*Event) { n++ }); err != nil || n != 2 {
			t.Errorf("%s: %d events, %v; want 2", name, n, err)
		}

		var skipped []string
		for _, s := range set.Skipped() {
			skipped = append(skipped, filepath.Base(s.Name))
		}

		if got := strings.Join(skipped, " "); !strings.Contains(got, "full.xz") ||
			!strings.Contains(got, "queue_log") || strings.Contains(got, "messages") {
			t.Errorf("%s: skipped %s", name, got)
		}

		set.Close()
	}

	if _, err := Open([]string{filepath.Join(dir, "queue_log")}, Options{}); err == nil {
		t.Error("a foreign file alone is no error")
	}
}

// TestChangedCaptures: a capture that was changed on its way accuses nobody, and the reason is
// told. One that an attacker makes look so is read.
func TestChangedCaptures(t *testing.T) {
	challenge := strings.Replace(packet(1, "a"), "InvalidAccountID", "ChallengeSent", 1)
	challenge = strings.Replace(challenge, "Severity: Error", "Severity: Informational", 1)
	challenge = strings.TrimSuffix(challenge, "\r\n") + "Challenge: \r\n\r\n"

	// What an editor makes of the challenge, and what an attacker can write.
	cut := strings.ReplaceAll(challenge, "Challenge: \r\n", "Challenge:\r\n")
	injected := packet(2, "a\r\nChallenge:\r\nx")
	capture := capturing("c", 1, 2)

	for name, test := range map[string]struct{ content, want, events string }{
		"LF alone": {
			strings.ReplaceAll(capture, "\r\n", "\n"),
			"no line of it ends in CR LF", "",
		},
		"LF alone, without a banner": {
			strings.ReplaceAll(packet(1, "a"), "\r\n", "\n"),
			"no line of it ends in CR LF", "",
		},
		"CR CR LF": {
			strings.ReplaceAll(capture, "\r\n", "\r\r\n"), "CR CR LF",
			"",
		},
		"a byte order mark":  {"\xef\xbb\xbf" + capture, "byte order mark", ""},
		"UTF-16":             {"\xff\xfeA\x00s\x00", "UTF-16", ""},
		"blanks cut":         {capture + cut, "blanks at line ends were cut off", ""},
		"CR alone":           {strings.ReplaceAll(capture, "\r\n", "\r"), "CR alone", ""},
		"no empty lines":     {strings.ReplaceAll(capture, "\r\n\r\n", "\r\n"), "none is whole", ""},
		"LF for empty lines": {strings.ReplaceAll(capture, "\r\n\r\n", "\n\n"), "none is whole", ""},
		"blanks added":       {strings.ReplaceAll(capture, "\r\n", " \r\n"), "none is whole", ""},
		"telnet": {
			"Trying 127.0.0.1...\r\nConnected to localhost.\r\n" + capture, "", "c0@1 c1@2",
		},
		"script":                 {"Script started\n" + capture, "", "c0@1 c1@2"},
		"a part":                 {capturing("c", 1, 2, 3)[99:], "", "c1@2 c2@3"},
		"a part with LF":         {strings.ReplaceAll(capture[99:], "\r\n", "\n"), "CR LF", ""},
		"something in each line": {strings.ReplaceAll(capture, "\n", "\n> "), "none is whole", ""},
		"blanks cut, much later": {capture + strings.Repeat(packet(3, "b"), 999) + cut +
			packet(4, "z"), "blanks at line ends were cut off", ""},
		"an attacker writes such one": {capture + challenge + injected, "", "c0@1 c1@1 a@1 a@2"},
		"twice packed": {
			string(packed(t, string(packed(t, capture)))), "",
			"c0@1 c1@2",
		},
	} {
		// Events in front of the first sign may have been played, and accuse nobody by it.
		got, err := play(t, write(t, "capture", []byte(test.content)))
		if (err == nil) != (test.want == "") || err != nil &&
			!strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		if test.events != "" && got != test.events {
			t.Errorf("%s: %s, want %s", name, got, test.events)
		}
	}
}

// TestPartlyChanged: a part of a capture that is not whole is told.
func TestPartlyChanged(t *testing.T) {
	content := capturing("c", 1, 2, 3) +
		strings.ReplaceAll(packet(4, "d")+packet(5, "e")+packet(6, "f"), "\r\n", "\n")
	set, err := Open([]string{write(t, "capture", []byte(content))}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()

	if err := set.Play(t.Context(), func(*Event) {}); err != nil {
		t.Fatal(err)
	}
	notes := set.Notes()
	if len(notes) != 1 || notes[0].Lines < 2 || !strings.Contains(notes[0].Why, "in part") {
		t.Errorf("%+v", notes)
	}
}

// TestProgress: the bar, and that nothing is drawn of short work or where nobody looks.
func TestProgress(t *testing.T) {
	for _, test := range []struct {
		read, size int64
		want       string
	}{
		{25e6, 100e6, "[#####---------------]  25%  2.5 MB/s  30s left"},
		{100e6, 100e6, "[####################] 100%  10.0 MB/s  0s left"},
		{50e6, 0, "50.0 MB read  5.0 MB/s"},
		{0, 100e6, "[--------------------]   0%  0.0 MB/s"},
	} {
		if got := bar(test.read, test.size, 10*time.Second); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}

	// Ended at once: nothing may be drawn.
	var b bytes.Buffer
	ShowProgress(&b, &Set{})()
	ShowProgress(nil, &Set{})()
	if b.Len() > 0 {
		t.Errorf("drawn: %q", &b)
	}
}
