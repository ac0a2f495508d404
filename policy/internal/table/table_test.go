package table_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/amifend/amifend/policy/internal/table"
)

// smallKey has few hashes, so that keys meet in the index.
type smallKey uint16

func (k smallKey) Hash(_, _ uint64) uint64 { return uint64(k % 7) }

// lane names a list.
type lane uint8

const (
	slow lane = iota
	fast
	parked // in no order of eviction
	lanes
)

// model is what a table should hold: for each list its keys, the newest first.
type model struct {
	vals  map[smallKey]int
	lists [lanes][]smallKey
	dirty map[smallKey]bool
}

func (m *model) remove(k smallKey) {
	delete(m.vals, k)
	delete(m.dirty, k)
	for i := range m.lists {
		m.lists[i] = slices.DeleteFunc(m.lists[i], func(other smallKey) bool { return other == k })
	}
}

func (m *model) push(k smallKey, to lane) { m.lists[to] = slices.Insert(m.lists[to], 0, k) }

// A table does what a Go map does, its lists keep their order, and its marks stay with their
// records.
func TestTableIsAMapWithLists(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const limit = 12
		tab := table.New[smallKey, int](limit, 0, 0, slow, fast)
		m := model{vals: map[smallKey]int{}, dirty: map[smallKey]bool{}}
		anyKey := rapid.Custom(func(t *rapid.T) smallKey {
			return smallKey(rapid.IntRange(0, 30).Draw(t, "key"))
		})
		anyList := rapid.SampledFrom([]lane{slow, fast, parked})

		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				k := anyKey.Draw(t, "k")
				if _, ok := m.vals[k]; ok || tab.Full() {
					t.Skip()
				}
				to := anyList.Draw(t, "list")
				m.vals[k] = rapid.Int().Draw(t, "v")
				*tab.Val(tab.Add(k, to)) = m.vals[k]
				m.push(k, to)
			},
			"remove": func(t *rapid.T) {
				k := anyKey.Draw(t, "k")
				if r := tab.Get(k); r != 0 {
					tab.Remove(r)
				}
				m.remove(k)
			},
			"move": func(t *rapid.T) {
				k := anyKey.Draw(t, "k")
				r := tab.Get(k)
				if r == 0 {
					t.Skip()
				}
				to := anyList.Draw(t, "list")
				tab.Move(r, to)
				v, dirty := m.vals[k], m.dirty[k]
				m.remove(k)
				m.push(k, to)
				m.vals[k], m.dirty[k] = v, dirty
			},
			"mark": func(t *rapid.T) {
				k := anyKey.Draw(t, "k")
				if r := tab.Get(k); r != 0 {
					tab.Mark(r)
					m.dirty[k] = true
				}
			},
			"clean": func(t *rapid.T) {
				k := anyKey.Draw(t, "k")
				if r := tab.Get(k); r != 0 {
					tab.Clean(r)
					m.dirty[k] = false
				}
			},
			"": func(t *rapid.T) { compare(t, tab, &m) },
		})
	})
}

// compare finds where a table differs from what it should hold.
func compare(t *rapid.T, tab *table.Table[smallKey, int, lane], m *model) {
	if err := tab.Check(); err != nil {
		t.Fatal(err)
	}
	if tab.Len() != len(m.vals) {
		t.Fatalf("Len: got %d, want %d", tab.Len(), len(m.vals))
	}
	for k := range smallKey(31) {
		r := tab.Get(k)
		v, ok := m.vals[k]
		if ok != (r != 0) ||
			ok && (*tab.Val(r) != v || tab.Key(r) != k || tab.Changed(r) != m.dirty[k]) {
			t.Fatalf("key %d: got ref %d, want %d, %v, changed %v", k, r, v, ok, m.dirty[k])
		}
	}

	for of := range lanes {
		var got []smallKey
		for r := tab.Newest(of); r != 0; r = tab.Older(r) {
			got = append(got, tab.Key(r))
		}
		if !slices.Equal(got, m.lists[of]) || tab.Count(of) != len(got) {
			t.Fatalf("list %d: got %v, want %v", of, got, m.lists[of])
		}
		if n := len(got); n > 0 && tab.Key(tab.Oldest(of)) != got[n-1] {
			t.Fatalf("list %d: oldest %v, want %v", of, tab.Key(tab.Oldest(of)), got[n-1])
		}
	}

	var marked []smallKey
	for r := tab.NextChanged(1); r != 0; r = tab.NextChanged(r + 1) {
		marked = append(marked, tab.Key(r))
	}
	for k, dirty := range m.dirty {
		if dirty != slices.Contains(marked, k) {
			t.Fatalf("marked: got %v, want %v", marked, m.dirty)
		}
	}
}

