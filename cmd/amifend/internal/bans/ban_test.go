package bans_test

import (
	"log/slog"
	"net/netip"
	"testing"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
)

func TestBanOfAPrefixIsToldAsOne(t *testing.T) {
	b := bans.Ban{Prefix: netip.MustParsePrefix("2001:db8::/64"), Score: 3.2549}
	var undo, score string
	for _, a := range b.Attrs() {
		switch a := a.(slog.Attr); a.Key {
		case "undo":
			undo = a.Value.String()
		case "score":
			score = a.Value.String()
		}
	}

	if b.Source() != "2001:db8::/64" || undo != "amifend unban 2001:db8::/64" || score != "3.25" {
		t.Errorf("told as %s, %s, %s", b.Source(), undo, score)
	}
}
