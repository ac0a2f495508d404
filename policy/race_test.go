//go:build race

package policy

// raced says that the race detector slows everything ten times: floods are smaller then, since one
// goroutine races with none.
const raced = true
