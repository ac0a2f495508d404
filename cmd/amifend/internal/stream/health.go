package stream

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/amifend/amifend/ami"
)

// When the watch over a stream reports something.
const (
	watchEvery = 10 * time.Second
	watchLeast = 20        // events; from fewer nothing is concluded
	quiet      = time.Hour // before the same is logged again
)

// Watch logs what is wrong with the streams, until ctx ends: the decoders only count it. It also
// measures how many events a second come.
func (f *Fleet) Watch(ctx context.Context) {
	look := time.NewTicker(watchEvery)
	defer look.Stop()
	second := time.NewTicker(time.Second)
	defer second.Stop()

	// What was reported of a session is forgotten with it.
	guards := map[*Session]*guard{}

	for {
		select {
		case <-ctx.Done():
			return
		case <-second.C: // the rate is measured by the second
			for _, s := range f.Sessions() {
				s.rate.sample(s.Status().Events)
			}
		case now := <-look.C:
			live := f.Sessions()
			maps.DeleteFunc(guards, func(s *Session, _ *guard) bool {
				return !slices.Contains(live, s)
			})

			for _, s := range live {
				if guards[s] == nil {
					guards[s] = &guard{log: s.log, gauge: &s.gauge}
				}
				guards[s].look(now, s.Status())
			}
		}
	}
}

// guard watches one session. Its fields are as of the last look that concluded something.
type guard struct {
	log     *slog.Logger
	gauge   *gauge // where the status reads
	late    uint64 // late orphans
	stats   ami.Stats
	tainted time.Time // when it was logged that most events are
	stalls  uint64
	stalled time.Time // when stalls were logged
}

// look compares a session's status with the one before.
func (g *guard) look(now time.Time, s ami.Status) {
	// This is logged each time: an event that was forged may have banned somebody.
	if s.Decoder.LateOrphans > g.late {
		g.log.Error("an event may have been forged: the rest of its packet came late",
			"new", s.Decoder.LateOrphans-g.late, "in_all", s.Decoder.LateOrphans,
			"do", "look at the bans of this minute; if the network to this PBX stalls, run "+
				"amifend closer to it")
		g.late = s.Decoder.LateOrphans
	}

	// Stalls come in bursts: a line an hour says how many there were.
	if s.Stalls > g.stalls && now.Sub(g.stalled) >= quiet {
		g.log.Warn("events had to wait for us", "stalls", s.Stalls-g.stalls,
			"stalled_in_all", s.Stalled.Round(time.Millisecond).String(),
			"do", "Asterisk ends a session that is about 4 MB behind: give amifend more CPU time")
		g.stalls = s.Stalls
		g.stalled = now
		g.gauge.stalled.Store(now.UnixNano())
	}

	g.weighTaint(now, s.Decoder)
}

// weighTaint logs that most events of a stream cannot be trusted: injections, or an Asterisk that
// amifend does not know. Events of an unknown kind are no evidence either way.
func (g *guard) weighTaint(now time.Time, s ami.Stats) {
	// The counters run since the start, so only what came since the last look counts.
	before := g.stats
	unknown := s.Events[ami.KindUnknown] - before.Events[ami.KindUnknown]
	good := sum(s.Events[:]) - sum(before.Events[:]) - unknown
	bad := sum(s.Tainted[:]) + sum(s.Dropped[:]) - sum(before.Tainted[:]) - sum(before.Dropped[:])
	if good+bad < watchLeast {
		return
	}

	g.stats = s
	if bad <= good || now.Sub(g.tainted) < quiet {
		return
	}

	g.tainted = now
	g.gauge.distrusted.Store(now.UnixNano())

	// The most frequent cause distinguishes an attack by injected text from an Asterisk that is too
	// new.
	cause, most := ami.Untainted, uint64(0)
	for i := range s.Tainted {
		n := s.Tainted[i] + s.Dropped[i] - before.Tainted[i] - before.Dropped[i]
		if n > most {
			cause, most = ami.Taint(i), n
		}
	}

	g.log.Error("most events of this PBX cannot be trusted and ban nobody but who injected text",
		"bad", bad, "good", good, "mostly", cause.String(),
		"do", "if no attack by injected text is going on, this Asterisk is newer than amifend: "+
			"update amifend")
}

func sum(counts []uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}
