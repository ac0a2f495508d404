package policy

// guessingPause is the silence after which guesses in the name of a proved source are over, in
// seconds. One in six hours would ban a stranger.
const guessingPause = 6 * 3600

// provedGuessing judges forgeable evidence in the name of a source that proved itself. It cannot be
// distinguished from forged packets, so it is alerted when a stranger would be banned for it.
func (e *Engine) provedGuessing(a *attempt) {
	if !e.on(RuleProvedGuessing) {
		return
	}

	s := a.src
	if s.guess == 0 && s.attempts == 0 {
		s.since = e.sec
	}
	most := maxScore * float32(e.opt.Threshold)
	s.guess = min(s.guess+a.ev.Weight, most)
	s.slowGuess = min(s.slowGuess+a.ev.Weight, most)
	e.provedGuessingNear(a)

	what, about := AboutSource, aboutSource(a.key)
	enough := s.guess > e.limit || s.slowGuess > slowFactor*e.limit
	if !enough {
		if a.others < manyStrangers {
			return
		}
		// Many who own accounts guess, each a little.
		what, about = AboutAccount, aboutAccount(a.account)
	}

	v := Verdict{
		Rule: RuleProvedGuessing, About: what, Prefix: a.key.prefix(), Server: a.ev.Server,
		Account: a.ev.Account, Score: float64(s.guess), Attempts: int(a.pair.shielded),
		Rate: perMinuteSince(a.pair.shielded, e.sec-a.pair.failAt),
		Owns: int(s.owns), Owned: e.ownedBy(a.key, s), Guessed: int(s.failed),
	}
	e.lasting(lasting{
		verdict: v, about: about, bits: a.key.bits, since: min(s.since, a.pair.failAt),
		size: int(a.pair.shielded), certain: true,
	})

	if e.opt.BanProvedGuessers && enough {
		e.recordEvidence(a.key, a.ev)
		e.banHost(a.key, s, a.srcRef, banCase{
			// The operator asked that its proof not count.
			sentence: sentences[occupantStranger][a.ev.Chooser],
			rule:     RuleProvedGuessing, score: s.guess, attempts: s.attempts + 1,
			patient: e.patient(a.key), chooser: a.ev.Chooser,
		})
	}
}

// provedBanned alerts that a proved source is banned on proven evidence, and names the accounts
// that log in there: their users may be cut off.
func (e *Engine) provedBanned(a *attempt, c *banCase) {
	if !e.on(RuleProvedGuessing) {
		return
	}
	// It may have been told as what may be forged. Now it is certain, which must be told.
	if c.chooser == ChooserRoundTrip {
		e.endOf(alertKey{aboutSource(a.key), RuleProvedGuessing})
	}
	v := Verdict{
		Rule: RuleProvedGuessing, About: AboutSource, Scope: c.scope, Prefix: a.key.prefix(),
		Server: a.ev.Server, Account: a.ev.Account, Score: float64(c.score),
		Attempts: int(c.attempts), Chooser: c.chooser, Owns: int(a.src.owns),
		Owned: e.ownedBy(a.key, a.src), Users: e.namesAt(a.key, a.src),
		Guessed: int(a.src.failedProven),
	}
	e.lasting(lasting{
		verdict: v, about: aboutSource(a.key), bits: a.key.bits, since: a.src.since,
		count: uint32(c.attempts), size: int(c.attempts), certain: true,
	})
}

// provedGuessingNear alerts when several proved addresses of a /64 seem to guess, each too little
// for an alert of its own.
func (e *Engine) provedGuessingNear(a *attempt) {
	if a.key.is4() || len(a.key.spreads()) == 0 {
		return
	}

	nk := a.key.masked(netBits)
	n, _ := e.touchNetwork(nk)
	n.guess = min(n.guess+a.ev.Weight, maxScore*float32(e.opt.Threshold))
	if n.guess > e.limit {
		v := Verdict{
			Rule: RuleProvedGuessing, About: AboutSource, Prefix: nk.prefix(),
			Server: a.ev.Server, Account: a.ev.Account, Score: float64(n.guess),
		}
		e.lasting(lasting{
			verdict: v, about: aboutPrefix(nk), bits: nk.bits, since: e.sec,
			size: int(a.pair.shielded), certain: true,
		})
	}
}

// ownedBy returns the name of the account that a source last authenticated as, if it is still
// remembered.
func (e *Engine) ownedBy(k key, s *source) Label {
	if e.ownedAccount(k, s) == 0 {
		return Label{}
	}
	return e.accounts.Val(s.owned).label()
}

// ownedAccount returns the account that a source last authenticated as, 0 if it is not remembered
// any more.
func (e *Engine) ownedAccount(k key, s *source) accountID {
	if !e.accounts.Used(s.owned) {
		return 0
	}

	// The record may be that of another account by now.
	id := e.accounts.Key(s.owned)
	r := e.pairs.Get(pairKey{k.hi, k.lo, id})
	if r == 0 || e.pairs.Val(r).okAt == 0 {
		return 0
	}
	return id
}
