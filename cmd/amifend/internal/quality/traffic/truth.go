package traffic

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Role says what a class is.
type Role uint8

// The roles.
const (
	Good   Role = iota
	Victim      // good, and packets are forged in its name
	Attacker
	Forger // has no address of its own
)

func (r Role) good() bool { return r == Good || r == Victim }

// Class is a kind of party.
type Class struct {
	Name    string
	Role    Role
	Goal    Goal
	Parties []*Party
	Extra   bool // it goes along with other classes

	// FalseAlerts are alerts about parties of the class that are not true.
	FalseAlerts []Decision

	rng *rand.Rand
}

// Goal is what issue 3 asks of a class of attackers. The zero value asks nothing. Of good classes and victims it asks that
// none is banned and no alert is false, of compromised accounts that each is told of or its cracker was stopped before.
type Goal struct {
	First   int     // attempts that an attacker has at most, the one that earns the ban included
	Stopped float64 // share of the attackers that must be banned before they have made all their attempts
	Banned  bool    // each is banned
	Told    bool    // each is banned or alerted of
}

// Party is somebody with one truth: a home, an office with all its phones, an attacker with all his addresses.
type Party struct {
	Class       *Class
	Offered     int            // attempts that were made
	Admitted    int            // of them, those that reached a PBX
	First       int            // of them, those up to the first ban
	Banned      bool           // a ban covered an address at which it was
	Blocked     int            // requests of a good party that a ban kept from a PBX
	Failures    int            // events of failures that a good party raised itself
	Alerts      map[string]int // how many told of it, by kind
	Compromises []Compromise

	owns   map[string]bool // accounts that an attacker came by honestly
	shared bool            // several devices behind one address
}

// Compromise is an account that an attacker cracked.
type Compromise struct {
	Account string
	At      int64
	Told    bool // by an alert, within an hour
}

// attempt counts a guess that is made by a function which says whether it reached a PBX.
func (p *Party) attempt(reached func() bool) {
	before := !p.Banned
	p.Offered++
	if !reached() {
		return
	}
	p.Admitted++
	if before { // the one that earns the ban, too
		p.First++
	}
}

// compromised notes that an attacker logged in to an account that is not his.
func (p *Party) compromised(account string, at int64) {
	for _, c := range p.Compromises {
		if c.Account == account {
			return
		}
	}
	p.Compromises = append(p.Compromises, Compromise{Account: account, At: at})
}

// inTime is how soon an alert must tell of a compromised account.
const inTime = int64(time.Hour)

// Decided judges a decision of the tool by the truth.
func (w *World) Decided(d Decision) {
	if d.Alert == "" {
		for p := range w.parties(d.Prefix) {
			p.Banned = true
		}
		return
	}
	w.Alerts++
	met, isTrue := false, false
	var about *Party
	for p := range w.parties(d.Prefix) {
		if p.Alerts == nil {
			p.Alerts = make(map[string]int)
		}
		p.Alerts[d.Alert]++
		met = true
		if about == nil || p.Class.Role.good() {
			about = p
		}
		isTrue = w.isTrue(d, p) || isTrue
	}
	if !met {
		isTrue = w.isTrue(d, nil)
	}
	if isTrue {
		return
	}
	if about == nil { // an address at which nobody is
		w.FalseAlerts = append(w.FalseAlerts, d)
		return
	}
	about.Class.FalseAlerts = append(about.Class.FalseAlerts, d)
}

// isTrue says whether an alert about a party, which may be nil, is true.
func (w *World) isTrue(d Decision, p *Party) bool {
	attacker := p != nil && p.Class.Role == Attacker
	in := func(set map[netip.Addr]bool) bool {
		for addr := range set {
			if d.Prefix.Contains(addr) {
				return true
			}
		}
		return false
	}
	switch d.Alert {
	case "compromised_account", "suspect_login":
		return attacker && p.tell(d)
	case "spoof_suspected":
		return in(w.forged)
	case "misconfigured_endpoint": // a flood in a phone's name looks the same
		return attacker || in(w.failed) || in(w.forged)
	case "proved_source_guessing": // here too
		return attacker || in(w.forged)
	case "spoof_flood", "bans_full":
		return w.flood
	default:
		return false
	}
}

// tell notes that an alert told of the party's compromised account. False means that it has none of that name.
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

// Who names the classes of those whom a decision is about.
func (w *World) Who(d Decision) string {
	names := make(map[string]bool)
	for p := range w.parties(d.Prefix) {
		names[p.Class.Name] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(names)), "; ")
}

// parties yields everybody who is at an address of a prefix.
func (w *World) parties(prefix netip.Prefix) func(yield func(*Party) bool) {
	return func(yield func(*Party) bool) {
		if prefix.IsSingleIP() {
			for _, p := range w.at[prefix.Addr()] {
				if !yield(p) {
					return
				}
			}
			return
		}
		for addr, there := range w.at {
			if !prefix.Contains(addr) {
				continue
			}
			for _, p := range there {
				if !yield(p) {
					return
				}
			}
		}
	}
}
