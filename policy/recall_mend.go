package policy

// This file makes an engine of what was read. It applies pardons, and mends records that do not fit
// together because some were saved and others were not.

// finish brings the tables into the state that the engine wants, when all is read.
func (rc *recalling) finish() {
	if !rc.rest {
		rc.forgetRest()
	}

	rc.dropPending()
	rc.applyPardons()
	rc.own()
	rc.recount()
	rc.dropOver()
	rc.e.save.begun = true
	for _, col := range rc.e.columns {
		if col != nil {
			col.sort()
		}
	}
}

// applyPardons forgets what was held against those whom a later entry pardons.
func (rc *recalling) applyPardons() {
	if len(rc.pardons)+len(rc.lifts) == 0 && rc.amnesty.at == 0 {
		return
	}

	e := rc.e
	e.general.no = rc.amnesty.no
	for r := range e.networks.OldestFirst() {
		if k := e.networks.Key(r); max(rc.pardoned(k).at, rc.lifts[k].at) > rc.networks[r-1] {
			e.pardonKey(k, 0) // a prefix has no number
		}
	}

	for r := range e.sources.OldestFirst() {
		k := e.sources.Key(r).key()
		p := rc.pardoned(k)
		if p.at > rc.sources[r-1] {
			e.pardonSource(r, p.no)
		}

		rc.pardonParts(k, p.at)
	}

	for k, p := range rc.pardons {
		if k.bits == hostBits {
			rc.pardonParts(k, p.at) // its source may be forgotten
		}
	}
}

// pardonParts forgets what networks that were read before a pardon have of a host.
func (rc *recalling) pardonParts(k key, at uint32) {
	for _, sp := range k.spreads() {
		if r := rc.e.networks.Get(k.masked(sp.bits)); r != 0 && at > rc.networks[r-1] {
			rc.e.pardonPart(r, rc.e.part(k, sp.bits))
		}
	}
	if r := rc.e.embeddedPardoned(k); r != 0 && at > rc.networks[r-1] {
		rc.e.pardonEmbedded(k)
	}
}

// pardoned returns the latest pardon of a host or prefix.
func (rc *recalling) pardoned(k key) (latest readPardon) {
	latest = rc.amnesty
	for _, bits := range rc.lengths {
		if bits > k.bits {
			continue
		}
		if m := k.masked(bits); !k.in(m) {
			continue // IPv4 in a prefix of IPv6
		} else if p := rc.pardons[m]; p.at > latest.at {
			latest = p
		}
	}

	return latest
}

// own finds the accounts that sources own: they may have been read after them.
func (rc *recalling) own() {
	for r := range rc.e.sources.OldestFirst() {
		owned := rc.e.accounts.Get(rc.owned[r-1])
		rc.e.sources.Val(r).owned = owned
		if owned == 0 && rc.owned[r-1] != 0 {
			rc.e.sources.Mark(r)
		}
	}
}

// recount forgets accounts at sources that are out of date. It corrects the counts of their
// sources, since one may have been saved without the other.
func (rc *recalling) recount() {
	e := rc.e
	counts := make([]struct{ failed, proven, owns uint8 }, e.sources.Slots())
	memory := pairMemory()
	for r := range e.pairs.OldestFirst() {
		p := e.pairs.Val(r)
		if e.sec-p.touched >= memory[e.pairs.List(r)] {
			e.pairs.Remove(r)
			continue
		}

		was := *p
		if rc.amnesty.at > rc.pairs[r-1] {
			p.clear(p.pardon) // also where the source is forgotten
		}

		sr := e.sources.Get(e.pairs.Key(r).host())
		if sr != 0 {
			p.applyPardon(e.sources.Val(sr))
		} else {
			p.applyPardon(&source{pardon: e.general.no})
			p.flags &^= pairFailed | pairFailedProven | pairOwned // no source counts it
		}

		if *p != was {
			e.pairs.Mark(r)
		}
		if sr == 0 {
			continue
		}

		n := &counts[sr-1]
		n.failed = bump(n.failed, p.flags&pairFailed/pairFailed)
		n.proven = bump(n.proven, p.flags&pairFailedProven/pairFailedProven)
		n.owns = bump(n.owns, p.flags&pairOwned/pairOwned)
	}

	for r := range e.sources.OldestFirst() {
		s, n := e.sources.Val(r), counts[r-1]
		if n.failed != s.failed || n.proven != s.failedProven || n.owns != s.owns {
			s.failed, s.failedProven, s.owns = n.failed, n.proven, n.owns
			e.sources.Mark(r)
		}
	}
}

// dropOver forgets the conditions that are over. One that was reported stays, so that its end is
// reported, unless that is long ago.
func (rc *recalling) dropOver() {
	e := rc.e
	for r := range e.conditions.All() {
		if e.isForgotten(r) {
			e.conditions.Remove(r)
		}
	}
}

// dropPending gives up what the engine was waiting for when it stopped: it cannot know whether that
// came.
func (rc *recalling) dropPending() {
	e := rc.e
	for r := range e.requests.OldestFirst() {
		if q := e.requests.Val(r); q.held {
			q.held, q.pending, q.credit = false, 0, true
			e.requests.Move(r, requestsPlain)
		}
	}

	// A source may have answered its challenges meanwhile.
	for r := range e.silents.OldestFirst() {
		if q := e.silents.Val(r); q.weighed == 0 {
			q.accounts = min(q.accounts, unansweredFree)
			e.silents.Move(r, silentsFew)
		}
	}

	// Without the table of silent sources, an account that was challenged would never count again.
	if rc.rest {
		return
	}

	for r := range e.pairs.OldestFirst() {
		if p := e.pairs.Val(r); p.flags&pairChallenged != 0 {
			p.flags &^= pairChallenged
			e.pairs.Mark(r)
		}
	}
}
