package policy

// succeeded judges a SuccessfulAuth. Over a stream, or with a password, it proves that the source receives what is sent
// to its address. It lifts no ban of the source and takes nothing from its score.
func (e *Engine) succeeded(k key, o *Observation) {
	if !o.Password && !o.Stream {
		return
	}
	s, r := e.touch(k)
	e.prove(k, s, r)
	nk, ok := k.net()
	if !ok {
		return
	}
	innocent := s.attempts == 0 && !s.struck()
	net, nr := e.touch(nk)
	e.prove(nk, net, nr)
	if innocent && e.banScope(nk) != ScopeNone {
		e.lift(e.bans.get(nk), RuleProved)
	}
}

func (e *Engine) prove(k key, s *source, r ref) {
	s.proofAt = e.now
	s.flags |= hasProof
	e.classify(k, r)
}

// evidence is what an observation says about its source.
func (e *Engine) evidence(o *Observation) Evidence {
	ev := Evidence{At: e.now, Kind: o.Kind, Proven: o.Stream, Server: o.Server, Account: o.Account}
	switch {
	case o.Injected:
		ev.Kind = KindInjection
	case o.Kind == KindInvalidPassword && o.Service == ServiceSIP && o.RoundTrip:
		// chan_sip keeps one nonce a dialog and knows a dialog by its Call-ID, whoever speaks (capture 20, session
		// 0x7fa2b0048700): who reads the nonce at his own address can forge the rest. So this is not held against a
		// source that proved itself.
		ev.Proven = ev.Proven || !e.isProved(hostKey(o.Source.Addr()))
	}
	weight := 0.0
	switch {
	case ev.Kind >= KindCount:
	case ev.Kind == KindChallengeResponseFailed && o.Unknown:
		weight = e.opt.UnknownWeight
	default:
		weight = e.opt.Weights[ev.Kind]
	}
	ev.Weight = float32(weight)
	return ev
}

// isProved says whether a source is proved, without touching its record.
func (e *Engine) isProved(k key) bool {
	r := e.sources.get(k)
	return r != 0 && e.proved(&e.sources.at(r).val)
}

// count adds an attempt to the scores of its source, and decides.
func (e *Engine) count(k key, ev Evidence) {
	if ev.Weight <= 0 {
		return
	}
	if _, ok := e.protected.listed(k.prefix().Addr()); ok {
		e.stats.Protected++
		return
	}
	covered := ScopeNone
	if br := e.covering(k); br != 0 {
		covered = e.bans.at(br).val.scope
	}
	if covered == ScopeAll || covered == ScopeSIP && !ev.Proven {
		e.stats.Covered++
		return
	}
	s, r := e.touch(k)
	if !ev.Proven && e.proved(s) {
		e.stats.Shielded++
		return
	}
	e.stats.Counted++
	e.add(s, ev)
	e.keep(k, ev)
	e.decide(k, s, r, ev, covered)
}

// decide bans what the attempt made due: the host, or the /64 that it is in.
func (e *Engine) decide(k key, s *source, r ref, ev Evidence, covered Scope) {
	want := e.due(s)
	rule := ruleScore
	if want == ScopeAll {
		rule = ruleProvenScore
	}
	nk, hasNet := k.net()
	if !hasNet {
		if want > covered {
			e.ban(k, s, r, want, rule)
		}
		return
	}
	net, nr := e.touch(nk)
	e.addFrom(k, net, ev)
	e.keep(nk, ev)
	if e.decideNet(k, nk, net, nr, want, covered) || want <= covered {
		return
	}
	if !e.ban(k, s, r, want, rule) {
		return
	}
	// What the host's own ban answers is not held against its neighbours.
	net.proven = max(0, net.proven-s.proven)
	net.forgeable = max(0, net.forgeable-s.forgeable)
	net.offend(k, s.strikeAt)
	e.classify(nk, nr)
}

// decideNet bans a /64 if that is due and allowed. True means that the host needs no ban of its own.
func (e *Engine) decideNet(k, nk key, net *source, nr ref, want, covered Scope) bool {
	if e.proved(net) {
		return false
	}
	scope, rule := ScopeNone, ruleSpreadScore
	if net.flags&several != 0 {
		scope = e.due(net)
	}
	if net.flags&hasOffender != 0 && net.offender != k.lo && want > scope {
		scope, rule = want, ruleSecondOffender
	}
	if scope <= covered {
		return false
	}
	if _, ok := e.protected.Overlaps(nk.prefix()); ok {
		return false
	}
	if !e.ban(nk, net, nr, scope, rule) {
		return false
	}
	net.offend(k, net.strikeAt)
	return scope >= want
}

// offend notes that an address of a /64 earned a ban.
func (s *source) offend(host key, until int64) {
	s.offender = host.lo
	s.flags |= hasOffender
	s.strikeAt = max(s.strikeAt, until)
}

// due says what a record's scores ask for.
func (e *Engine) due(s *source) Scope {
	switch {
	case s.proven > e.limit:
		return ScopeAll
	case s.proven+s.forgeable > e.limit && !e.proved(s):
		return ScopeSIP
	default:
		return ScopeNone
	}
}
