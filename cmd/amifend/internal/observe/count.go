package observe

import (
	"fmt"
	"strings"
)

// Count is "1 ban", "2 bans" or "no bans".
func Count[N int | uint64](n N, thing string) string {
	number := fmt.Sprint(n)
	switch n {
	case 0:
		number = "no"
	case 1:
		return number + " " + thing
	}

	if strings.HasSuffix(thing, "x") {
		return number + " " + thing + "es"
	}
	return number + " " + thing + "s"
}
