package journal

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// Who only reads, again and again while much is decided, spends no more than the budget: else what
// is decided next would wait for minutes to be on the disk.
func TestReadersKeepToTheBudget(t *testing.T) {
	j := start(t, options(t.TempDir()))
	evidence := fmt.Sprintf("%01000d", 0)
	n := 0

	for i := range 60 {
		for range 300 {
			n++
			now := time.Now()
			j.Ban(Ban{
				Key: Key{netip.PrefixFrom(netip.AddrFrom4([4]byte{
					203, byte(n >> 16), byte(n >> 8),
					byte(n),
				}), 32), all},
				Rule: "score", Evidence: evidence, From: now, Until: now.Add(time.Hour),
			})
		}

		read := j.Publish
		if i%2 == 0 {
			read = j.WriteTotals
		}

		if err := read(t.Context()); err != nil {
			t.Fatal(err)
		}
	}

	var ahead time.Duration
	if err := j.ask(t.Context(), func(*store) error {
		ahead = time.Until(j.due.commit)
		return nil
	}); err != nil {
		t.Fatal(err)
	}

	// One commit may go beyond the budget: of 4,096 bans of a kilobyte, some 20 MB.
	if ahead > 25*time.Second {
		t.Errorf("%d bans: the next commit must wait %v", n, ahead)
	}
}
