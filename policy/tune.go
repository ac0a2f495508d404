package policy

import "fmt"

// Tune replaces the options from now on, and forgets no score, no strike and no proof. Bans that
// run keep their scope and their time, even if they are longer than the new BanMax. Until now,
// scores faded with the old half-life. A source above a lowered threshold is banned at its next
// attempt. The seed stays. With a smaller MaxSources, the sources that were quiet longest are
// forgotten. With a smaller MaxBans, the bans that run stay, and there is no room for more until
// enough of them ended.
//
// Tune returns what was due until now. An error means that the options are invalid, and that
// nothing changed. With a million sources a new half-life or MaxSources takes a few tenths of a
// second, anything else microseconds.
func (e *Engine) Tune(now int64, o Options) ([]Verdict, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("validate policy options: %w", err)
	}

	e.begin(now)
	if f := newRefade(e.opt.HalfLife, o.HalfLife); !f.none() {
		e.refade(f)
	}

	o.Seed = e.opt.Seed
	e.setOptions(o)
	e.resize()
	if !e.on(RuleUnanswered) {
		for r := range e.silents.All() {
			e.silents.Remove(r)
		}
	}

	return e.done(), nil
}

// refade has all scores fade with another half-life from now on.
func (e *Engine) refade(f refade) {
	for r := range e.sources.All() {
		f.source(e.sources.Val(r), e.sec)
		e.sources.Mark(r)
	}

	for r := range e.networks.All() {
		f.network(e.networks.Val(r), e.sec)
		e.networks.Mark(r)
	}

	for r := range e.pairs.All() {
		f.pair(e.pairs.Val(r), e.sec)
		e.pairs.Mark(r)
	}

	for r := range e.silents.All() {
		f.silent(e.silents.Val(r), e.sec)
	}
}

// resize brings the tables to the sizes that the options want, and forgets what has no room.
func (e *Engine) resize() {
	e.bans.Resize(e.opt.MaxBans)
	e.sources.Resize(e.opt.MaxSources)
	for e.sources.Len() > e.sources.Max() {
		e.evictSource()
	}

	// The other tables have their share of MaxSources.
	e.networks.Resize(e.opt.networks())
	for e.networks.Len() > e.networks.Max() {
		e.evictNetwork()
	}

	e.pairs.Resize(e.opt.pairs())
	for e.pairs.Len() > e.pairs.Max() {
		e.removePair(e.pairs.Victim())
	}

	e.accounts.Resize(e.opt.accounts())
	for e.accounts.Len() > e.accounts.Max() {
		e.accounts.Remove(e.accounts.Victim())
	}
}
