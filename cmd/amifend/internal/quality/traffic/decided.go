package traffic

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Decision is one decision of a tool: a ban, or an alert if Alert is set.
type Decision struct {
	At         int64         // nanoseconds since the Unix epoch
	Prefix     netip.Prefix  // whom it is about; of an alert, the zero Prefix if it is about nobody
	Rule       string        // of a ban, if the tool names it
	Everything bool          // of a ban: it covers every port and protocol
	Lasts      time.Duration // of a ban
	Alert      string        // the kind of an alert; "" for a ban
	Again      bool          // of an alert: it says that what was told before goes on
	Server     uint16        // of an alert that is about an account or a server
	Account    string        // of an alert; "" if it names none
	Evidence   []Target      // of a ban: the accounts in its evidence
}

// Target is an account at a server, or the server if the account is "".
type Target struct {
	Server  uint16
	Account string
}

// Decided notes a decision of the tool, and whether it is right by the truth about the parties.
func (w *World) Decided(d Decision) {
	// A ban concerns everybody at its addresses, whoever caused it.
	if d.Alert == "" {
		for p := range w.parties(d.Prefix) {
			p.Banned = true
			p.Everything = p.Everything || d.Everything
			p.Longest = max(p.Longest, d.Lasts)
		}
		w.tellAttacks(d)
		return
	}

	w.tellAttacks(d)
	if d.Again {
		return
	}
	w.Alerts++

	// An alert about a network is true if it is true of anybody there.
	met, isTrue := false, false
	var about *Party
	for p := range w.parties(d.Prefix) {
		if p.Alerts == nil {
			p.Alerts = make(map[string]int)
		}
		p.Alerts[d.Alert]++
		met = true

		// A false alert is held against the good party, if there is one at the address.
		if about == nil || p.Class.Role.good() {
			about = p
		}
		isTrue = w.isTrue(d, p) || isTrue
	}
	if !met {
		isTrue = w.isTrue(d, nil)
	}

	switch {
	case isTrue:
	case about == nil: // an address at which nobody is, or none at all
		w.FalseAlerts = append(w.FalseAlerts, d)
	default:
		about.Class.FalseAlerts = append(about.Class.FalseAlerts, d)
	}
}

// isTrue reports whether an alert about a party is true. p is nil if the alert is about none.
func (w *World) isTrue(d Decision, p *Party) bool {
	attacker := p != nil && p.Class.Role == Attacker

	switch d.Alert {
	case "compromised_account", "suspect_login":
		return w.tellCompromise(d, p)
	case "spoof_suspected":
		return among(w.forged, d.Prefix) || !d.Prefix.IsValid() && w.attackedLately(d)
	case "misconfigured_endpoint": // a flood in a phone's name looks the same
		if !d.Prefix.IsValid() { // one line about all that are not told one by one
			return w.flood
		}
		return attacker || among(w.failed, d.Prefix) || among(w.forged, d.Prefix)
	case "shared_source_guessing": // the party at the address is the proxy
		return attacker || among(w.failed, d.Prefix)
	case "proved_source_guessing": // here too
		// One line without an address is about all that are not told one by one.
		return attacker || among(w.forged, d.Prefix) || !d.Prefix.IsValid() && len(w.forged) >= 100
	case "account_attacked":
		return w.attackedLately(d)
	case "server_attacked":
		d.Account = ""
		return w.attackedLately(d)
	case "spoof_flood", "bans_full":
		return w.flood
	default:
		return false
	}
}

// tellCompromise notes that an alert reported a compromised account. It returns whether somebody
// did compromise it: the party at the address, or one that made a PBX name the address.
func (w *World) tellCompromise(d Decision, p *Party) bool {
	found := p != nil && p.Class.Role == Attacker && p.tell(d)

	for _, namer := range w.namers {
		if (namer.names(d) || !d.Prefix.IsValid()) && namer.tell(d) {
			found = true
		}
	}
	return found
}

// attackedLately reports whether somebody attacked the account of an alert, or any of the server's
// if it names none, within the last hour.
func (w *World) attackedLately(d Decision) bool {
	last, ok := w.attacked[Target{d.Server, d.Account}]
	return ok && d.At-last <= inTime
}

// among reports whether a set has an address of a prefix.
func among(set map[netip.Addr]bool, prefix netip.Prefix) bool {
	if prefix.IsSingleIP() {
		return set[prefix.Addr()]
	}

	for addr := range set {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
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