// fill returns a table of 16 whose lists hold so many records, and what is where.
func fill(counts ...int) *table.Table[smallKey, int, lane] {
	tab := table.New[smallKey, int](16, 0, 0, slow, fast)
	k := smallKey(0)
	for of, n := range counts {
		for range n {
			tab.Add(k, lane(of))
			k++
		}
	}
	return tab
}

func TestVictim(t *testing.T) {
	for name, c := range map[string]struct {
		counts []int // of the lists slow, fast and parked
		want   lane
	}{
		"the first list above its reserve":   {[]int{3, 13, 0}, slow},
		"the first keeps its reserve":        {[]int{2, 14, 0}, fast},
		"reserves go in the reverse order":   {[]int{2, 2, 12}, fast},
		"then that of the first":             {[]int{2, 0, 14}, slow},
		"a list that no order names is last": {[]int{0, 0, 16}, parked},
	} {
		tab := fill(c.counts...)
		if got := tab.Victim(); tab.List(got) != c.want || got != tab.Oldest(c.want) {
			t.Errorf(
				"%s: got %d of list %d, want the oldest of %d",
				name,
				got,
				tab.List(got),
				c.want,
			)
		}

		// Add takes the room of the same record.
		victim := tab.Key(tab.Victim())
		tab.Add(100, slow)
		if tab.Get(victim) != 0 || tab.Len() != 16 {
			t.Errorf("%s: Add kept the victim", name)
		}
	}
	if got := fill().Victim(); got != 0 {
		t.Errorf("empty: got %d", got)
	}
}

func TestSort(t *testing.T) {
	tab := table.New[smallKey, int](16, 0, 0, slow, fast)
	for k, v := range []int{3, 1, 2, 1, 5} {
		*tab.Val(tab.Add(smallKey(k), parked)) = v
	}
	tab.Sort(func(v *int) int64 { return int64(*v) }, func(_ smallKey, v *int) lane {
		if *v > 1 {
			return fast
		}
		return slow
	})

	if err := tab.Check(); err != nil {
		t.Fatal(err)
	}
	var got []smallKey
	for r := range tab.OldestFirst() {
		got = append(got, tab.Key(r))
	}
	if want := []smallKey{1, 3, 2, 0, 4}; !slices.Equal(got, want) {
		t.Errorf("oldest first: got %v, want %v", got, want)
	}
}

// Records beyond a smaller limit stay, and are found, until they are removed.
func TestResize(t *testing.T) {
	tab := fill(10, 6, 0)
	tab.Resize(4)
	for k := range smallKey(16) {
		if tab.Get(k) == 0 {
			t.Errorf("key %d is lost", k)
		}
	}
	for tab.Len() > tab.Max() {
		tab.Remove(tab.Victim())
	}
	if err := tab.Check(); err != nil || !tab.Full() {
		t.Errorf("got %v, %d records", err, tab.Len())
	}

	tab.Resize(100)
	for k := smallKey(20); !tab.Full(); k++ {
		tab.Add(k, slow)
	}
	if err := tab.Check(); err != nil || tab.Len() != 100 || tab.Slots() != 100 {
		t.Errorf("got %v, %d records, %d slots", err, tab.Len(), tab.Slots())
	}

	tab.Reset()
	if tab.Len() != 0 || tab.Get(20) != 0 || tab.NextChanged(1) != 0 || tab.Max() != 100 {
		t.Errorf("after Reset: %d records", tab.Len())
	}
}

// A loop may remove the record that it is at, or move it.
func TestLoopsAllowChanges(t *testing.T) {
	tab := fill(5, 5, 5)
	seen := 0
	for r := range tab.OldestFirst() {
		tab.Touch(r)
		seen++
	}
	if seen != 15 {
		t.Errorf("oldest first: %d of 15 records", seen)
	}
	for r := range tab.All() {
		if tab.List(r) == fast {
			tab.Remove(r)
		}
	}
	if err := tab.Check(); err != nil || tab.Len() != 10 || tab.Count(fast) != 0 {
		t.Errorf("got %v, %d records", err, tab.Len())
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	tab := fill(16, 0, 0)
	k := smallKey(16)
	if n := testing.AllocsPerRun(1000, func() { k++; tab.Add(k, slow) }); n != 0 {
		t.Errorf("allocations: got %v, want 0", n)
	}
}
