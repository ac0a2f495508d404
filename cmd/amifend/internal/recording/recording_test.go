package recording

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var base = time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC)

// packet is an event of PJSIP as AMI prints it, at a time in seconds from base.
func packet(second float64, account string) string {
	at := base.Add(time.Duration(second * float64(time.Second)))
	return "Event: InvalidAccountID\r\nPrivilege: security,all\r\nEventTV: " +
		at.Format("2006-01-02T15:04:05.000-0700") +
		"\r\nSeverity: Error\r\nService: PJSIP\r\nEventVersion: 1\r\nAccountID: " + account +
		"\r\nSessionID: a@b\r\n" +
		"LocalAddress: IPV4/UDP/192.0.2.10/5060\r\nRemoteAddress: " +
		"IPV4/UDP/198.51.100.7/5070\r\n\r\n"
}

// capturing writes a capture with an event at each time; accounts are name and number.
func capturing(name string, seconds ...float64) string {
	var b strings.Builder
	b.WriteString("Asterisk Call Manager/11.0.0\r\nResponse: Success\r\nMessage: Authentication " +
		"accepted\r\n\r\n")
	for i, s := range seconds {
		b.WriteString(packet(s, fmt.Sprint(name, i)))
	}
	return b.String()
}

func write(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// play returns what the files tell: the account and the time of each event, in seconds from base.
func play(t testing.TB, files ...string) (string, error) {
	t.Helper()
	set, err := Open(files, Options{Location: time.UTC})
	if err != nil {
		return "", err
	}
	defer set.Close()

	var out []string
	err = set.Play(t.Context(), func(ev *Event) {
		out = append(out, fmt.Sprintf("%s@%g", ev.Account.Bytes(),
			time.Duration(ev.At-base.UnixNano()).Seconds()))
	})
	return strings.Join(out, " "), err
}

// TestClock: the rules of time, one file each.
func TestClock(t *testing.T) {
	const day = 86400
	for name, test := range map[string]struct {
		seconds []float64
		want    string
	}{
		"in order":              {[]float64{1, 2, 3, 4}, "1 2 3 4"},
		"the same time":         {[]float64{1, 1, 1}, "1 1 1"},
		"one alone":             {[]float64{5}, "5"},
		"two":                   {[]float64{5, 6}, "5 6"},
		"two, half a day apart": {[]float64{0, day / 2}, "0 43200"},
		"a quiet PBX": {[]float64{0, 8 * day, 16 * day, 400 * day}, fmt.Sprint("0 ",
			8*day, " ", 16*day, " ", 400*day)},
		"one from the future":     {[]float64{1, 999, 2, 3, 4}, "1 1 2 3 4"},
		"one from the far future": {[]float64{0, 1, 99 * day, 2, 3, 4}, "0 1 1 2 3 4"},
		"three from the far future": {
			[]float64{0, 1, 99 * day, 99*day + 1, 99*day + 2, 3, 4},
			"0 1 1 1 1 3 4",
		},
		// 2 is confirmed by 11: the file is shifted, until a time is later than the shifted ones.
		"one from the past": {[]float64{9, 10, 2, 11, 12, 13}, "9 10 10 11 12 13"},
		"a step back": {
			[]float64{100, 101, 50, 51, 52, 53},
			"100 101 101 102 103 104",
		},
		"a step back and forward again": {
			[]float64{100, 101, 50, 51, 110, 111},
			"100 101 101 102 110 111",
		},
		"two steps back": {
			[]float64{100, 101, 50, 51, 10, 11, 12},
			"100 101 101 102 102 103 104",
		},
		"the last from the past": {[]float64{100, 101, 50}, "100 101 101"},
		"a PBX that booted without NTP": {
			[]float64{900 * day, 900*day + 1, 0, 1, 2, 900*day + 60},
			fmt.Sprint(900*day, " ", 900*day+1, " ", 900*day+1, " ", 900*day+2, " ", 900*day+3, " ",
				900*day+60),
		},
		"the first from the future":       {[]float64{999, 2, 3, 4}, "2 2 3 4"},
		"the second from the far future":  {[]float64{1, 99 * day, 2, 3, 4}, "1 1 2 3 4"},
		"nothing that counts":             {[]float64{5, 4, 3}, "5 5 5"},
		"milliseconds":                    {[]float64{1.5, 1.501, 1.502}, "1.5 1.501 1.502"},
		"two neighbours swapped in order": {[]float64{1, 1.5, 1.25, 1.75, 2}, "1 1 1.25 1.75 2"},
	} {
		got, err := play(t, write(t, "a", []byte(capturing("a", test.seconds...))))
		if err != nil {
			t.Fatal(err)
		}

		// The times alone: the accounts only number the events.
		var times []string
		for f := range strings.FieldsSeq(got) {
			_, at, _ := strings.Cut(f, "@")
			times = append(times, at)
		}

		if s := strings.Join(times, " "); s != normal(test.want) {
			t.Errorf("%s: %v is %s, want %s", name, test.seconds, s, test.want)
		}
	}
}

// normal prints numbers as play does.
func normal(s string) string {
	var out []string
	for f := range strings.FieldsSeq(s) {
		var n float64
		_, _ = fmt.Sscan(f, &n)
		out = append(out, fmt.Sprintf("%g", n))
	}
	return strings.Join(out, " ")
}

func TestMerge(t *testing.T) {
	a := write(t, "a", []byte(capturing("a", 1, 3, 5, 7)))
	b := write(t, "b", []byte(capturing("b", 2, 3, 4, 4)))
	for _, test := range []struct{ files, want string }{
		{a + " " + b, "a0@1 b0@2 a1@3 b1@3 b2@4 b3@4 a2@5 a3@7"},
		{b + " " + a, "a0@1 b0@2 b1@3 a1@3 b2@4 b3@4 a2@5 a3@7"},
	} {
		got, err := play(t, strings.Fields(test.files)...)
		if err != nil || got != test.want {
			t.Errorf("got %s, %v\nwant %s", got, err, test.want)
		}
	}
}

func packed(t testing.TB, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}

	return b.Bytes()
}

