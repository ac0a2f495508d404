// Package sip is a small SIP client (RFC 3261) for the end-to-end tests: phones that register and
// call, and attackers.
//
// It is not a SIP stack. Attackers need control of every byte that they send, so whatever a caller
// puts into a [Request] is sent as it is: nothing is escaped, checked or normalised. Every socket
// is opened through a [Network], a network namespace of the lab: no packet can reach another
// machine.
package sip

// Network opens sockets somewhere: Do runs open so that the sockets it creates belong there.
type Network interface {
	Do(open func() error) error
}
