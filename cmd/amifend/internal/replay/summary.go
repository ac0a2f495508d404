package replay

import (
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/recording"
	"github.com/amifend/amifend/policy"
)

// summary counts the events and decisions of a replay.
type summary struct {
	config      string
	location    *time.Location
	files       []recording.File
	events      uint64
	first, last int64
	bans        [policy.ScopeAll + 1]int // by scope
	unbans      int
	alerts      int
	leftOut     uint64
	engine      policy.Stats
	ami         ami.Stats
	reported    uint64 // attempts that NOTICE and WARNING lines reported
	twice       uint64 // of those, left out because an event reported the same request
	copies      uint64 // events left out because another file holds the same
	traced      uint64 // lines of printed SIP messages
	notes       []recording.Note
	spared      []Spared
}

func (s *summary) event(ev *recording.Event) {
	if s.events == 0 {
		s.first = ev.At
	}
	s.events++
	s.last = ev.At
}

func (s *summary) add(v policy.Verdict) {
	switch v.Action {
	case policy.ActionBan:
		s.bans[v.Scope]++
	case policy.ActionUnban:
		s.unbans++
	case policy.ActionAlert:
		if v.Phase != policy.PhaseEnd { // it was counted when it began
			s.alerts++
		}
	case policy.ActionNone:
	}
}

func (s *summary) finish(p *Player, set *recording.Set) {
	// The caller has finished the player, so the last decisions are counted.
	s.engine = p.engine.Stats()
	s.leftOut = p.leftOut
	s.files = set.Files()
	s.notes = set.Notes()
	s.spared = p.Spared()
	s.twice = set.Twice()
	s.copies = set.Copies()
	for _, f := range s.files {
		s.ami = s.ami.Add(f.AMI)
		s.reported += f.Log.Reported()
		s.traced += f.Log.Traced
	}
}

// injections returns the number of packets or lines that were evidence of an injection.
func (s *summary) injections() (n uint64) {
	for _, t := range s.ami.Tainted {
		n += t
	}
	return n
}

// dropped returns the number of packets that were dropped because their sender is not known.
func (s *summary) dropped() (n uint64) {
	for _, d := range s.ami.Dropped {
		n += d
	}
	return n
}