const logLine = "[2026-11-23 02:00:01] NOTICE[9] chan_sip.c: Registration from '<sip:1001@pbx>' " +
	"failed for '198.51.100.9:5060' - Wrong password\n"

// TestFormats: the content decides the format, not the name.
func TestFormats(t *testing.T) {
	capture := capturing("a", 1, 2)
	for name, test := range map[string]struct {
		file    string
		content []byte
		want    string
	}{
		"a capture": {"messages", []byte(capture), "a0@1 a1@2"},
		"a capture without its banner": {
			"x.ami", []byte(packet(1, "a") + packet(2, "b")),
			"a@1 b@2",
		},
		"a packed capture":         {"messages.2.gz", packed(t, capture), "a0@1 a1@2"},
		"a log":                    {"x.ami", []byte(logLine), "1001@1"},
		"a rotated log":            {"messages-20261122", []byte(logLine), "1001@1"},
		"a rotated and packed log": {"messages.7.gz", packed(t, logLine), "1001@1"},
		// logrotate may append to a packed file.
		"a log of two gzip members": {
			"messages.gz", append(packed(t, logLine), packed(t, logLine)...), "1001@1 1001@1",
		},
		"nothing":         {"messages", nil, ""},
		"nothing, packed": {"messages.gz", packed(t, ""), ""},
	} {
		got, err := play(t, write(t, test.file, test.content))
		if err != nil || got != test.want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, test.want)
		}
	}
}

// TestBadFiles: each gets an error that names it, and what came before it is not lost.
func TestBadFiles(t *testing.T) {
	cut := packed(t, capturing("a", 1, 2))
	for name, test := range map[string]struct {
		content []byte
		want    string // in the error
		events  string
	}{
		"a passwd file": {
			[]byte("root:x:0:0:root:/root:/bin/bash\n"), "neither an AMI capture",
			"",
		},
		"zeros":           {make([]byte, 1<<20), "neither", ""},
		"a cut gzip":      {cut[:len(cut)-6], "unexpected EOF", "a0@1 a1@2"},
		"a broken gzip":   {[]byte("\x1f\x8bxxxxxxxxxxxx"), "unpack gzip", ""},
		"packed by xz":    {[]byte("\xfd7zXZ\x00xxxxxxxx"), "xz -dc", ""},
		"a banner of SSH": {[]byte("SSH-2.0-OpenSSH_9.2\r\n"), "neither", ""},
		"packed by zstd":  {[]byte("\x28\xb5\x2f\xfdxxxxxxxx"), "zstd -dc", ""},
		"packed by zip":   {[]byte("PK\x03\x04xxxxxxxx"), "unzip -p", ""},
		"packets":         {[]byte("\xd4\xc3\xb2\xa1\x02\x00\x04\x00xxxxxxxx"), "pcap", ""},
		"UTF-16 without a mark": {
			[]byte("[\x002\x000\x002\x006\x00-\x001\x001\x00-\x00"), "UTF-16", "",
		},
		"journalctl -o verbose": {
			[]byte("Mon 2026-11-23 02:10:00.1 UTC [s=1]\n    PRIORITY=5\n    MESSAGE=x\n"),
			"-o short-iso", "",
		},
		"journalctl -o export": {[]byte("__CURSOR=s\nMESSAGE=x\n\n"), "-o short-iso", ""},
		"CR alone":             {[]byte("[1] NOTICE[9] x.c: y\r[1] NOTICE[9] x.c: y\r"), "CR", ""},
		"lines without their beginning": {
			[]byte("x\nRegistration from '1' failed for '198.51.100.7:5060' - Wrong password\n"),
			"look like failed requests", "",
		},
	} {
		path := write(t, "bad", test.content)
		got, err := play(t, path)
		if err == nil || !strings.Contains(err.Error(), test.want) ||
			!strings.Contains(err.Error(), path) || got != test.events {
			t.Errorf("%s: %q, %v; want an error with %q and the name, and %q", name, got, err,
				test.want, test.events)
		}
	}

	// Several bad names at once: each must be in the error.
	_, err := play(t, filepath.Join(t.TempDir(), "none"), t.TempDir())
	if err == nil || !errors.Is(err, os.ErrNotExist) ||
		!strings.Contains(err.Error(), "the folder holds no files") {
		t.Errorf("%v; want an error for each file", err)
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())

	// Canceled before the first event, so none may come.
	cancel()
	set, err := Open([]string{write(t, "a", []byte(capturing("a", 1, 2)))}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()

	err = set.Play(ctx, func(*Event) { t.Error("an event") })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want it canceled", err)
	}
}
