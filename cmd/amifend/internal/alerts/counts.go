package alerts

// Counts holds how many alerts of a kind there are.
type Counts struct {
	Reported uint64 // events, and beginnings of conditions, since the start
	Open     int    // conditions that are open and not ignored
}

// OtherKind stands in [Book.Counts] for kinds that are not in [Kinds], such as those of the journal
// of another version.
const OtherKind = "other"

// Counts returns the counts of all kinds there are.
func (b *Book) Counts() map[string]Counts {
	b.mu.Lock()
	defer b.mu.Unlock()

	out := map[string]Counts{OtherKind: {}}
	for _, k := range kinds {
		out[k.Name] = Counts{}
	}
	add := func(kind string, c Counts) {
		if _, ok := out[kind]; !ok {
			kind = OtherKind
		}
		sum := out[kind]
		out[kind] = Counts{sum.Reported + c.Reported, sum.Open + c.Open}
	}

	for kind, n := range b.reported {
		add(kind, Counts{Reported: n})
	}
	for key, t := range b.open {
		if !b.ignored.Has(key) {
			add(t.Kind, Counts{Open: 1})
		}
	}
	return out
}
