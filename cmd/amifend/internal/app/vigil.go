package app

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/amifend/amifend/ami"
)

// How vigil judges a stream.
const (
	vigilEvery = 10 * time.Second
	vigilLeast = 20        // events; of fewer nothing is concluded
	vigilQuiet = time.Hour // before the same is said again
)

// vigil looks after the sessions: what their decoders count, nobody else would tell.
func vigil(ctx context.Context, sessions func() []*session) {
	guards := map[*session]*guard{}
	tick := time.NewTicker(vigilEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			live := sessions()
			maps.DeleteFunc(guards, func(s *session, _ *guard) bool { return !slices.Contains(live, s) })
			for _, s := range live {
				if guards[s] == nil {
					guards[s] = &guard{log: s.log, gauge: &s.gauge}
				}
				guards[s].look(now, s.Status())
			}
		}
	}
}

// guard looks after one session.
type guard struct {
	log     *slog.Logger
	gauge   *gauge    // where the status looks
	late    uint64    // late orphans that were told
	judged  ami.Stats // as of the last conclusion
	tainted time.Time // when it was told that most events are
	stalls  uint64    // that were told
	stalled time.Time // when
}

// look compares a session's status with the one before.
func (g *guard) look(now time.Time, s ami.Status) {
	if s.Decoder.LateOrphans > g.late {
		g.log.Error("an event may have been forged: the rest of its packet came late",
			"new", s.Decoder.LateOrphans-g.late, "in_all", s.Decoder.LateOrphans,
			"do", "look at the bans of this minute; if the network to this PBX stalls, run amifend closer to it")
		g.late = s.Decoder.LateOrphans
	}
	if s.Stalls > g.stalls && now.Sub(g.stalled) >= vigilQuiet {
		g.log.Warn("events had to wait for us", "stalls", s.Stalls-g.stalls, "stalled_in_all", s.Stalled.Round(time.Millisecond).String(),
			"do", "Asterisk ends a session that is about 4 MB behind: give amifend more CPU time")
		g.stalls, g.stalled = s.Stalls, now
		g.gauge.stalled.Store(now.UnixNano())
	}
	g.judge(now, s.Decoder)
}

// judge tells of a stream whose events mostly cannot be trusted: injections, or an Asterisk that amifend does not know.
func (g *guard) judge(now time.Time, s ami.Stats) {
	good := sum(s.Events[:]) - sum(g.judged.Events[:]) - (s.Events[ami.KindUnknown] - g.judged.Events[ami.KindUnknown])
	bad := sum(s.Tainted[:]) + sum(s.Dropped[:]) - sum(g.judged.Tainted[:]) - sum(g.judged.Dropped[:])
	if good+bad < vigilLeast {
		return
	}
	before := g.judged
	g.judged = s
	if bad <= good || now.Sub(g.tainted) < vigilQuiet {
		return
	}
	g.tainted = now
	g.gauge.distrusted.Store(now.UnixNano())
	cause, most := ami.Untainted, uint64(0)
	for i := range s.Tainted {
		if n := s.Tainted[i] + s.Dropped[i] - before.Tainted[i] - before.Dropped[i]; n > most {
			cause, most = ami.Taint(i), n
		}
	}
	g.log.Error("most events of this PBX cannot be trusted and ban nobody but who injected text", "bad", bad, "good", good, "mostly", cause.String(),
		"do", "if no attack by injected text is going on, this Asterisk is newer than amifend: update amifend")
}

func sum(counts []uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}
