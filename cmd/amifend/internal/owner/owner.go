// Package owner implements the three ways in which the goroutines of the daemon talk to each other.
// Each goroutine owns its data, and no other reads or writes it.
//
//   - [Do] lets the goroutine that owns the data call a function, and returns its answer. It is for
//     questions and commands of operators. The caller waits; the owner never does.
//   - A [Mailbox] hands over one value for each key. The sender never waits: a second value of a
//     key is merged with the first one, or replaces it.
//   - A [Latest] hands over one value. The sender never waits: a second value replaces the first.
//
// Besides these there is one channel: that of the events, from the sessions to the judge. When it
// is full, the session waits, which is counted.
package owner
