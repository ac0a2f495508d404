package traffic

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"
)

// Role is the side on which the parties of a class are.
type Role uint8

// The roles.
const (
	Good     Role = iota
	Victim        // good, and packets name its address that it did not send
	Attacker      // has addresses of its own
	Forger        // has none: it forges the source address of every packet
)

func (r Role) good() bool    { return r == Good || r == Victim }
func (r Role) hostile() bool { return r == Attacker || r == Forger }

// Part is the part of the suite to which a class belongs.
type Part uint8

// The parts.
const (
	Plain  Part = iota
	Naming      // issue 9: attackers who make a PBX name others, and their victims
	Field       // issue 11: what people who protect Asterisk reported
)

// Class is a kind of party.
type Class struct {
	Name    string
	Role    Role
	Part    Part
	Goal    Goal
	Parties []*Party
	Extra   bool // it goes along with other classes

	// FalseAlerts are alerts about parties of the class that are not true.
	FalseAlerts []Decision

	rng *rand.Rand
}

// Limit begins the name of a class that is shown but has no goal: its events are the same as those
// of another class, or another goal contradicts.
const Limit = "limit: "

// Limit reports whether the class is shown only because nobody could tell it apart.
func (c *Class) Limit() bool { return strings.HasPrefix(c.Name, Limit) }

// Judged reports whether anything is asked of the class.
func (c *Class) Judged() bool { return !c.Limit() }

// Goal holds what issues 3 and 9 demand for a class. The zero value demands that no good party or
// victim is banned, that an alert reports each account that an attacker cracks, and that no alert
// is false.
type Goal struct {
	First   int     // attempts that an attacker has at most, the one that earns the ban included
	Stopped float64 // share of the attackers to be banned before they have made all their attempts
	Banned  bool    // each attacker is banned
	Told    bool    // each attacker is banned, or an alert is about its address
	Attacks bool    // each account that an attacker goes on guessing is reported, see [Attack]

	// SIPOnly allows bans that are not from everything, if none lasts longer than Longest: from the
	// SIP ports, of a victim that never proved itself; from TCP, of a source from which somebody
	// attacks over TCP. A Longest of 0 allows any length.
	SIPOnly bool
	Longest time.Duration
}

// Party is a participant that is judged as a whole: a home, an office with all its phones, an
// attacker with all its addresses.
type Party struct {
	Class       *Class
	Offered     int            // attempts that were made
	Admitted    int            // of them, those that reached a PBX
	First       int            // of them, those up to the first ban
	Flooded     bool           // some of these came during a flood of forged packets
	Banned      bool           // a ban covered an address at which it was
	Everything  bool           // such a ban was one from everything, not of some ports
	Longest     time.Duration  // the longest of these bans
	Blocked     int            // requests of a good party that a ban kept from a PBX
	Failures    int            // events of failures that a good party raised itself
	Alerts      map[string]int // how many alerts were about it, by kind
	Compromises []Compromise
	Attacks     []*Attack

	// Misconfigured is set if a phone of the party goes on failing because of its setup.
	Misconfigured bool

	records map[Target]*Attack  // of Attacks
	owns    map[string]bool     // accounts that an attacker came by honestly
	named   map[netip.Addr]bool // addresses that an attacker made a PBX name
	vouched map[netip.Addr]bool // of them, those in whose name it logged in to its own account
	shared  bool                // several devices behind one address
}

// Compromise is an account that an attacker cracked.
type Compromise struct {
	Account string
	At      int64 // nanoseconds since the Unix epoch
	Told    bool  // by an alert, within an hour
}

// attempt counts a guess, made in a flood of forged packets or not. The function makes it and
// reports whether it reached a PBX.
func (p *Party) attempt(flooded bool, reached func() bool) {
	before := !p.Banned
	p.Offered++

	if !reached() {
		return
	}
	p.Admitted++

	// The attempt that leads to the ban counts among the first ones.
	if before {
		p.First++
		p.Flooded = p.Flooded || flooded
	}
}

// compromised notes that an attacker logged in to an account that is somebody else's.
func (p *Party) compromised(account string, at int64) {
	for _, c := range p.Compromises {
		if c.Account == account {
			return
		}
	}
	p.Compromises = append(p.Compromises, Compromise{Account: account, At: at})
}

// inTime is the time within which an alert must report an account that was cracked or is attacked.
const inTime = int64(time.Hour)

// tell notes that an alert reported the party's compromised account. It returns whether the party
// has one of that name.
func (p *Party) tell(d Decision) bool {
	found := p.owns[d.Account] || d.Account == "" && len(p.owns) > 0

	for i := range p.Compromises {
		c := &p.Compromises[i]
		if (d.Account == "" || d.Account == c.Account) && d.At >= c.At {
			c.Told = c.Told || d.At <= c.At+inTime
			found = true
		}
	}
	return found
}
