package traffic

// Attack records the logins of one party to one account, or to all accounts of a server. Issue 9
// asks that it is told even where no ban can reach the attacker, since the events name somebody
// else.
type Attack struct {
	Server  uint16
	Account string // "" for the server
	Reached int    // logins that reached the PBX, successes included
	Before  int    // of them, those up to the first alert that told of the attack; all, if none did
	Told    bool   // an alert told of it, in time

	enough int64 // when the last of the first ones reached the PBX that may go untold; 0: not yet
}

// mayGoUntold is how many logins on one account need no alert: as many as a slow guesser has before
// a ban (slowGoal). A ban that stops an attack before that is answer enough.
const mayGoUntold = 20

// Due reports whether the attack went on for so long that an alert had to tell of it.
func (a *Attack) Due() bool { return a.enough > 0 }

// reach notes a login that is on its way to the PBX.
func (a *Attack) reach(now int64) {
	a.Reached++
	if !a.Told {
		a.Before++
	}

	// From now on the attack is due: an alert has an hour to tell of it.
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
	if !a.Told {
		a.Before--
	}
}

// tell notes an alert that tells of the attack.
func (a *Attack) tell(at int64) {
	if !a.Due() || at <= a.enough+inTime {
		a.Told = true
	}
}

// target is an account at a server, or the server if the account is "".
type target struct {
	server  uint16
	account string
}

// attack returns the records of what a party does to an account and to its server, in this order.
func (p *Party) attack(server uint16, account string) (records [2]*Attack) {
	for i, name := range [2]string{account, ""} {
		for _, a := range p.Attacks {
			if a.Server == server && a.Account == name {
				records[i] = a
			}
		}

		if records[i] == nil {
			records[i] = &Attack{Server: server, Account: name}
			p.Attacks = append(p.Attacks, records[i])
		}
	}
	return records
}

// tells reports whether alerts of a kind tell of an attack. misconfigured_endpoint is none of them:
// it sends the operator to a phone.
func tells(kind string) bool {
	switch kind {
	case "account_attacked", "server_attacked", "spoof_suspected", "proved_source_guessing",
		"compromised_account", "suspect_login":
		return true
	default:
		return false
	}
}

// tellAttacks notes which attacks an alert tells of: those on the account that it names; all on the
// server that it names; and if it names neither, all that were made in the name of the address that
// it is about. Who learns of one attacked account learns that the server is attacked.
func (w *World) tellAttacks(d Decision) {
	if !tells(d.Alert) {
		return
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

// tellAttacks notes which attacks of the party an alert tells of.
func (p *Party) tellAttacks(d Decision) {
	server := d.Alert == "server_attacked"
	if !server && d.Account == "" && !p.names(d) {
		return
	}

	for _, a := range p.Attacks {
		switch {
		// It is told whole, with every account.
		case server:
			if a.Server == d.Server {
				a.tell(d.At)
			}
		case d.Account == "":
			a.tell(d.At)
		case a.Account == d.Account && a.Server == d.Server:
			a.tell(d.At)
			p.attack(a.Server, a.Account)[1].tell(d.At)
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
