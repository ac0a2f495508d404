package policy

import (
	"time"

	"github.com/amifend/amifend/policy/internal/table"
)

// Guessing behind many names. Where the sender can choose the address that an event names, no ban
// of an address reaches a guesser. But failures on one account, or on one server, from ever new
// sources are one attack. An alert reports it at once, whether or not any of its sources can be
// banned.

// attack is a run of failures on one account, or on all accounts of a server, from several sources.
// Times are seconds since the Unix epoch.
type attack struct {
	since    uint32 // the first failure
	last     uint32 // the latest one
	failures uint32
	hidden   uint16 // failures since minuteAt in names that no ban reaches, see behindName
	minuteAt uint32
}

const (
	// maxAttacks bounds the attacks that are remembered. The one that was quiet longest is
	// forgotten first.
	maxAttacks = 1 << 12

	// accountAttackers is the number of sources from which an account is attacked, counting those
	// that failed on it within hours. A user who travels with a wrong password has fewer.
	accountAttackers = 8

	// serverAttackers is the same for all accounts of a server: more than the scanners that find
	// any server on the Internet within hours.
	serverAttackers = 50

	// attackPause is the silence after which an attack is over.
	attackPause = 3600
)

// accountAttacked notes a failure of a stranger on an account. Only a wrong password shows that an
// account exists. fast means that the failures come faster than a phone tries again, so that one
// source is enough for an attack.
func (e *Engine) accountAttacked(id accountID, ev *Evidence, fast bool) {
	if ev.Unknown || !guessesPassword(ev.Kind) || !e.on(RuleAccountAttacked) {
		return
	}
	e.attacked(id, ev, attackOf{
		rule: RuleAccountAttacked, about: AboutAccount, account: ev.Account,
		enough: accountAttackers, fast: fast,
	})
}

// serverAttacked notes a failure of a stranger on any account of a server. all stands for them.
func (e *Engine) serverAttacked(all accountID, ev *Evidence) {
	if !e.on(RuleServerAttacked) {
		return
	}
	e.attacked(all, ev, attackOf{
		rule: RuleServerAttacked, about: AboutServer, enough: serverAttackers,
	})
}

// behindName notes a wrong password that is held against nobody: its source is never banned, or is
// banned already, and the sender may have chosen its address for that reason. An alert names the
// account as attacked when enough such addresses fail on it, or when the failures come faster than
// a phone tries again.
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

// reachesNobody reports whether no ban keeps an attempt's sender away. For a minute after a ban,
// an event may still be of a packet that came before it.
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
	about   About
	account Label // the zero Label for a server
	enough  int   // sources
	fast    bool  // no phone fails that often, so one source is enough
}

// attacked notes a failure of an attack, which is a condition when enough sources take part.
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
	a.last = e.sec
	e.attacks.Touch(ar)
	if sources < of.enough && !of.fast {
		return
	}

	v := Verdict{
		Rule: of.rule, About: of.about, Server: ev.Server, Account: of.account,
		Attempts: int(a.failures), Sources: sources, Chooser: ev.Chooser,
		Rate: perMinuteSince(uint16(min(a.failures, 1<<16-1)), a.last-a.since),
	}
	e.lasting(lasting{
		verdict: v, about: aboutAccount(id), since: a.since, count: a.failures, size: sources,
		certain: true,
	})
}

// touchAttack returns the entry of an attack, made if there is none or if it was over.
func (e *Engine) touchAttack(id accountID) table.Ref {
	r := e.attacks.Get(id)
	if r == 0 {
		r = e.attacks.Add(id, only)
	}

	a := e.attacks.Val(r)
	if a.since == 0 || e.sec-a.last >= attackPause {
		*a = attack{since: e.sec, last: e.sec}
	}
	return r
}
