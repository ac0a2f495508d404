package nonce

import (
	"strings"
	"testing"
)

const text = "1795876404/30d4255c949143f21a38d09dda040717"

func TestParse(t *testing.T) {
	n, ok := Parse([]byte(text))
	if !ok || n.Second != 1795876404 || n.Sum[0] != 0x30 || n.Sum[15] != 0x17 {
		t.Errorf("%v, %v", n, ok)
	}

	for name, bad := range map[string]string{
		"empty":            "",
		"of chan_sip":      "34d686f7",
		"upper case":       strings.ToUpper(text),
		"one byte more":    text + "0",
		"one byte less":    text[1:],
		"cut by Asterisk":  text + strings.Repeat("f", 20),
		"no slash":         strings.Replace(text, "/", "0", 1),
		"no digits":        "179587640x" + text[10:],
		"a sign":           "+795876404" + text[10:],
		"after 2106":       "9999999999" + text[10:],
		"no hexadecimal":   text[:42] + "g",
		"a blank":          text[:42] + " ",
		"another form":     "Zm9vYmFyYmF6Zm9vYmFyYmF6Zm9vYmFyYmF6Zm9vYmF",
		"a quoted a\\\"b":  `a\"b`,
		"escaped line end": "%0d%0a",
	} {
		if n, ok := Parse([]byte(bad)); ok || n != (Nonce{}) {
			t.Errorf("%s: %v", name, n)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(text))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, ok := Parse(b)
		if ok && n.String() != string(b) {
			t.Errorf("%q is read as %q", b, n)
		}
	})
}

func TestParseAllocatesNothing(t *testing.T) {
	b := []byte(text)
	if n := testing.AllocsPerRun(100, func() { Parse(b) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
