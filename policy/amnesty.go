package policy

// This file pardons everybody at once. A walk over all records would hold up the events, so a record
// is brought to the latest general pardon when it is touched, or written: see [Engine.renew].

// general is the latest pardon of everybody.
type general struct {
	gen uint8  // counts them, and begins again at 0
	no  uint8  // its number among the pardons, see source.pardon; 0: there was none
	at  uint32 // when it was, in seconds
}

// How many records of sources that a general pardon freed are moved to their list at a time.
const (
	relistBudget = 8192 // by an Advance: two milliseconds
	freedBudget  = 4    // when one must be forgotten to make room
)

// PardonAll lifts all bans, and forgets what is held against anybody, as [Engine.Pardon] does of a
// prefix. It takes the same short time however many bans and sources there are, so it returns no
// unbans: only what was due before. All bans in these verdicts are lifted already.
func (e *Engine) PardonAll(now int64) []Verdict {
	e.begin(now)

	// Pardons that were not saved yet are part of this one.
	e.save.pardons = e.save.pardons[:0]
	e.general.no = e.notePardon(tagAmnesty, key{})
	e.general.at = e.sec
	if e.general.gen++; e.general.gen == 0 {
		e.outdate()
	}

	e.bans.Reset()
	e.banCount = [hostBits + 1]int{}
	e.banBits = e.banBits[:0]
	e.silents.Reset()
	return e.done()
}

// outdate marks all records as older than the latest general pardon, whose number was used before.
// It walks over all records, once in 256 pardons.
func (e *Engine) outdate() {
	for r := range e.sources.All() {
		e.sources.Val(r).gen = e.general.gen - 1
	}
	for r := range e.networks.All() {
		e.networks.Val(r).gen = e.general.gen - 1
	}
}

// renew brings a record to the latest general pardon. The record need not be saved for that, since
// the pardon is saved.
func (e *Engine) renew(s *source) {
	if s.gen != e.general.gen {
		s.gen = e.general.gen
		s.forget(e.general.at, e.general.no)
	}
}

// renewNetwork is [Engine.renew] for a prefix.
func (e *Engine) renewNetwork(n *network) {
	if n.gen != e.general.gen {
		n.gen = e.general.gen
		n.forget()
	}
}

// recordOf returns what is remembered of a host, nil if nothing is.
func (e *Engine) recordOf(k key) *source {
	r := e.sources.Get(k.host())
	if r == 0 {
		return nil
	}
	s := e.sources.Val(r)
	e.renew(s)
	return s
}

// recordOr is recordOf, or the record of a host of which nothing is remembered.
func (e *Engine) recordOr(k key) *source {
	if s := e.recordOf(k); s != nil {
		return s
	}
	return &source{pardon: e.general.no, gen: e.general.gen}
}

// relistFreed moves sources whose bans a general pardon lifted from the list of the banned to where
// they belong, at most budget of them. They are the oldest of that list.
func (e *Engine) relistFreed(budget int) {
	for range budget {
		r := e.sources.Oldest(listBanned)
		if r == 0 || e.sources.Val(r).gen == e.general.gen {
			return
		}
		e.renew(e.sources.Val(r))
		e.classify(e.sources.Key(r).key(), r)
	}
}

// relistFreedNetworks is [Engine.relistFreed] for prefixes.
func (e *Engine) relistFreedNetworks(budget int) {
	for range budget {
		r := e.networks.Oldest(listBanned)
		if r == 0 || e.networks.Val(r).gen == e.general.gen {
			return
		}
		e.renewNetwork(e.networks.Val(r))
		e.classifyNetwork(e.networks.Key(r), r)
	}
}
