package policy

import (
	"testing"
	"unsafe"
)

// The record sizes that sourcesPerNetwork and its like are reckoned with: see max_sources in the documentation.
func TestMemoryPerSource(t *testing.T) {
	const index = 4 * 8 / 3 // bytes of a table's index for each entry, at worst
	per := float64(unsafe.Sizeof(entry[host, source]{})+index) +
		float64(unsafe.Sizeof(entry[key, network]{})+index)/sourcesPerNetwork +
		float64(unsafe.Sizeof(entry[pairKey, pair]{})+index)/sourcesPerPair +
		float64(unsafe.Sizeof(entry[accountID, account]{})+index)/sourcesPerAccount +
		2.0/8 // the bits of table.dirty
	if per > 128 {
		t.Errorf("%.1f bytes a source, more than 128: %d, %d, %d, %d", per, unsafe.Sizeof(entry[host, source]{}),
			unsafe.Sizeof(entry[key, network]{}), unsafe.Sizeof(entry[pairKey, pair]{}), unsafe.Sizeof(entry[accountID, account]{}))
	}
}
