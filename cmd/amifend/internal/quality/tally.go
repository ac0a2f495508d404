package main

import (
	"slices"

	"github.com/amifend/amifend/cmd/amifend/internal/quality/traffic"
)

// tally is what one contender did about one class.
type tally struct {
	parties     int
	offered     int
	admitted    int
	median      int
	worst       int
	never       int
	untold      int
	banned      int
	compromised int
	missed      int
	falseAlerts int
}

func tallyOf(c *traffic.Class) tally {
	t := tally{parties: len(c.Parties), falseAlerts: len(c.FalseAlerts)}
	var first []int
	for _, p := range c.Parties {
		t.offered += p.Offered
		t.admitted += p.Admitted
		first = append(first, p.First)
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

// stopped is the share of the attempts that did not reach a PBX.
func (t tally) stopped() float64 {
	if t.offered == 0 {
		return 0
	}
	return 1 - float64(t.admitted)/float64(t.offered)
}
