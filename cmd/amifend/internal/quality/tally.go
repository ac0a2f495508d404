package main

import (
	"slices"

	"github.com/amifend/amifend/cmd/amifend/internal/quality/traffic"
)

// tally is what one contender did about one class.
type tally struct {
	parties     int
	offered     int // attempts of attackers
	admitted    int // of them, those that reached a PBX
	median      int // attempts of an attacker up to his first ban
	worst       int
	stopped     int // attackers who were banned before they had made all their attempts
	never       int // attackers who were never banned
	untold      int // of them, those of whom no alert told
	banned      int // good parties and victims that a ban covered
	compromised int
	missed      int // compromised accounts of which no alert told in time
	falseAlerts int
}

// tallyOf counts what the truth says.
func tallyOf(c *traffic.Class) tally {
	t := tally{parties: len(c.Parties), falseAlerts: len(c.FalseAlerts)}
	var first []int
	for _, p := range c.Parties {
		t.offered += p.Offered
		t.admitted += p.Admitted
		first = append(first, p.First)
		if p.Banned && p.First < p.Offered {
			t.stopped++
		}
		for _, comp := range p.Compromises {
			t.compromised++
			if !comp.Told {
				t.missed++
			}
		}
		switch {
		case c.Role == traffic.Good || c.Role == traffic.Victim:
			if p.Banned {
				t.banned++
			}
		case c.Role == traffic.Attacker && !p.Banned && p.Offered > 0:
			t.never++
			if len(p.Alerts) == 0 {
				t.untold++
			}
		}
	}
	slices.Sort(first)
	if n := len(first); n > 0 {
		t.median, t.worst = first[n/2], first[n-1]
	}
	return t
}

// share is a part of a whole, in percent.
func share(part, whole int) float64 { return 100 * float64(part) / float64(max(whole, 1)) }
