package ami

import (
	"strings"
	"testing"
)

func TestQuote(t *testing.T) {
	tests := map[string]string{
		"":                        `""`,
		"1001":                    `"1001"`,
		"a\"b\\c":                 `"a\"b\\c"`,
		"\x1b[31m\r\n\t\x00\x7f":  `"\x1b[31m\r\n\t\x00\x7f"`,
		"josé \u202e":             `"jos\xc3\xa9 \xe2\x80\xae"`,
		strings.Repeat("a", 64):   `"` + strings.Repeat("a", 64) + `"`,
		strings.Repeat("a", 65):   `"` + strings.Repeat("a", 64) + `"...(+1 bytes)`,
		strings.Repeat("\n", 500): `"` + strings.Repeat(`\n`, 64) + `"...(+436 bytes)`,
	}
	for in, want := range tests {
		if got := Quote([]byte(in)); got != want {
			t.Errorf("Quote(%q) = %s, want %s", in, got, want)
		}
	}

	// Whatever the byte, the output is printable ASCII.
	for c := range 256 {
		for _, out := range []byte(Quote([]byte{byte(c)})) {
			if out < ' ' || out > '~' {
				t.Errorf("Quote of byte %d prints byte %d", c, out)
			}
		}
	}
}
