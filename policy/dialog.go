package policy

import (
	"encoding/binary"

	"github.com/dchest/siphash"

	"github.com/amifend/amifend/policy/internal/table"
)

// chan_sip keeps one nonce a dialog, and knows a dialog by its Call-ID. In a call, the account that
// a SuccessfulAuth or InvalidPassword names is the number that was dialled (capture 20). The
// challenge before it names the caller, or whom the caller claimed to be, so it tells which account
// was checked. It proves no address: the sender chooses that, see choosers.

// dialogKey is a dialog of chan_sip.
type dialogKey struct {
	session uint64
	server  uint16
}

func (k dialogKey) Hash(k0, k1 uint64) uint64 {
	var b [10]byte
	binary.LittleEndian.PutUint64(b[:], k.session)
	binary.LittleEndian.PutUint16(b[8:], k.server)
	return siphash.Hash(k0, k1, b[:])
}

// dialog is the latest nonce of a dialog.
type dialog struct {
	nonce    uint64
	at       int64 // when it was sent last
	account  Label // about whom
	disputed bool  // about several accounts
	call     bool  // to a call: then any of the caller's accounts may be meant
}

// single names the list of a table that has one only.
type single uint8

const only single = 0

// maxDialogs bounds the dialogs that are remembered: the oldest is forgotten first.
const maxDialogs = 1 << 15

// dialogTime is a little more than the time for which chan_sip keeps a dialog that was challenged.
const dialogTime = 2 * creditWindow

// chanSIP takes in what chan_sip says, and corrects the account that a SuccessfulAuth or
// InvalidPassword names by that of the challenge. Where that leaves the account doubtful, the
// observation is marked as dialled and held against no account.
func (e *Engine) chanSIP(k key, o *Observation) {
	dk := dialogKey{o.Session, o.Server}
	r := e.dialogs.Get(dk)
	if o.Kind == KindChallengeSent {
		e.challenges(r, dk, o)
		return
	}
	if o.Kind != KindSuccessfulAuth && o.Kind != KindInvalidPassword {
		return
	}

	if r == 0 || e.now-e.dialogs.Val(r).at > dialogTime {
		o.dialled = true // ChallengeSent is filtered out, or the dialog was forgotten
		e.doubtful(k, o)
		return
	}
	d := *e.dialogs.Val(r)
	o.dialled = d.call || d.disputed || o.Account != d.account
	if o.dialled && o.Account != d.account || d.disputed {
		e.doubtful(k, o)
	}
	if d.call {
		o.Account, o.Unknown = d.account, false
	}
}

// doubtful judges an account that chan_sip names, and that may be a number which was dialled:
// whoever guesses its password can open the dialog as a call of another. So the attack on it is
// noted, and what may be the guess that was right is alerted.
func (e *Engine) doubtful(k key, o *Observation) {
	id := e.accountOf(o.Server, o.Service, &o.Account)
	if r := e.accounts.Get(id); r == 0 || e.accounts.Val(r).okAt == 0 {
		return // nothing shows that it is an account
	}
	if o.Kind == KindInvalidPassword {
		ev := e.evidenceOf(o)
		e.behindName(k, &ev)
		return
	}

	// Who works there has proved itself, and may call an account that others guess.
	proved := false
	if r := e.sources.Get(k.host()); r != 0 {
		proved = e.provedAt(k, e.sources.Val(r))
	}
	if proved || !o.Password || !e.on(RuleSuspectLogin) {
		return
	}
	if a, _ := e.touchAccount(id, o.Server, &o.Account); whole(a.strangers) >= manyStrangers {
		e.alert(Verdict{
			Rule: RuleSuspectLogin, Prefix: k.prefix(), Server: o.Server, Account: o.Account,
			Chooser: o.Chooser(),
		}, aboutPair(k, id), hourly)
	}
}

// challenges notes a challenge of a dialog. r is its entry, 0 if there is none.
func (e *Engine) challenges(r table.Ref, dk dialogKey, o *Observation) {
	if r == 0 {
		r = e.dialogs.Add(dk, only)
	} else {
		e.dialogs.Move(r, only)
	}

	// A new nonce begins anew.
	d := e.dialogs.Val(r)
	if d.at == 0 || d.nonce != o.Challenge || e.now-d.at > dialogTime {
		*d = dialog{nonce: o.Challenge, account: o.Account}
	}
	d.disputed = d.disputed || d.account != o.Account
	d.call = d.call || o.Call
	d.at = e.now
}
