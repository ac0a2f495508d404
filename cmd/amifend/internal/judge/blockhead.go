package judge

import (
	"bytes"
	"encoding/json"
	"hash/crc32"
	"slices"
	"strconv"
)

// The engine knows servers by number, which means nothing without their names. So each block of its
// state that is saved begins with a line of them: a CRC-32 (IEEE) in hexadecimal, a space, and a
// list in JSON, in the order of the numbers. There are only ever more names.

// blockHead returns the line that begins a block.
func blockHead(servers []string) []byte {
	names, _ := json.Marshal(servers) // texts: it cannot fail
	out := strconv.AppendUint(nil, uint64(crc32.ChecksumIEEE(names)), 16)
	return append(append(append(out, ' '), names...), '\n')
}

// cutHead returns the names that a block begins with, and what follows. ok is false if the line is
// damaged.
func cutHead(block []byte) (servers []string, rest []byte, ok bool) {
	line, rest, found := bytes.Cut(block, []byte("\n"))
	sum, names, split := bytes.Cut(line, []byte(" "))

	want, err := strconv.ParseUint(string(sum), 16, 32)
	if !found || !split || err != nil || uint64(crc32.ChecksumIEEE(names)) != want ||
		json.Unmarshal(names, &servers) != nil {
		return nil, nil, false
	}

	return servers, rest, len(servers) <= MostServers
}

// continues reports whether names begin with those before.
func continues(names, before []string) bool {
	return len(names) >= len(before) && slices.Equal(names[:len(before)], before)
}
