package traffic

import "net/netip"

// Attack records the logins of one party to one account, or to all accounts of a server. Issue 9
// demands that it is reported even where no ban can reach the attacker, because the events name
// somebody else.
type Attack struct {
	Server  uint16
	Account string  // "" for the server
	Reached int     // logins that reached the PBX, successes included
	Before  int     // of them, those up to the first decision that reported the attack, or all
	Told    Telling // how it was reported

	enough int64 // when the attack became due, see Due; 0: not yet
}

// Telling grades how clearly decisions reported an attack in time.
type Telling uint8

// The grades, the clearest one last.
const (
	Untold  Telling = iota
	AsFault         // misconfigured_endpoint names the account: by the events it may be a phone
	ByBan           // a ban of the one address that the attacker names, on evidence of the attack
	ByAlert         // an alert of an attack
)

// mayGoUntold is how many logins on one account need no alert: as many as a slow guesser has before
// a ban (slowGoal). A ban that stops an attack before that is answer enough.
const mayGoUntold = 20

// Due reports whether the attack went on for so long that an alert had to report it.
func (a *Attack) Due() bool { return a.enough > 0 }

// reach notes a login that is on its way to the PBX.
func (a *Attack) reach(now int64) {
	a.Reached++
	if a.Told == Untold {
		a.Before++
	}

	// From now on the attack is due: an alert has an hour to report it.
	if a.Reached == mayGoUntold+1 {
		a.enough = now
	}
}

// miss takes back a login that a ban kept from the PBX.
func (a *Attack) miss() {
	// The caller notes each login before the tool judges it, so this one may have made the attack
	// due.
	if a.Reached == mayGoUntold+1 {
		a.enough = 0
	}

	a.Reached--
	if a.Told == Untold {
		a.Before--
	}
}

// tell notes a decision that reports the attack.
func (a *Attack) tell(at int64, how Telling) {
	if !a.Due() || at <= a.enough+inTime {
		a.Told = max(a.Told, how)
	}
}

// attack returns the records of a party's attacks on an account and on its server, in this order.
func (p *Party) attack(server uint16, account string) (records [2]*Attack) {
	if p.records == nil {
		p.records = make(map[Target]*Attack)
	}

	for i, t := range [2]Target{{server, account}, {server, ""}} {
		a := p.records[t]
		if a == nil {
			a = &Attack{Server: t.Server, Account: t.Account}
			p.records[t] = a
			p.Attacks = append(p.Attacks, a)
		}
		records[i] = a
	}
	return records
}

// tellAttacks notes which attacks a decision reports.
func (w *World) tellAttacks(d Decision) {
	// One line about all attacks that found no room names no account.
	if d.Alert == "account_attacked" && d.Account != "" || d.Alert == "server_attacked" {
		w.alerted[Target{d.Server, d.Account}] = d.At
	}
	if d.Alert == "proved_source_guessing" && d.Prefix.IsSingleIP() {
		w.suspected[d.Prefix.Addr()] = d.At
	}

	for _, c := range w.Classes {
		if !c.Goal.Attacks {
			continue
		}
		for _, p := range c.Parties {
			p.tellAttacks(d)
		}
	}
}

// toldLately notes that an alert of the last hour also reports attacks that began since. While an
// attack goes on, such alerts come hourly, so the operator knows of it already.
func (w *World) toldLately(named netip.Addr, records []*Attack) {
	for _, a := range records {
		if at, ok := w.suspected[named]; ok && w.now-at <= inTime {
			a.tell(w.now, ByAlert)
		}
		for _, t := range []Target{{a.Server, a.Account}, {a.Server, ""}} {
			if at, ok := w.alerted[t]; ok && w.now-at <= inTime {
				a.tell(w.now, ByAlert)
			}
		}
	}
}

// tellAttacks notes which attacks of the party a decision reports.
func (p *Party) tellAttacks(d Decision) {
	about := Target{d.Server, d.Account}

	switch d.Alert {
	case "":
		// An attack in many names goes on, whichever of them are banned. So only an alert reports
		// it. Evidence has the latest eight attempts, which need not include all accounts.
		for _, t := range d.Evidence {
			if len(p.named) == 1 && p.names(d) && p.records[t] != nil {
				p.tellServer(d.At, t.Server, ByBan)
			}
		}
	case "misconfigured_endpoint":
		if p.names(d) {
			p.tellAccount(d.At, about, AsFault)
		}
	case "server_attacked":
		p.tellServer(d.At, d.Server, ByAlert)
	case "spoof_suspected", "proved_source_guessing", "shared_source_guessing":
		// They count the accounts that fail in the name of an address, and name one of them.
		p.tellAccount(d.At, about, ByAlert)
		if p.names(d) {
			for _, a := range p.Attacks {
				a.tell(d.At, ByAlert)
			}
		}
	case "account_attacked", "compromised_account", "suspect_login":
		p.tellAccount(d.At, about, ByAlert)
	}
}

// tellAccount notes that a decision reports the attack on an account. That also reports the attack
// on its server.
func (p *Party) tellAccount(at int64, t Target, how Telling) {
	a := p.records[t]
	if a == nil || t.Account == "" {
		return
	}

	a.tell(at, how)
	p.records[Target{t.Server, ""}].tell(at, how)
}

// tellServer notes that a decision reports all attacks at a server.
func (p *Party) tellServer(at int64, server uint16, how Telling) {
	for _, a := range p.Attacks {
		if a.Server == server {
			a.tell(at, how)
		}
	}
}

// names reports whether the party made a PBX name an address that a decision is about.
func (p *Party) names(d Decision) bool {
	if d.Prefix.IsSingleIP() {
		return p.named[d.Prefix.Addr()]
	}

	for addr := range p.named {
		if d.Prefix.Contains(addr) {
			return true
		}
	}
	return false
}
