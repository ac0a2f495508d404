package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const demo = `amifend demo, 1m0s: two PBXs.

   1.0s  ATTACK    203.0.113.5 scans <for> extensions
   3.7s  BANNED    203.0.113.5  SIP ports
                   4 attempts: evidence
   8.0s  ATTACK    198.51.100.20 guesses the password of extension 203, which
                   exists
  10.0s  SO FAR    bans: 1
                   and more

Banned             who
203.0.113.5        extension scanner

All attackers were banned, and nobody else.
`

func TestPicture(t *testing.T) {
	path := filepath.Join(t.TempDir(), "demo.svg")
	if err := run(strings.NewReader(demo), path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	wellFormed(t, text)
	for _, want := range []string{"&lt;for&gt;", ">BANNED<", ">exists<", ">" + verdict + "<"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, not := range []string{"evidence", "SO FAR", "and more", "two PBXs", "extension scanner"} {
		if strings.Contains(string(text), not) {
			t.Errorf("%q in\n%s", not, text)
		}
	}
}

// A demo that went wrong, or a dry run, is no picture.
func TestNoPicture(t *testing.T) {
	path := filepath.Join(t.TempDir(), "demo.svg")
	for _, text := range []string{"", strings.Replace(demo, verdict, "", 1)} {
		if err := run(strings.NewReader(text), path); err == nil {
			t.Errorf("no error for %q", text)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file: %v", err)
	}
}

// The picture of the README is well-formed, and that of a demo that went well.
func TestPictureOfTheReadme(t *testing.T) {
	text, err := os.ReadFile("../../docs/demo.svg")
	if err != nil {
		t.Fatal(err)
	}
	wellFormed(t, text)
	if !strings.Contains(string(text), ">"+verdict+"<") {
		t.Error("the verdict is missing")
	}
}

func wellFormed(t *testing.T, text []byte) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(string(text)))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
