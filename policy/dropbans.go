package policy

// DropBans forgets all bans without lifting one: for a caller that only watched until now, or only
// watches from now on. Scores, failures, proof and ownership stay. If struck is true, the bans were
// never made, so they are not held against anybody either: the strikes of all sources and prefixes
// are forgotten, and that parts of a prefix were banned. The statistics begin anew.
//
// All that stays counts as changed, since it goes into another log from now on, see [Engine.Changes].
// It takes a few tenths of a second with a million sources.
func (e *Engine) DropBans(struck bool) {
	for r := range e.bans.All() {
		e.removeBan(r)
	}

	for r := range e.sources.All() {
		if s := e.sources.Val(r); struck {
			s.strikes, s.strikeAt = 0, 0
			s.flags &^= wasBrief
		}
	}

	for r := range e.networks.All() {
		if n := e.networks.Val(r); struck {
			n.strikes, n.strikeAt = 0, 0
			n.offenders, n.provenOffenders, n.banned = 0, 0, recent{}
		}
	}

	// Records that were banned or struck belong elsewhere now. The oldest must stay the first to be
	// forgotten.
	e.columns[tagSources].sort()
	e.columns[tagNetworks].sort()

	for _, t := range lastingTables {
		e.columns[t].mark()
	}
	e.save.sweep, e.save.rest = place{}, place{}
	e.stats = Stats{}
}
