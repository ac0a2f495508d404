package amitest

import (
	"net/netip"
	"strconv"
)

// Peer is a SIP client in front of the PBX, a phone or an attacker. Its methods return the events
// that Asterisk 22 with PJSIP raises for one request of it, in order. The zero Transport is UDP.
type Peer struct {
	Remote    netip.AddrPort
	Local     netip.AddrPort // of the PBX; the zero value is the default of Event
	Transport string
	Calls     int // Call-IDs used up; each dialog takes the next
}

// NewPeer returns a peer at addr, given as 198.51.100.7:5060 or [2001:db8::7]:5060. It panics if
// addr is not valid.
func NewPeer(addr string) *Peer { return &Peer{Remote: netip.MustParseAddrPort(addr)} }

// Register returns the events of a phone that registers: challenged, then successful.
func (p *Peer) Register(account string) []Event {
	call := p.nextCall()
	return []Event{p.event(ChallengeSent, account, call), p.event(SuccessfulAuth, account, call)}
}

// Refresh returns the event of a phone that registers again with the nonce it has.
func (p *Peer) Refresh(account string) []Event {
	return []Event{p.event(SuccessfulAuth, account, p.nextCall())}
}

// GuessAccount returns the events of a request without credentials for an account that does not
// exist.
func (p *Peer) GuessAccount(account string) []Event {
	call := p.nextCall()
	return []Event{p.event(InvalidAccountID, account, call), p.event(ChallengeSent, Unknown, call)}
}

// GuessPassword returns the events of a wrong password for an account that exists, in one dialog:
// challenged, then failed.
func (p *Peer) GuessPassword(account string) []Event {
	call := p.nextCall()
	return []Event{
		p.event(ChallengeSent, account, call),
		p.event(ChallengeResponseFailed, account, call),
	}
}

// Crack returns the events of the tool svcrack: one challenge, then wrong passwords under one
// Call-ID.
func (p *Peer) Crack(account string, guesses int) []Event {
	call := p.nextCall()
	events := []Event{p.event(ChallengeSent, account, call)}
	for range guesses {
		events = append(events, p.event(ChallengeResponseFailed, account, call))
	}
	return events
}

func (p *Peer) event(kind, account, call string) Event {
	return Event{
		Kind: kind, Account: account, Session: call,
		Transport: p.Transport, Local: p.Local, Remote: p.Remote,
	}
}

func (p *Peer) nextCall() string {
	p.Calls++
	return strconv.FormatUint(uint64(p.Remote.Port())<<32|uint64(p.Calls), 16) + "@" +
		p.Remote.Addr().String()
}
