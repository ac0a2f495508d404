package policy

import "time"

// Guessing behind many names. Where the sender can choose the address that an event names, no ban of an
// address reaches a guesser. But the failures are on one account, or on one server, from ever new
// sources: that is one attack, and it is told at once, whether or not any of its sources can be banned.

// attack is a run of failures on one account, or on all accounts of a server, from several sources.
// Times are seconds since the Unix epoch.
type attack struct {
	since    uint32 // the first failure
	last     uint32 // the latest one
	failures uint32
	sources  uint16 // that failed lately, as of last
	hidden   uint16 // failures since minuteAt in names that no ban reaches, see behindName
	minuteAt uint32
}

// The lists of the table of attacks, each in the order of the latest failure.
const (
	listMinor           = iota // too few sources
	listAccountsTold           // at most maxOpenAttacks
	listAccountsWaiting        // not told, since there are worse ones
	listServersTold            // at most maxOpenAttacks
	listServersWaiting
)

const (
	// maxAttacks bounds the attacks that are remembered. The one that was quiet longest is forgotten
	// first, those that are not told before the others.
	maxAttacks = 1 << 12

	// maxOpenAttacks is how many attacks on accounts, and on servers, are told at a time: the worst.
	maxOpenAttacks = 100

	// accountAttackers is from how many sources on that failed on an account within hours it is
	// attacked: more than a user who travels with a wrong password has.
	accountAttackers = 8

	// serverAttackers is the same for all accounts of a server: more than the scanners that find any
	// server on the Internet within hours.
	serverAttackers = 50

	// attackPause is how long an attack must be quiet to be over.
	attackPause = 3600

	// moreDelay is how long attacks that find no room are counted before the first line about them.
	moreDelay = 60
)

// accountAttacked notes a failure of a stranger on an account. Only a wrong password tells that an
// account exists. fast is whether that stranger alone is an attack.
func (e *Engine) accountAttacked(id accountID, ev *Evidence, fast bool) {
	if ev.Unknown || !guessesPassword(ev.Kind) || !e.on(ruleAccountAttacked) {
		return
	}
	e.attacked(id, ev, attackOf{
		rule: RuleAccountAttacked, account: ev.Account, enough: accountAttackers,
		told: listAccountsTold, waiting: listAccountsWaiting, since: &e.accountsWaiting,
		fast: fast,
	})
}

// serverAttacked notes a failure of a stranger on any account of a server. all stands for them.
func (e *Engine) serverAttacked(all accountID, ev *Evidence) {
	if !e.on(ruleServerAttacked) {
		return
	}
	e.attacked(all, ev, attackOf{
		rule: RuleServerAttacked, enough: serverAttackers,
		told: listServersTold, waiting: listServersWaiting, since: &e.serversWaiting,
	})
}

// behindName notes a wrong password that is held against nobody: its source is never banned, or is banned
// already, and the sender may have chosen that name for it. The account is told as attacked when
// enough such names are used, or one of them faster than a phone tries again.
func (e *Engine) behindName(k key, ev *Evidence) {
	if ev.Unknown || ev.Account.n == 0 || !guessesPassword(ev.Kind) || !e.on(ruleAccountAttacked) {
		return
	}

	var s *source
	if r := e.sources.get(k.host()); r != 0 {
		s = &e.sources.at(r).val
	}
	id := e.accountOf(ev.Server, ev.Service, &ev.Account)
	p, _ := e.touchPair(k, s, id)
	if p.okAt != 0 {
		return
	}
	first, firstProven := p.stranger(ev.Proven())
	e.strangersOn(id, ev, &ev.Account, first, firstProven)

	// What is banned may still be on its way for a while.
	fast := false
	if br := e.covering(k); br == 0 || !ev.Chooser.needsSpoofing() && e.now-e.bans.at(br).val.from > minutely*int64(time.Second) {
		ar := e.touchAttack(id)
		e.attacks.move(ar, e.attacks.at(ar).list)
		a := &e.attacks.at(ar).val
		if e.sec-a.minuteAt >= 60 {
			a.minuteAt, a.hidden = e.sec, 0
		}
		a.hidden = count16(a.hidden)
		a.last = e.sec
		fast = a.hidden > perMinute
	}
	e.accountAttacked(id, ev, fast)
}

