package policy

import (
	"time"

	"github.com/amifend/amifend/policy/internal/table"
)

// Guessing behind many names. Where the sender can choose the address that an event names, no ban
// of an address reaches a guesser. But the failures are on one account, or on one server, from ever
// new sources: that is one attack, and it is alerted at once, whether or not any of its sources can
// be banned.

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

// attackList names the lists of the table of attacks, each in the order of the latest failure.
type attackList uint8

// The lists, in the order in which they give up records.
const (
	listMinor           attackList = iota // too few sources
	listAccountsWaiting                   // not alerted, since there are worse ones
	listServersWaiting
	listAccountsOpen // at most maxOpenAttacks
	listServersOpen  // at most maxOpenAttacks
)

const (
	// maxAttacks bounds the attacks that are remembered. The one that was quiet longest is
	// forgotten first, those that are not alerted before the others.
	maxAttacks = 1 << 12

	// maxOpenAttacks is how many attacks on accounts, and on servers, are alerted at a time: the
	// worst.
	maxOpenAttacks = 100

	// accountAttackers is the number of sources from which an account is attacked, counting those
	// that failed on it within hours. A user who travels with a wrong password has fewer.
	accountAttackers = 8

	// serverAttackers is the same for all accounts of a server: more than the scanners that find
	// any server on the Internet within hours.
	serverAttackers = 50

	// attackPause is the silence after which an attack is over.
	attackPause = 3600

	// moreDelay is the time for which attacks that find no room are counted before the first line
	// about them.
	moreDelay = 60
)

// accountAttacked notes a failure of a stranger on an account. Only a wrong password tells that an
// account exists. fast is whether that stranger alone is an attack.
func (e *Engine) accountAttacked(id accountID, ev *Evidence, fast bool) {
	if ev.Unknown || !guessesPassword(ev.Kind) || !e.on(RuleAccountAttacked) {
		return
	}
	e.attacked(id, ev, attackOf{
		rule: RuleAccountAttacked, account: ev.Account, enough: accountAttackers,
		open: listAccountsOpen, waiting: listAccountsWaiting, since: &e.accountsWaiting,
		fast: fast,
	})
}

// serverAttacked notes a failure of a stranger on any account of a server. all stands for them.
func (e *Engine) serverAttacked(all accountID, ev *Evidence) {
	if !e.on(RuleServerAttacked) {
		return
	}
	e.attacked(all, ev, attackOf{
		rule: RuleServerAttacked, enough: serverAttackers,
		open: listServersOpen, waiting: listServersWaiting, since: &e.serversWaiting,
	})
}

// behindName notes a wrong password that is held against nobody: its source is never banned, or is
// banned already, and the sender may have chosen that name for it. An alert names the account as
// attacked when enough such names are used, or one of them faster than a phone tries again.
func (e *Engine) behindName(k key, ev *Evidence) {
	if ev.Unknown || ev.Account.n == 0 || !guessesPassword(ev.Kind) || !e.on(RuleAccountAttacked) {
		return
	}

	s := e.recordOf(k)
	id := e.accountOf(ev.Server, ev.Service, &ev.Account)
	p, _ := e.touchPair(k, s, id)
	if p.okAt != 0 {
		return // the source is no stranger
	}
	first, firstProven := p.noteStranger(ev.Proven())
	e.strangersOn(id, ev, &ev.Account, first, firstProven)
	e.accountAttacked(id, ev, e.reachesNobody(k, ev) && e.hiddenFast(id))
}

// reachesNobody reports whether no ban keeps an attempt's sender away. What is banned may still be
// on its way for a while.
func (e *Engine) reachesNobody(k key, ev *Evidence) bool {
	br, _ := e.covering(k)
	return br == 0 ||
		!ev.Chooser.needsSpoofing() && e.now-e.bans.Val(br).from > minutely*int64(time.Second)
}

// hiddenFast notes one more failure on an account in a name that no ban reaches, and reports
// whether they come faster than a phone tries again.
func (e *Engine) hiddenFast(id accountID) bool {
	ar := e.touchAttack(id)
	e.attacks.Touch(ar)
	a := e.attacks.Val(ar)
	if e.sec-a.minuteAt >= 60 {
		a.minuteAt, a.hidden = e.sec, 0
	}

	a.hidden = count16(a.hidden)
	a.last = e.sec
	return a.hidden > perMinute
}

