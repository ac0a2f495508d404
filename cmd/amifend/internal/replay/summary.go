package replay

import (
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/recording"
	"github.com/amifend/amifend/policy"
)

// summary counts what a replay did.
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
	told        uint64 // attempts that NOTICE and WARNING lines told of
	twice       uint64 // of those, left out
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
		s.alerts++
	case policy.ActionNone:
	}
}

func (s *summary) finish(p *Player, set *recording.Set) {
	s.engine, s.leftOut, s.files = p.engine.Stats(), p.leftOut, set.Files()
	s.notes, s.spared, s.twice = set.Notes(), p.Spared(), set.Twice()
	for _, f := range s.files {
		s.ami = s.ami.Add(f.AMI)
		s.told += f.Log.Told()
		s.traced += f.Log.Traced
	}
}

// injections is how many packets or lines were evidence of an injection.
func (s *summary) injections() (n uint64) {
	for _, t := range s.ami.Tainted {
		n += t
	}
	return n
}

// dropped is how many packets gave nothing, since nobody can tell who sent them.
func (s *summary) dropped() (n uint64) {
	for _, d := range s.ami.Dropped {
		n += d
	}
	return n
}
