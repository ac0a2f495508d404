package demo

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
)

// The manager user of both PBXs. It exists during the demo only, on loopback.
const (
	amiUser   = "amifend"
	amiSecret = "only for the demo"
)

// pbx is a played PBX. Its Manager Interface is amitest's; its SIP side answers requests and raises
// the security events of Asterisk 22 with PJSIP.
type pbx struct {
	name        string
	addr4       netip.Addr
	addr6       netip.Addr // invalid: none
	accounts    map[string]string
	certificate tls.Certificate // for SIP over TLS, and for the Manager Interface if that uses TLS
	manager     *amitest.PBX
	managerTLS  bool

	mu       sync.Mutex
	events   int
	arrivals []arrival // all of the demo; their number does not depend on its length
}

// arrival is one request that reached a PBX.
type arrival struct {
	from  netip.Addr
	at    time.Time
	known bool // the request named an existing account
}

// newPBXs returns the office, whose Manager Interface uses TCP, and the branch, whose Manager
// Interface uses TLS.
func newPBXs() (office, branch *pbx) {
	office = &pbx{
		name: "office", addr4: netip.MustParseAddr("192.0.2.10"),
		addr6: netip.MustParseAddr("2001:db8:1::10"),
		accounts: map[string]string{
			"201": "plum", "202": "pear", "203": "quince", "204": "fig", // in the office
			"211": "kiwi", "212": "lemon", "213": "cherry", // at home
		},
	}

	branch = &pbx{
		name: "branch", addr4: netip.MustParseAddr("192.0.2.20"), managerTLS: true,
		accounts: map[string]string{"301": "sloe", "302": "lime"},
	}

	return office, branch
}

// start opens the Manager Interface on loopback.
func (p *pbx) start() error {
	var err error
	if p.certificate, _, err = amitest.Certificate(p.name+".example", "127.0.0.1"); err != nil {
		return fmt.Errorf("play PBX %s: %w", p.name, err)
	}

	c := amitest.Config{Username: amiUser, Secret: amiSecret}
	if p.managerTLS {
		c.TLS = &tls.Config{
			Certificates: []tls.Certificate{p.certificate},
			MinVersion:   tls.VersionTLS12,
		}
	}

	if p.manager, err = amitest.Listen("127.0.0.1:0", c); err != nil {
		return fmt.Errorf("play PBX %s: %w", p.name, err)
	}

	return nil
}

// server returns the PBX's entry in amifend's config.
func (p *pbx) server() config.Server {
	s := config.Server{
		Name: p.name, Address: p.manager.Addr(), Host: "127.0.0.1", Username: amiUser,
		Secret: ami.NewSecret(amiSecret),
	}
	if p.managerTLS {
		s.TLS = &config.TLS{Fingerprint: ami.Fingerprint(p.certificate.Leaf)}
	}
	return s
}

// handle decides on one request and returns the status of the answer. It raises the events that a
// real Asterisk 22 raised for such a request.
func (p *pbx) handle(transport string, local, remote netip.AddrPort, r request) int {
	password, known := p.accounts[r.account]
	p.arrived(arrival{remote.Addr(), time.Now(), known})
	if r.method == "OPTIONS" {
		return statusOK // raises no event
	}

	event := func(kind, account string) amitest.Event {
		return amitest.Event{
			Kind: kind, Account: account, Session: r.call, Transport: transport,
			Local: local, Remote: remote,
		}
	}

	// A request without a password gets a challenge, whether the account exists or not.
	switch {
	case !known && r.password == "":
		p.raise(event(amitest.InvalidAccountID, r.account),
			event(amitest.ChallengeSent, amitest.Unknown))
	case !known:
		p.raise(event(amitest.InvalidAccountID, r.account),
			event(amitest.ChallengeResponseFailed, amitest.Unknown))
	case r.password == "":
		p.raise(event(amitest.ChallengeSent, r.account))
	case r.password != password:
		p.raise(event(amitest.ChallengeResponseFailed, r.account))
	default:
		p.raise(event(amitest.SuccessfulAuth, r.account))
		return statusOK
	}

	return statusUnauthorized
}

// raise sends events to amifend.
func (p *pbx) raise(events ...amitest.Event) {
	p.mu.Lock()
	p.events += len(events)
	p.mu.Unlock()
	p.manager.Emit(events...)
}

// arrived records a request.
func (p *pbx) arrived(a arrival) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.arrivals = append(p.arrivals, a)
}

// reached returns the number of matching requests that arrived.
func (p *pbx) reached(match func(arrival) bool) int {
	p.mu.Lock()
	defer p.mu.Unlock()

	n := 0
	for _, a := range p.arrivals {
		if match(a) {
			n++
		}
	}

	return n
}

// raised returns the number of events that the PBX sent.
func (p *pbx) raised() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.events
}
