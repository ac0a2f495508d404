package wording

import (
	"math"
	"testing"
)

func TestCount(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Count(0, "ban"), "no bans"},
		{Count(1, "prefix"), "1 prefix"},
		{Count(2, "prefix"), "2 prefixes"},
		{Count(uint64(1), "packet"), "1 packet"},
		// a flood counts far
		{Count(uint64(math.MaxUint64), "packet"), "18446744073709551615 packets"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
