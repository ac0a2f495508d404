package policy

// This file codes each record and key: every field once, for writing and reading. A change here
// needs a new blockVersion, since otherwise what is on disk would be read as something else.

func (h *host) code(c *coder) { c.u64(&h.hi); c.u64(&h.lo) }

func (k *key) code(c *coder) {
	c.u64(&k.hi)
	c.u64(&k.lo)
	c.u8(&k.bits)
	if k.bits > hostBits || *k != k.masked(k.bits) {
		c.fail("a prefix is not valid")
	}
}

func (id *accountID) code(c *coder) { c.u64((*uint64)(id)) }

func (k *pairKey) code(c *coder) { c.u64(&k.hi); c.u64(&k.lo); k.account.code(c) }

func (k *requestKey) code(c *coder) {
	k.source.code(c)
	c.u64(&k.session)
	c.u16(&k.port)
	c.u16(&k.server)
	c.bool(&k.stream)
}

func (k *dialogKey) code(c *coder) { c.u64(&k.session); c.u16(&k.server) }

func (d *dialog) code(c *coder) {
	c.u64(&d.nonce)
	c.at(&d.at)
	d.account.code(c)
	c.bool(&d.disputed)
	c.bool(&d.call)
}

func (k *alertKey) code(c *coder) {
	(*pairKey)(&k.about).code(c)
	k.rule.code(c)
}

// codeConditionKey codes the key of a condition. Its rule must be one that gives conditions.
func codeConditionKey(k *alertKey, c *coder) {
	k.code(c)
	if kindOfCondition(k.rule) < 0 {
		c.fail("a condition is not valid")
	}
}

func codeSecond(at *uint32, c *coder) { c.second(at) }

func (r *Rule) code(c *coder) {
	c.u8((*uint8)(r))
	if *r >= ruleCount {
		c.fail("a rule is unknown")
	}
}

func (l *Label) code(c *coder) {
	c.u64(&l.hash)
	codeText(&l.n, &l.text, c)
}

func codeText(n *uint8, text *[labelText]byte, c *coder) {
	c.u8(n)
	if *n > labelText {
		c.fail("a name is too long")
		return
	}
	c.bytes(text[:*n])
}

func (k *Kind) code(c *coder) {
	c.u8((*uint8)(k))
	if *k >= KindCount {
		c.fail("a kind is unknown")
	}
}

func (ch *Chooser) code(c *coder) {
	c.u8((*uint8)(ch))
	if int(*ch) >= NumChoosers {
		c.fail("a class of evidence is unknown")
	}
}

func (d *debt) code(c *coder) {
	for _, v := range []*float32{&d.proven, &d.forgeable, &d.slowProven, &d.slowForgeable} {
		c.f32(v)
	}
	c.u8(&d.chosen)
	c.u8(&d.slowChosen)
}

func (v *condition) code(c *coder) {
	for _, at := range []*uint32{&v.since, &v.last, &v.told, &v.begun, &v.triedAt} {
		c.second(at)
	}
	for _, n := range []*uint32{&v.count, &v.size, &v.triedSize} {
		c.u32(n)
	}

	c.u16(&v.server)
	c.u8(&v.bits)
	c.u8((*uint8)(&v.about))
	c.u8((*uint8)(&v.state))
	codeText(&v.n, &v.text, c)
	if v.bits > hostBits || v.about > AboutServer || v.state >= conditionStates {
		c.fail("a condition is not valid")
	}
}

func (v *voucher) code(c *coder) {
	for i := range v.parts {
		c.u32(&v.parts[i])
		c.second(&v.at[i])
	}
	c.second(&v.provedSince)
	c.u16(&v.proved)
}

func (t *site) code(c *coder) {
	for i := range t.users {
		t.users[i].account.code(c)
		c.second(&t.users[i].at)
		c.second(&t.users[i].provenAt)
	}

	c.f32(&t.guess)
	c.f32(&t.slowGuess)
	c.second(&t.guessAt)
	c.second(&t.guessSince)
	c.u16(&t.guesses)
	for i := range t.failing {
		t.failing[i].account.code(c)
		c.second(&t.failing[i].at)
	}
	c.second(&t.bannedAt)
}

