package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/quality/traffic"
)

// tally counts the results of one contender for one class.
type tally struct {
	parties     int
	falseAlerts int

	// Of attackers.
	offered     int // attempts
	admitted    int // of them, those that reached a PBX
	median      int // attempts of an attacker up to the first ban
	worst       int
	worstCalm   int // the same of those who came during no flood of forged packets
	stopped     int // attackers who were banned before they had made all their attempts
	never       int // attackers who were never banned
	untold      int // of them, those about whom there was no alert
	compromised int
	missed      int // compromised accounts that no alert reported in time

	// Of those who name others.
	attacks       int // accounts and servers with so many logins that an alert had to report them
	attacksUntold int // of them, those that nothing reported in time
	byBan         int // of them, those that a ban reported and no alert
	asFault       int // of them, those that only misconfigured_endpoint reported
	toldMedian    int // logins on one of them up to that alert
	toldWorst     int
	examples      string // some of those that were not reported

	// Of good parties and victims.
	banned           int // that a ban covered
	everything       int // of them, on every port
	longest          time.Duration
	wronged          int // whose ban the goal of the class forbids
	blocked          int // requests
	atFault          int // parties with a misconfigured phone
	atFaultUntold    int // of them, those about which there was no misconfigured_endpoint
	misconfigured    int // alerts of that kind
	notMisconfigured int // of them, those about a party that is not at fault
}

// tallyOf counts the results of a class.
func tallyOf(c *traffic.Class) tally {
	t := tally{parties: len(c.Parties), falseAlerts: len(c.FalseAlerts)}
	var first, told []int

	for _, p := range c.Parties {
		first = append(first, p.First)
		if !p.Flooded {
			t.worstCalm = max(t.worstCalm, p.First)
		}
		t.addAttempts(p)
		told = append(told, t.addAttacks(p)...)

		// A forger is in neither case: it has no address of its own that could be banned.
		switch {
		case c.Role == traffic.Good || c.Role == traffic.Victim:
			t.addGood(c, p)
		case c.Role == traffic.Attacker && !p.Banned && p.Offered > 0:
			t.never++
			if len(p.Alerts) == 0 {
				t.untold++
			}
		}
	}

	t.median, t.worst = medianAndWorst(first)
	t.toldMedian, t.toldWorst = medianAndWorst(told)
	return t
}

// addAttempts counts what an attacker tried.
func (t *tally) addAttempts(p *traffic.Party) {
	t.offered += p.Offered
	t.admitted += p.Admitted
	if p.Banned && p.First < p.Offered {
		t.stopped++
	}

	for _, c := range p.Compromises {
		t.compromised++
		if !c.Told {
			t.missed++
		}
	}
}

// addAttacks counts the attacks that had to be reported. It returns how many logins each had before
// that.
func (t *tally) addAttacks(p *traffic.Party) (before []int) {
	for _, a := range p.Attacks {
		if !a.Due() {
			continue
		}
		t.attacks++
		switch a.Told {
		case traffic.Untold:
			t.attacksUntold++
			t.example(a)
		case traffic.AsFault:
			t.asFault++
		case traffic.ByBan:
			t.byBan++
		case traffic.ByAlert:
		}
		before = append(before, a.Before)
	}
	return before
}

// example notes an attack that nothing reported, unless there are several examples already.
func (t *tally) example(a *traffic.Attack) {
	const enough = 4
	switch {
	case t.attacksUntold > enough:
		return
	case t.attacksUntold > 1:
		t.examples += ", "
	}

	what := "server"
	if a.Account != "" {
		what = a.Account + " at server"
	}
	t.examples += fmt.Sprintf("%s %d (%d logins)", what, a.Server, a.Reached)
}

// addGood counts the results for a good party or a victim.
func (t *tally) addGood(c *traffic.Class, p *traffic.Party) {
	t.blocked += p.Blocked
	t.longest = max(t.longest, p.Longest)
	if p.Banned {
		t.banned++
	}
	if p.Everything {
		t.everything++
	}

	tooLong := c.Goal.Longest > 0 && p.Longest > c.Goal.Longest
	if p.Banned && (!c.Goal.SIPOnly || p.Everything || tooLong) {
		t.wronged++
	}

	// All alerts about a party with a stale phone count as right, even if a typist caused them:
	// they look the same.
	alerts := p.Alerts["misconfigured_endpoint"]
	t.misconfigured += alerts
	switch {
	case !p.Misconfigured:
		t.notMisconfigured += alerts
	case alerts == 0:
		t.atFault++
		t.atFaultUntold++
	default:
		t.atFault++
	}
}

// medianAndWorst returns the median and the largest of some numbers, 0 and 0 if there are none.
func medianAndWorst(of []int) (median, worst int) {
	if len(of) == 0 {
		return 0, 0
	}

	slices.Sort(of)
	return of[len(of)/2], of[len(of)-1]
}

// share returns a part of a whole, in percent.
func share(part, whole int) float64 { return 100 * float64(part) / float64(max(whole, 1)) }
