package config

import (
	"strings"
	"testing"
)

func TestEndObserving(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"a section", "[policy]\nobserve = true # a day\n", "[policy]\nobserve = false # a day\n"},
		{"with blanks", "[ policy ]\n\tobserve=true\r\n[log]\n", "[ policy ]\n\tobserve=false\r\n[log]\n"},
		{"dotted", "policy.observe = true\n[log]\n", "policy.observe = false\n[log]\n"},
		{"already", "[policy]\nobserve = false\n", ""},
		{"none", "[policy]\n#observe = true\n", ""},
		{"empty", "", ""},
		{
			"a comment before", "[policy]\n# observe = true\nobserve = true",
			"[policy]\n# observe = true\nobserve = false",
		},
	} {
		e, err := EndObserving([]byte(tt.text))
		switch {
		case err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want == "" && (e.Line != 0 || string(e.Text) != tt.text):
			t.Errorf("%s: changed: %+v", tt.name, e)
		case tt.want != "" && (string(e.Text) != tt.want ||
			strings.Replace(e.Before, "true", "false", 1) != e.After && tt.name != "a comment before"):
			t.Errorf("%s: %q, %+v", tt.name, e.Text, e)
		}
	}

	// What is not plain is left to people, and nothing else is ever changed.
	for _, text := range []string{
		"policy = { observe = true }", "[policy]\n\"observe\" = true",
		"[log]\nx = \"\"\"\n[policy]\nobserve = true\n\"\"\"\n[policy]\n'observe' = true", "observe = tru",
	} {
		if e, err := EndObserving([]byte(text)); err == nil {
			t.Errorf("%q became %q", text, e.Text)
		}
	}
}

// The reverse gives the same file again, byte by byte.
func TestBeginObserving(t *testing.T) {
	for _, text := range []string{
		"[policy]\nobserve = true # a day\n", "[ policy ]\n\tobserve=true\r\n[log]\n",
		"policy.observe = true\n[log]\n", "[policy]\n# observe = true\nobserve = true",
	} {
		ended, err := EndObserving([]byte(text))
		if err != nil || ended.Line == 0 {
			t.Fatalf("%q: %+v, %v", text, ended, err)
		}
		begun, err := BeginObserving(ended.Text)
		if err != nil || string(begun.Text) != text || begun.After != ended.Before {
			t.Errorf("%q became %q, then %q, %v", text, ended.Text, begun.Text, err)
		}
	}

	// A file without the key is left to people.
	for _, text := range []string{"", "[policy]\n", "[policy]\nobserve = true\n"} {
		if e, err := BeginObserving([]byte(text)); err != nil || e.Line != 0 {
			t.Errorf("%q: %+v, %v", text, e, err)
		}
	}
}
