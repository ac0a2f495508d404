package policy

import "fmt"

// Tune replaces the options from now on, and forgets nothing: no score, no strike, no proof. Bans that run keep their scope and
// their time, also if they are longer than the new BanMax. Scores that faded until now did so with the old half-life. Who is above
// a threshold that was lowered is banned at its next attempt. The seed stays. With a smaller MaxSources the sources that
// were quiet longest are forgotten; with a smaller MaxBans those that run stay, and there is no room for more until enough
// of them ended.
//
// It returns what was due until now. An error means that the options are invalid, and that nothing changed. With a million
// sources a new half-life or MaxSources takes a few tenths of a second, anything else microseconds.
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
	if !e.on(ruleUnanswered) {
		for r := range e.silents.all() {
			e.silents.remove(r)
		}
	}
	return e.done(), nil
}

// refade has all scores fade with another half-life from now on.
func (e *Engine) refade(f refade) {
	for r := range e.sources.all() {
		f.source(&e.sources.at(r).val, e.sec)
		e.sources.mark(r)
	}
	for r := range e.networks.all() {
		f.network(&e.networks.at(r).val, e.sec)
		e.networks.mark(r)
	}
	for r := range e.pairs.all() {
		f.pair(&e.pairs.at(r).val, e.sec)
		e.pairs.mark(r)
	}
	for r := range e.silents.all() {
		f.silent(&e.silents.at(r).val, e.sec)
	}
}

// resize brings the tables to the sizes that the options want, and forgets what has no room.
func (e *Engine) resize() {
	e.bans.resize(e.opt.MaxBans)
	e.sources.resize(e.opt.MaxSources)
	for e.sources.n > e.sources.max {
		evict(e.sources)
		e.stats.Evicted++
	}
	e.networks.resize(e.opt.networks())
	for e.networks.n > e.networks.max {
		e.evictNetwork()
	}
	e.pairs.resize(e.opt.pairs())
	for e.pairs.n > e.pairs.max {
		e.forgetPair(forget(e.pairs))
	}
	e.accounts.resize(e.opt.accounts())
	for e.accounts.n > e.accounts.max {
		e.accounts.remove(forget(e.accounts))
	}
}
