package policy

// unseenRequest judges a request of which the PBX raised no security event, since its Call-ID is not
// valid UTF-8: a witness in the kernel saw the answer. No phone sends such a request.
//
// The address is no better known than that of an event: over UDP it may be forged. So the same
// limits hold as for an injection attempt, and it never bans a source that proved itself.
func (e *Engine) unseenRequest(k key, o *Observation) {
	ev := e.evidenceOf(o)
	ev.Weight = max(ev.Weight, e.trapWeight())
	if o.Accepted && e.on(RuleCompromised) {
		e.cracked(k, o, &ev)
	}
	if e.on(RuleUnseen) {
		e.count(k, ev, RuleUnseen)
	}
}

// cracked alerts when the PBX accepted such a request: somebody who hides from Asterisk's log knows
// the password of the account. That holds at an address that is never banned, too.
func (e *Engine) cracked(k key, o *Observation, ev *Evidence) {
	// The scope of the alert is that of the ban that comes with it.
	scope := ScopeNone
	if s := e.recordOr(k); e.on(RuleUnseen) && !e.spares(k, o.Server) &&
		(ev.Proven() || !e.provedAt(k, s)) {
		scope = e.sentence(e.occupantOf(k, s), ev.Chooser).scope
	}

	e.alert(Verdict{
		Rule: RuleCompromised, Prefix: k.prefix(), Scope: scope, Server: o.Server, Account: o.Account,
		Attempts: 1, Chooser: ev.Chooser, Evidence: []Evidence{*ev},
	}, aboutPair(k, e.accountOf(o.Server, o.Service, &o.Account)), hourly)
}
