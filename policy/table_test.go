package policy

import (
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

// smallKey has few hashes, so that entries meet in the index.
type smallKey uint16

func (k smallKey) hash(_, _ uint64) uint64 { return uint64(k % 7) }

// check finds what does not hold between the parts of a table.
func (t *table[K, V]) check(tb rapid.TB) {
	seen := 0
	for list := range t.lists {
		l, last := t.lists[list], ref(0)
		n := 0
		for r := l.head; r != 0; r = t.at(r).next {
			if en := t.at(r); en.prev != last || int(en.list) != list || t.get(en.key) != r {
				tb.Fatalf("list %d: entry %v is out of place", list, en.key)
			}
			last = r
			n++
		}
		if l.tail != last || l.n != n {
			tb.Fatalf("list %d: tail %d, n %d; want %d, %d", list, l.tail, l.n, last, n)
		}
		seen += n
	}
	if seen != t.n || t.n > t.max {
		tb.Fatalf("entries: %d in lists, n %d, max %d", seen, t.n, t.max)
	}
}

// A table does what a Go map does, and its lists keep their order.
func TestTableIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const limit = 12
		tab := newTable[smallKey, int](limit, 0, 0)
		model := map[smallKey]int{}
		anyKey := rapid.Custom(func(t *rapid.T) smallKey { return smallKey(rapid.IntRange(0, 30).Draw(t, "key")) })
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				k := anyKey.Draw(t, "k")
				if _, ok := model[k]; ok || tab.full() {
					t.Skip()
				}
				v := rapid.Int().Draw(t, "v")
				tab.at(tab.add(k, uint8(rapid.IntRange(0, listCount-1).Draw(t, "list")))).val = v
				model[k] = v
			},
			"remove": func(t *rapid.T) {
				k := anyKey.Draw(t, "k")
				if r := tab.get(k); r != 0 {
					tab.remove(r)
				}
				delete(model, k)
			},
			"move": func(t *rapid.T) {
				if r := tab.get(anyKey.Draw(t, "k")); r != 0 {
					list := uint8(rapid.IntRange(0, listCount-1).Draw(t, "list"))
					tab.move(r, list)
					if tab.lists[list].head != r {
						t.Fatal("moved entry is not the newest")
					}
				}
			},
			"": func(t *rapid.T) {
				tab.check(t)
				if tab.n != len(model) {
					t.Fatalf("n: got %d, want %d", tab.n, len(model))
				}
				for k := range smallKey(31) {
					r := tab.get(k)
					v, ok := model[k]
					if ok != (r != 0) || ok && tab.at(r).val != v {
						t.Fatalf("key %d: got ref %d, want %d, %v", k, r, v, ok)
					}
				}
			},
		})
	})
}

// The promise of Options.MaxSources.
func TestSourceFitsIn112Bytes(t *testing.T) {
	const indexed = 2 * 4 * 1.05 // at the default a place in the index costs up to 8.4 bytes
	if got := float64(unsafe.Sizeof(entry[key, source]{})) + indexed; got > 113 {
		t.Errorf("a source takes %.1f bytes", got)
	}
}