// guessesPassword reports whether a failure of that kind answers a challenge with a wrong password.
func guessesPassword(kind Kind) bool {
	return kind == KindChallengeResponseFailed || kind == KindInvalidPassword
}

// attackOf holds the differences between attacks on accounts and on servers.
type attackOf struct {
	rule    Rule
	account Label      // the zero Label for a server
	enough  int        // sources
	open    attackList // the list of those that are alerted
	waiting attackList // the list of those that are not
	since   *uint32    // when the first of the waiting ones came
	fast    bool       // no phone fails that often: one source will do
}

// attacked notes a failure of an attack, and alerts when enough sources take part.
func (e *Engine) attacked(id accountID, ev *Evidence, of attackOf) {
	r := e.accounts.Get(id)
	if r == 0 {
		return
	}
	sources := whole(e.accounts.Val(r).strangers)
	if sources < 2 && !of.fast {
		return // one source is judged by its score
	}

	ar := e.touchAttack(id)
	a := e.attacks.Val(ar)
	a.failures++
	if of.fast {
		a.failures = max(a.failures, perMinute)
	}
	a.last, a.sources = e.sec, uint16(min(sources, 1<<16-1)) // checked
	if sources < of.enough && !of.fast {
		e.attacks.Move(ar, listMinor)
		return
	}
	if !e.openAttack(ar, of) {
		e.attacks.Move(ar, of.waiting)
		e.alertMore(ev, of)
		return
	}

	e.alert(Verdict{
		Rule: of.rule, Server: ev.Server, Account: of.account, Attempts: int(a.failures), Sources: sources,
		Rate: perMinuteSince(uint16(min(a.failures, 1<<16-1)), a.last-a.since), Chooser: ev.Chooser,
	}, aboutAccount(id), hourly)
}

// touchAttack returns the entry of an attack, made if there is none or if it was over.
func (e *Engine) touchAttack(id accountID) table.Ref {
	r := e.attacks.Get(id)
	if r == 0 {
		r = e.attacks.Add(id, listMinor)
	}

	a := e.attacks.Val(r)
	if a.since == 0 || e.sec-a.last >= attackPause {
		*a = attack{since: e.sec, last: e.sec}
	}
	return r
}

// endAttacks forgets the attacks of a list that are over.
func (e *Engine) endAttacks(list attackList) {
	for t := e.attacks.Oldest(list); t != 0; t = e.attacks.Oldest(list) {
		if e.sec-e.attacks.Val(t).last < attackPause {
			return
		}
		e.attacks.Remove(t)
	}
}

// openAttack reports whether an attack may be alerted. Where too many are, one with twice the
// sources takes the place of the smallest.
func (e *Engine) openAttack(r table.Ref, of attackOf) bool {
	if e.attacks.List(r) == of.open {
		e.attacks.Move(r, of.open)
		return true
	}

	// One with twice the sources takes the place of the smallest, so that two of a size do not take
	// turns.
	e.endAttacks(of.open)
	if e.attacks.Count(of.open) >= maxOpenAttacks {
		least := e.attacks.Newest(of.open)
		for t := least; t != 0; t = e.attacks.Older(t) {
			if e.attacks.Val(t).sources < e.attacks.Val(least).sources {
				least = t
			}
		}
		if int(e.attacks.Val(r).sources) < 2*int(e.attacks.Val(least).sources) {
			return false
		}
		e.attacks.Move(least, of.waiting)
	}

	e.attacks.Move(r, of.open)
	return true
}

// alertMore alerts in one line, hourly, of the attacks that are not alerted.
func (e *Engine) alertMore(ev *Evidence, of attackOf) {
	e.endAttacks(of.waiting)
	if e.attacks.Count(of.waiting) == 1 {
		*of.since = e.sec // the first of them
	}
	if e.sec-*of.since < moreDelay {
		return
	}

	e.alert(Verdict{
		Rule: of.rule, Server: ev.Server, More: e.attacks.Count(of.waiting), Chooser: ev.Chooser,
	}, aboutAll, hourly)
}
