package wording

import (
	"fmt"
	"strings"
)

// Count returns a number of things in words, such as "1 ban", "2 bans" or "no bans".
func Count[N int | uint64](n N, thing string) string {
	number := fmt.Sprint(n)

	// "no bans" reads better than "0 bans".
	switch n {
	case 0:
		number = "no"
	case 1:
		return number + " " + thing
	}

	// The only word with another plural is "prefix".
	if strings.HasSuffix(thing, "x") {
		return number + " " + thing + "es"
	}
	return number + " " + thing + "s"
}
