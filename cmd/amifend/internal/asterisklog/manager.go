package asterisklog

import (
	"bytes"

	"github.com/amifend/amifend/ami"
)

// Logins to AMI that failed (main/manager.c 22.10.1, authenticate and auth_http_callback; the same
// in 1.4.44):
//
//	%s tried to authenticate with nonexistent user '%s'
//	%s failed to pass IP ACL as '%s'
//	%s failed to authenticate as '%s'
//
// The address is that of the TCP connection, without a port. The name is the sender's. Over TCP it
// has no line end in it; through the HTTP of `webenabled` it may, and then the sender can have
// perfect lines written, as through AMI itself.
func parseManager(message []byte, a *attempt) finding {
	address, rest, ok := bytes.Cut(message, []byte{' '})
	if !ok {
		return findingOther
	}
	var start string
	switch {
	case bytes.HasPrefix(rest, []byte("tried to authenticate with nonexistent user '")):
		start, a.kind = "tried to authenticate with nonexistent user '", ami.KindInvalidAccountID
	case bytes.HasPrefix(rest, []byte("failed to pass IP ACL as '")):
		start, a.kind = "failed to pass IP ACL as '", ami.KindFailedACL
	case bytes.HasPrefix(rest, []byte("failed to authenticate as '")):
		start, a.kind = "failed to authenticate as '", ami.KindInvalidPassword
	default:
		return findingOther
	}
	name, ok := bytes.CutSuffix(rest[len(start):], []byte{'\''})
	if !ok {
		return findingBroken
	}
	if a.source, ok = parseSource(address); !ok {
		return findingBroken
	}
	a.family, a.service, a.transport, a.account = FamilyAMI, ami.ServiceAMI, ami.TransportTCP, name
	return findingAttempt
}
