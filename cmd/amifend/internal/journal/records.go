package journal

import (
	"encoding/json"
	"iter"
	"maps"
)

// Records holds records that operators made, each of them a row of the journal. A record that changed
// waits in it until the journal accepts the row, so a journal that is away or full loses none of them.
//
// It has no lock: its owner guards it.
type Records[K comparable, V any] struct {
	row    func(K) string // the key of a row
	all    map[K]V
	unsent map[K]struct{} // changed since the journal accepted them
}

// NewRecords returns an empty Records. row returns the key of the row of a record.
func NewRecords[K comparable, V any](row func(K) string) *Records[K, V] {
	return &Records[K, V]{row: row, all: make(map[K]V), unsent: make(map[K]struct{})}
}

// Len returns the number of records.
func (r *Records[K, V]) Len() int { return len(r.all) }

// Has reports whether there is a record of a key.
func (r *Records[K, V]) Has(k K) bool {
	_, ok := r.all[k]
	return ok
}

// All returns the records. Put and Delete may be called meanwhile.
func (r *Records[K, V]) All() iter.Seq2[K, V] { return maps.All(r.all) }

// Clone returns a copy of the records.
func (r *Records[K, V]) Clone() map[K]V { return maps.Clone(r.all) }

// Put adds a record, or replaces it.
func (r *Records[K, V]) Put(k K, v V) {
	r.all[k] = v
	r.unsent[k] = struct{}{}
}

// Delete deletes a record, and returns it. It returns false if there was none.
func (r *Records[K, V]) Delete(k K) (V, bool) {
	old, ok := r.all[k]
	if ok {
		delete(r.all, k)
		r.unsent[k] = struct{}{}
	}
	return old, ok
}

// Adopt takes in a record that the journal has, unless this run has changed the record already.
func (r *Records[K, V]) Adopt(k K, v V) {
	_, changed := r.unsent[k]
	if !changed && !r.Has(k) {
		r.all[k] = v
	}
}

// SaveAnew has the next Save hand over all records: the journal has lost them.
func (r *Records[K, V]) SaveAnew() {
	for k := range r.all {
		r.unsent[k] = struct{}{}
	}
}

// Save hands the rows of the records that changed to take, which accepts all of them or none. What it
// refuses is handed over again the next time. Records that json cannot encode are a fault of the
// program, and have no row.
func (r *Records[K, V]) Save(take func([]Row) bool) {
	if len(r.unsent) == 0 {
		return
	}

	// A row without a value is deleted from the journal.
	rows := make([]Row, 0, len(r.unsent))
	for k := range r.unsent {
		row := Row{Key: []byte(r.row(k))}
		if v, ok := r.all[k]; ok {
			row.Value, _ = json.Marshal(v)
		}
		rows = append(rows, row)
	}

	if take(rows) {
		clear(r.unsent)
	}
}
