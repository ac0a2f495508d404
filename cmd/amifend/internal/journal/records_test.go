package journal

import (
	"maps"
	"testing"
)

// What was put and deleted reaches the journal, also when the journal refuses it at first or loses it,
// and what the journal has replaces nothing that this run did.
func TestRecords(t *testing.T) {
	r := NewRecords[string, int](func(k string) string { return "n/" + k })
	disk := map[string]string{"n/old": "7", "n/gone": "8"}
	take := func(rows []Row) bool {
		for _, row := range rows {
			if len(row.Value) == 0 {
				delete(disk, string(row.Key))
			} else {
				disk[string(row.Key)] = string(row.Value)
			}
		}
		return true
	}

	r.Put("gone", 1)
	if v, ok := r.Delete("gone"); !ok || v != 1 {
		t.Errorf("deleted %d, %t", v, ok)
	}
	if _, ok := r.Delete("never"); ok {
		t.Error("what was never there was deleted")
	}
	r.Put("new", 2)
	for k, v := range map[string]int{"gone": 8, "old": 7, "new": 9} {
		r.Adopt(k, v)
	}
	if want := map[string]int{"new": 2, "old": 7}; !maps.Equal(r.Clone(), want) || r.Len() != 2 {
		t.Errorf("records %v, want %v", r.Clone(), want)
	}

	// Refused, and then accepted, once.
	want := map[string]string{"n/old": "7", "n/new": "2"}
	r.Save(func([]Row) bool { return false })
	r.Save(take)
	if !maps.Equal(disk, want) {
		t.Errorf("the journal has %v, want %v", disk, want)
	}
	r.Save(func(rows []Row) bool { t.Errorf("saved again: %d rows", len(rows)); return true })

	// The journal is lost.
	clear(disk)
	r.SaveAnew()
	r.Save(take)
	if !maps.Equal(disk, want) {
		t.Errorf("the new journal has %v, want %v", disk, want)
	}
}