func (v *sharer) code(c *coder) {
	for i := range v.parts {
		c.u32(&v.parts[i])
		c.second(&v.at[i])
	}
}

func (v *Evidence) code(c *coder) {
	c.at(&v.At)
	v.Kind.code(c)
	c.u8((*uint8)(&v.Service))
	v.Chooser.code(c)
	c.bool(&v.Unknown)
	c.u16(&v.Server)
	c.u16(&v.Port)
	c.f32(&v.Weight)
	v.Account.code(c)
}

// code writes the account that a source owns by its key, since a ref means nothing in another run.
func (s *source) code(c *coder, e *Engine) {
	for _, v := range []*float32{
		&s.proven, &s.forgeable, &s.slowProven, &s.slowForgeable, &s.guess, &s.slowGuess, &s.trust,
	} {
		c.f32(v)
	}

	for _, v := range []*uint32{&s.at, &s.since, &s.proofAt} {
		c.second(v)
	}

	c.u32(&s.strikeAt)
	var owned accountID
	if r := s.owned; !c.reading && e.accounts.Used(r) {
		owned = e.accounts.Key(r)
	}

	owned.code(c)
	c.owned = owned
	// Accounts may be read later: Recall looks again when all is read.
	if c.reading {
		s.owned = e.accounts.Get(owned)
	}

	for _, v := range []*uint16{&s.attempts, &s.okPort, &s.failPort} {
		c.u16(v)
	}

	for _, v := range []*uint8{
		&s.failed, &s.failedProven, &s.owns, &s.strikes, &s.burst, &s.pardon, &s.flags, &s.chosen,
		&s.slowChosen,
	} {
		c.u8(v)
	}
	if c.reading {
		c.refade.source(s, secondOf(c.now))
	}
}

func (n *network) code(c *coder) {
	for _, v := range []*float32{&n.proven, &n.forgeable, &n.suspects, &n.guess, &n.provenSuspects} {
		c.f32(v)
	}

	c.second(&n.at)
	c.second(&n.proofAt)
	c.u32(&n.strikeAt)
	for i := range n.failed {
		c.u32(&n.failed[i])
	}

	for i := range n.banned {
		c.u32(&n.banned[i])
	}

	c.u16(&n.attempts)
	for _, v := range []*uint8{&n.offenders, &n.provenOffenders, &n.strikes, &n.flags, &n.chosen} {
		c.u8(v)
	}
	if c.reading {
		c.refade.network(n, secondOf(c.now))
	}
}

func (p *pair) code(c *coder) {
	for _, v := range []*uint32{&p.okAt, &p.failAt, &p.touched, &p.minuteAt} {
		c.second(v)
	}

	p.debt.code(c)
	c.u16(&p.fails)
	c.u16(&p.provenFails)
	c.u16(&p.excused)
	c.u16(&p.shielded)
	c.u8(&p.excusedProven)
	c.u8(&p.rate)
	c.u8(&p.pardon)
	c.u8(&p.flags)
	c.u8(&p.between)
	if c.reading {
		c.refade.pair(p, secondOf(c.now))
	}
}

func (a *account) code(c *coder) {
	c.f32(&a.strangers)
	c.f32(&a.proven)
	c.second(&a.at)
	c.second(&a.okAt)
	c.u16(&a.server)
	codeText(&a.n, &a.text, c)
}

func (q *request) code(c *coder) {
	c.at(&q.at)
	q.account.code(c)
	q.kind.code(c)
	c.u8(&q.pending)
	c.bool(&q.credit)
	c.bool(&q.held)
}

func (q *silent) code(c *coder) {
	c.at(&q.at)
	q.debt.code(c)
	c.second(&q.debtAt)
	c.u16(&q.accounts)
	c.u16(&q.weighed)
	q.last.code(c)
	if c.reading {
		c.refade.silent(q, secondOf(c.now))
	}
	if q.weighed > q.accounts {
		c.fail("more accounts were weighed than there were")
	}
}

func (t *trail) code(c *coder) {
	c.u32(&t.n)
	if t.n == 0 {
		c.fail("evidence is empty")
		return
	}
	for i := range min(t.n, evidenceKept) { // a ring that is not full begins at 0
		t.ring[i].code(c)
	}
}
