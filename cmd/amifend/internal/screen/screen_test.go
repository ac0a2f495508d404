package screen

import (
	"os"
	"strings"
	"testing"
)

func TestWrap(t *testing.T) {
	s := Screen{Width: 30}
	for text, want := range map[string]string{
		"short\n": "short\n",
		"a line of words that is longer than it may be": "a line of words that is longer\n" +
			"  than it may be",
		"    do: write the address into the list": "    do: write the address into\n" +
			"        the list",
		"  ok    logged in as amifend, by an MD5 challenge": "  ok    logged in as amifend,\n" +
			"        by an MD5 challenge",
		"  network of more than one word and no label": "  network of more than one\n" +
			"    word and no label",
		"firewall  nftables, ok: no bans at all": "firewall  nftables, ok: no\n          bans at all",
		"look with asterisk -rx 'manager show settings' now": "look with asterisk -rx\n" +
			"  'manager show settings' now",
		"see /var/lib/amifend/a-long-name-without-spaces now": "see\n" +
			"  /var/lib/amifend/a-long-name-without-spaces\n  now",
		"\x1b[1mthirty columns of bold letters\x1b[0m": "\x1b[1mthirty columns of bold letters\x1b[0m",
	} {
		if got := s.Wrap(text); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}

	// Scripts read pipes, so nothing is wrapped there.
	long := strings.Repeat("word ", 100)
	if got := (Screen{}).Wrap(long); got != long {
		t.Errorf("wrapped without a width: %q", got)
	}
}

func TestStyle(t *testing.T) {
	const text = "all is well\nmore"
	if got := (Screen{}).First(Good, text); got != text {
		t.Errorf("without colours: %q", got)
	}
	if got := (Screen{Colour: true}).First(Good, text); got != "\x1b[1;32mall is well\x1b[0m\nmore" {
		t.Errorf("with colours: %q", got)
	}
}

// A pipe is neither wrapped nor coloured, unless the user asks for colours.
func TestOfAPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()

	none := func(string) string { return "" }
	for when, colour := range map[When]bool{Auto: false, Always: true, Never: false} {
		if got := Of(w, when, none); got != (Screen{Colour: colour}) {
			t.Errorf("%s: %+v", when, got)
		}
	}
}

// On a terminal the width is the terminal's, and NO_COLOR and TERM=dumb end the colours.
func TestOfATerminal(t *testing.T) {
	tty := terminal(t, 60)
	for name, tc := range map[string]struct {
		when When
		env  string
		want Screen
	}{
		"a terminal":       {Auto, "", Screen{60, true}},
		"NO_COLOR":         {Auto, "NO_COLOR=1", Screen{60, false}},
		"TERM=dumb":        {Auto, "TERM=dumb", Screen{60, false}},
		"never":            {Never, "", Screen{60, false}},
		"asked for anyway": {Always, "NO_COLOR=1", Screen{60, true}},
	} {
		getenv := func(key string) string {
			value, _ := strings.CutPrefix(tc.env, key+"=")
			if value == tc.env {
				return ""
			}
			return value
		}
		if got := Of(tty, tc.when, getenv); got != tc.want {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
}