// guessesPassword reports whether a failure of that kind answers a challenge with a wrong password.
func guessesPassword(kind Kind) bool {
	return kind == KindChallengeResponseFailed || kind == KindInvalidPassword
}

// attackOf is what differs between attacks on accounts and on servers.
type attackOf struct {
	rule    string
	account Label   // the zero Label for a server
	enough  int     // sources
	told    uint8   // the list of those that are told
	waiting uint8   // the list of those that are not
	since   *uint32 // when the first of the waiting ones came
	fast    bool    // no phone fails that often: one source will do
}

// attacked notes a failure of an attack, and tells of it when enough sources take part.
func (e *Engine) attacked(id accountID, ev *Evidence, of attackOf) {
	r := e.accounts.get(id)
	if r == 0 {
		return
	}
	sources := whole(e.accounts.at(r).val.strangers)
	if sources < 2 && !of.fast {
		return // one source is judged by its score
	}

	ar := e.touchAttack(id)
	a := &e.attacks.at(ar).val
	a.failures++
	if of.fast {
		a.failures = max(a.failures, perMinute)
	}
	a.last, a.sources = e.sec, uint16(min(sources, 1<<16-1)) // checked
	if sources < of.enough && !of.fast {
		e.attacks.move(ar, listMinor)
		return
	}
	if !e.openAttack(ar, of) {
		e.attacks.move(ar, of.waiting)
		e.tellMore(ev, of)
		return
	}

	e.alert(Verdict{
		Rule: of.rule, Server: ev.Server, Account: of.account, Attempts: int(a.failures), Sources: sources,
		Rate: perMinuteSince(uint16(min(a.failures, 1<<16-1)), a.last-a.since), Chooser: ev.Chooser,
	}, pairKey{account: id}, hourly)
}

// touchAttack returns the entry of an attack, made if there is none or if it was over.
func (e *Engine) touchAttack(id accountID) ref {
	r := e.attacks.get(id)
	if r == 0 {
		if e.attacks.full() {
			e.forgetAttack()
		}
		r = e.attacks.add(id, listMinor)
	}

	a := &e.attacks.at(r).val
	if a.since == 0 || e.sec-a.last >= attackPause {
		*a = attack{since: e.sec, last: e.sec}
	}
	return r
}

// forgetAttack makes room for an attack.
func (e *Engine) forgetAttack() {
	for list := range uint8(listCount) {
		if r := e.attacks.lists[list].tail; r != 0 {
			e.attacks.remove(r)
			return
		}
	}
}

// endAttacks forgets the attacks of a list that are over.
func (e *Engine) endAttacks(list uint8) {
	for t := e.attacks.lists[list].tail; t != 0; t = e.attacks.lists[list].tail {
		if e.sec-e.attacks.at(t).val.last < attackPause {
			return
		}
		e.attacks.remove(t)
	}
}

// openAttack reports whether an attack may be told. Where too many are, one with twice the sources takes
// the place of the smallest.
func (e *Engine) openAttack(r ref, of attackOf) bool {
	if e.attacks.at(r).list == of.told {
		e.attacks.move(r, of.told)
		return true
	}

	e.endAttacks(of.told)
	if e.attacks.lists[of.told].n >= maxOpenAttacks {
		least := e.attacks.lists[of.told].head
		for t := least; t != 0; t = e.attacks.at(t).next {
			if e.attacks.at(t).val.sources < e.attacks.at(least).val.sources {
				least = t
			}
		}
		if int(e.attacks.at(r).val.sources) < 2*int(e.attacks.at(least).val.sources) {
			return false
		}
		e.attacks.move(least, of.waiting)
	}

	e.attacks.move(r, of.told)
	return true
}

// tellMore alerts in one line, hourly, of the attacks that are not told.
func (e *Engine) tellMore(ev *Evidence, of attackOf) {
	e.endAttacks(of.waiting)
	if e.attacks.lists[of.waiting].n == 1 {
		*of.since = e.sec // the first of them
	}
	if e.sec-*of.since < moreDelay {
		return
	}

	e.alert(Verdict{
		Rule: of.rule, Server: ev.Server, More: e.attacks.lists[of.waiting].n, Chooser: ev.Chooser,
	}, pairKey{}, hourly)
}
