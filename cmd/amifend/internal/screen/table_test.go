package screen

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	rows := []string{
		"SOURCE\tENDS IN\tWHY",
		"203.0.113.5\t1h0m\tserver office: its address, which only that server names",
		"2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff\t5m0s\tloopback",
		"DOWN",
	}

	// Where there is room, and in a pipe, a row is one line.
	const wide = `SOURCE                                  ENDS IN  WHY
203.0.113.5                             1h0m     server office: its address, which only that server names
2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff  5m0s     loopback
DOWN
`
	for _, width := range []int{0, 110} {
		if got := (Screen{Width: width}).Table(rows); got != wide {
			t.Errorf("width %d: got\n%s\nwant\n%s", width, got, wide)
		}
	}

	// The last column is wrapped first.
	const wrapped = `SOURCE                                  ENDS IN  WHY
203.0.113.5                             1h0m     server office: its address,
                                                 which only that server names
2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff  5m0s     loopback
DOWN
`
	if got := (Screen{Width: 80}).Table(rows); got != wrapped {
		t.Errorf("got\n%s\nwant\n%s", got, wrapped)
	}

	// Then long first cells get lines of their own.
	const narrow = `SOURCE        ENDS IN  WHY
203.0.113.5   1h0m     server office: its
                       address, which only
                       that server names
2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff
              5m0s     loopback
DOWN
`
	if got := (Screen{Width: 42}).Table(rows); got != narrow {
		t.Errorf("got\n%s\nwant\n%s", got, narrow)
	}
	if got := (Screen{Width: 80}).Table(nil); strings.TrimSpace(got) != "" {
		t.Errorf("no rows: %q", got)
	}
}
