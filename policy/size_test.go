package policy

import "testing"

// The record sizes that sourcesPerNetwork and its like are chosen for: see max_sources in the
// documentation.
func TestMemoryPerSource(t *testing.T) {
	e := mustNew(t, nil)
	sizes := []uintptr{
		e.sources.EntrySize(), e.networks.EntrySize(), e.pairs.EntrySize(), e.accounts.EntrySize(),
	}

	const index = 4 * 8 / 3 // bytes of a table's index for each record, at worst
	per := 2.0 / 8          // the bits that say whether a record changed
	for i, share := range []float64{1, sourcesPerNetwork, sourcesPerPair, sourcesPerAccount} {
		per += float64(sizes[i]+index) / share
	}
	if per > 128 {
		t.Errorf("%.1f bytes a source, more than 128: %v", per, sizes)
	}
}

// The promise of Options.MaxSources.
func TestSourceFitsIn112Bytes(t *testing.T) {
	const indexed = 2 * 4 * 1.05 // at the default a place in the index costs up to 8.4 bytes
	if got := float64(mustNew(t, nil).sources.EntrySize()) + indexed; got > 113 {
		t.Errorf("a source takes %.1f bytes", got)
	}
}
