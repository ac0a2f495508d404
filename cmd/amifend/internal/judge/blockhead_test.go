package judge

import (
	"slices"
	"strconv"
	"testing"
)

// A line of names is believed only if it is whole.
func TestNamedServers(t *testing.T) {
	names := []string{"office", "a\nb", "é\"x"}
	line := append(blockHead(names), "block\n"...)
	got, rest, ok := cutHead(line)
	if !ok || !slices.Equal(got, names) || string(rest) != "block\n" {
		t.Errorf("%q, %q, %v", got, rest, ok)
	}

	end := slices.Index(line, '\n')
	for i := range end + 1 {
		bad := slices.Clone(line)
		bad[i] ^= 0x11
		if _, _, ok := cutHead(bad); ok {
			t.Errorf("byte %d is another, and it is believed: %q", i, bad)
		}
	}

	for _, bad := range []string{"", "\n", "0 \n", "0 []", "zz []\n", strconv.Itoa(1<<30) + "\n"} {
		if _, _, ok := cutHead([]byte(bad)); ok {
			t.Errorf("%q is believed", bad)
		}
	}

	if !continues(names, names[:1]) || !continues(names, nil) || continues(names[:1], names) ||
		continues([]string{"x", "y"}, names[:1]) {
		t.Error("which names follow which is wrong")
	}
}
