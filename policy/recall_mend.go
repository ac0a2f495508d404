package policy

// This file makes an engine of what was read: it applies pardons, and mends what does not fit together, since one part of it was
// saved and another was not.

// finish brings the tables into the state that the engine wants, when all is read.
func (rc *recalling) finish() {
	if !rc.rest {
		rc.forgetRest()
	}
	rc.disregard()
	rc.absolve()
	rc.own()
	rc.recount()
	rc.e.save.begun = true
	for _, col := range rc.e.columns {
		if col != nil {
			col.settle()
		}
	}
}

// absolve forgets what was held against whom a later entry pardons.
func (rc *recalling) absolve() {
	if len(rc.pardons)+len(rc.lifts) == 0 {
		return
	}
	e := rc.e
	for r := range e.networks.oldestFirst() {
		if k := e.networks.at(r).key; max(rc.pardoned(k).at, rc.lifts[k].at) > rc.networks[r-1] {
			e.absolve(k, 0) // a prefix has no number
		}
	}
	for r := range e.sources.oldestFirst() {
		k := e.sources.at(r).key.key()
		p := rc.pardoned(k)
		if p.at > rc.sources[r-1] {
			e.absolveSource(r, p.no)
		}
		rc.absolveParts(k, p.at)
	}
	for k, p := range rc.pardons {
		if k.bits == hostBits {
			rc.absolveParts(k, p.at) // its source may be forgotten
		}
	}
}

// absolveParts forgets what networks that were read before a pardon have of a host.
func (rc *recalling) absolveParts(k key, at uint32) {
	for _, sp := range k.spreads() {
		if r := rc.e.networks.get(k.masked(sp.bits)); r != 0 && at > rc.networks[r-1] {
			rc.e.absolvePart(r, rc.e.part(k, sp.bits))
		}
	}
}

// pardoned returns the latest pardon of a host or prefix.
func (rc *recalling) pardoned(k key) (latest readPardon) {
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
	for r := range rc.e.sources.oldestFirst() {
		owned := rc.e.accounts.get(rc.owned[r-1])
		rc.e.sources.at(r).val.owned = owned
		if owned == 0 && rc.owned[r-1] != 0 {
			rc.e.sources.mark(r)
		}
	}
}

// recount forgets what is out of date of accounts at sources, and corrects what sources count of them, where one was saved and
// the other was not.
func (rc *recalling) recount() {
	e := rc.e
	counts := make([]struct{ failed, proven, owns uint8 }, e.sources.used)
	memory := [...]uint32{listTried: seconds(triedMemory), listGuessed: seconds(triedMemory), listOwned: seconds(ownedMemory)}
	for r := range e.pairs.oldestFirst() {
		en := e.pairs.at(r)
		if e.sec-en.val.touched >= memory[en.list] {
			e.pairs.remove(r)
			continue
		}
		was := en.val
		sr := e.sources.get(en.key.host())
		if sr != 0 {
			en.val.anew(&e.sources.at(sr).val)
		} else {
			en.val.anew(&source{})
			en.val.flags &^= pairFailed | pairFailedProven | pairOwned // no source counts it
		}
		if en.val != was {
			e.pairs.mark(r)
		}
		if sr == 0 {
			continue
		}
		n := &counts[sr-1]
		n.failed = bump(n.failed, en.val.flags&pairFailed/pairFailed)
		n.proven = bump(n.proven, en.val.flags&pairFailedProven/pairFailedProven)
		n.owns = bump(n.owns, en.val.flags&pairOwned/pairOwned)
	}
	for r := range e.sources.oldestFirst() {
		s, n := &e.sources.at(r).val, counts[r-1]
		if n.failed != s.failed || n.proven != s.failedProven || n.owns != s.owns {
			s.failed, s.failedProven, s.owns = n.failed, n.proven, n.owns
			e.sources.mark(r)
		}
	}
}

// disregard lets pass what the engine was waiting for when it stopped: it cannot know whether it came.
func (rc *recalling) disregard() {
	e := rc.e
	for r := range e.requests.oldestFirst() {
		if q := &e.requests.at(r).val; q.held {
			q.held, q.pending, q.credit = false, 0, true
			e.requests.move(r, listPlain)
		}
	}
	for r := range e.silents.oldestFirst() {
		if q := &e.silents.at(r).val; q.weighed == 0 {
			q.accounts = min(q.accounts, unansweredFree)
			e.silents.move(r, listPlain)
		}
	}
	if rc.rest {
		return
	}
	for r := range e.pairs.oldestFirst() {
		if p := &e.pairs.at(r).val; p.flags&pairChallenged != 0 {
			p.flags &^= pairChallenged
			e.pairs.mark(r)
		}
	}
}
