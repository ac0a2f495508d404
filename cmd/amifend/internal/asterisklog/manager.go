package asterisklog

import (
	"bytes"

	"github.com/amifend/amifend/ami"
)

// parseManager reads a message of manager.c: a login to AMI that failed (main/manager.c 22.10.1,
// authenticate and auth_http_callback; the same in 1.4.44):
//
//	%s tried to authenticate with nonexistent user '%s'
//	%s failed to pass IP ACL as '%s'
//	%s failed to authenticate as '%s'
//
// The address is that of the TCP connection, without a port. The name is the sender's. Over TCP it
// cannot hold a line end. Over HTTP (`webenabled`) it can, and then the sender can write perfect
// lines.
func parseManager(message []byte, a *attempt) finding {
	// The address comes first, in front of all text of the sender.
	address, rest, ok := bytes.Cut(message, []byte{' '})
	if !ok {
		return findingOther
	}

	// The kind is read from the words in front of the name, which is the sender's.
	var start string
	switch {
	case bytes.HasPrefix(rest, []byte("tried to authenticate with nonexistent user '")):
		start = "tried to authenticate with nonexistent user '"
		a.kind = ami.KindInvalidAccountID
	case bytes.HasPrefix(rest, []byte("failed to pass IP ACL as '")):
		start = "failed to pass IP ACL as '"
		a.kind = ami.KindFailedACL
	case bytes.HasPrefix(rest, []byte("failed to authenticate as '")):
		start = "failed to authenticate as '"
		a.kind = ami.KindInvalidPassword
	default:
		return findingOther
	}

	// A name that holds a line end leaves the message without its quote.
	name, ok := bytes.CutSuffix(rest[len(start):], []byte{'\''})
	if !ok {
		return findingBroken
	}
	if a.source, ok = parseSource(address); !ok {
		return findingBroken
	}

	// AMI runs over TCP, with TLS or without, so nobody can forge the address.
	a.family = FamilyAMI
	a.service = ami.ServiceAMI
	a.transport = ami.TransportTCP
	a.account = name
	return findingAttempt
}
