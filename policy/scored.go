package policy

import "net/netip"

// Scored is the score of an address beside the limit that [RuleScore] compares it with.
type Scored struct {
	Score float64 // proven and forgeable together
	Limit float64
}

// Score returns the score of an address as of the engine's time; 0 if nothing is remembered of it. It
// changes nothing. It costs a look into a table, so that many addresses can be asked about.
func (e *Engine) Score(addr netip.Addr) Scored {
	scored := Scored{Limit: e.opt.Threshold}
	if r := e.sources.Get(hostKey(addr).host()); r != 0 {
		s := *e.sources.Val(r) // a copy is brought to now
		e.decay(&s)
		scored.Score = rounded(float64(s.proven + s.forgeable))
	}
	return scored
}
