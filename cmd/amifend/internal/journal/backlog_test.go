package journal

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

// backlogOf returns a backlog of many bans of addresses in no order.
func backlogOf(n int) *backlog {
	b := &backlog{most: n}
	var p pending
	for i := range n {
		k := Key{numbered(i * 7919 % n), all}
		p.entry(k, n).addBan(&Ban{Key: k})
	}
	b.add(p, time.Now())
	return b
}

// A commit has neighbours, so that it changes few pages; and each ban is in one.
func TestBacklogIsWrittenInOrder(t *testing.T) {
	const many = 3*runMost + 17
	b := backlogOf(many)
	seen := make(map[Key]bool)
	for len(b.entries) > 0 {
		w := b.batch(groupMost, false)
		if len(w.bans) > groupMost {
			t.Fatalf("%d bans in a commit", len(w.bans))
		}
		if !slices.IsSortedFunc(w.bans, func(x, y *entry) int {
			return x.key.Prefix.Compare(y.key.Prefix)
		}) && len(b.order) > groupMost {
			t.Fatal("a commit is in no order")
		}
		for _, e := range w.bans {
			if seen[e.key] {
				t.Fatalf("%v twice", e.key)
			}
			seen[e.key] = true
		}
		b.written(w)
	}
	if len(seen) != many {
		t.Errorf("%d of %d bans are written", len(seen), many)
	}
}

// What is asked about is written at once, and nothing else of a large backlog.
func TestHurry(t *testing.T) {
	const many = 20_000
	b := backlogOf(many)
	wide := Key{netip.MustParsePrefix(numbered(4711).Addr().String() + "/24").Masked(), sip}
	b.entry(wide, many+1).addBan(&Ban{Key: wide})

	for range 2 { // twice is not more
		if !b.hurry(numbered(4711).Addr()) {
			t.Fatal("nothing is known of it")
		}
	}
	w := b.batch(0, false)
	if len(w.bans) != 2 || !slices.ContainsFunc(w.bans, func(e *entry) bool {
		return e.key.Prefix == numbered(4711)
	}) {
		t.Errorf("%d bans are written", len(w.bans))
	}
	b.written(w)
	if len(b.entries) != many-1 || b.hurry(numbered(4711).Addr()) ||
		b.hurry(netip.MustParseAddr("2001:db8::1")) {
		t.Errorf("%d bans wait", len(b.entries))
	}
}
