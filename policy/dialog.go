package policy

import (
	"encoding/binary"

	"github.com/dchest/siphash"
)

// chan_sip keeps one nonce a dialog, and knows a dialog by its Call-ID, whoever speaks and from where. So who is challenged
// at his own address can send the answer in another's name, and Asterisk reports a SuccessfulAuth, or an InvalidPassword
// with the right challenge, of an address that received nothing. Some requests renew the nonce, others have the same one
// sent to another address (both measured on Asterisk 16.28; capture 20 shows the latter). So an answer is believed only if
// the nonce that it answers went to its address, and to no other.

// dialogKey is a dialog of chan_sip.
type dialogKey struct {
	session uint64
	server  uint16
}

func (k dialogKey) hash(k0, k1 uint64) uint64 {
	var b [10]byte
	binary.LittleEndian.PutUint64(b[:], k.session)
	binary.LittleEndian.PutUint16(b[8:], k.server)
	return siphash.Hash(k0, k1, b[:])
}

// dialog is what is known of the latest nonce of a dialog.
type dialog struct {
	nonce    uint64
	at       int64 // when it was sent last
	to       host  // where it was sent first
	account  Label // about whom
	spread   bool  // it was sent to several addresses
	disputed bool  // about several accounts
	call     bool  // to a call: then any of the caller's accounts may be meant
}

// maxDialogs bounds the dialogs that are remembered: the oldest is forgotten first.
const maxDialogs = 1 << 15

// dialogTime is how long chan_sip keeps a dialog that was challenged, and a bit.
const dialogTime = 2 * creditWindow

// chanSIP takes in what chan_sip says, and corrects it: the account of a SuccessfulAuth or InvalidPassword is the number that
// was dialled, if it was a call; its challenge named the caller, or whom he claimed to be. Where that makes the account
// doubtful, it is nobody's. False means that the observation is not to be believed: a
// success of an address where the challenge did not go, or not alone.
func (e *Engine) chanSIP(k key, o *Observation) bool {
	dk := dialogKey{o.Session, o.Server}
	r := e.dialogs.get(dk)
	if o.Kind == KindChallengeSent {
		e.challenges(r, dk, k, o)
		return true
	}
	if o.Kind != KindSuccessfulAuth && o.Kind != KindInvalidPassword {
		return true
	}
	if r == 0 || e.now-e.dialogs.at(r).val.at > dialogTime {
		o.dialled = true
		if o.Stream || e.now-e.dialogsLost > dialogTime {
			return true
		}
		o.RoundTrip = false // it may be one of those that were forgotten
		return o.Kind != KindSuccessfulAuth
	}
	d := &e.dialogs.at(r).val
	o.dialled = d.call || d.disputed || o.Account != d.account
	if d.call {
		o.Account, o.Unknown = d.account, false // else it is the number that was dialled
	}
	if o.Stream || d.to == k.host() && !d.spread {
		o.answers = true
		return true
	}
	o.RoundTrip = false
	if o.Kind == KindSuccessfulAuth {
		e.stats.Borrowed++
		return false
	}
	return true
}

// challenges notes a challenge of a dialog.
func (e *Engine) challenges(r ref, dk dialogKey, k key, o *Observation) {
	if r == 0 {
		if e.dialogs.full() {
			oldest := e.dialogs.lists[listAll].tail
			if e.now-e.dialogs.at(oldest).val.at < dialogTime {
				e.dialogsLost = e.now
			}
			e.dialogs.remove(oldest)
		}
		r = e.dialogs.add(dk, listAll)
	} else {
		e.dialogs.move(r, listAll)
	}
	d := &e.dialogs.at(r).val
	if d.at == 0 || d.nonce != o.Challenge || e.now-d.at > dialogTime {
		*d = dialog{nonce: o.Challenge, to: k.host(), account: o.Account}
	}
	d.spread = d.spread || d.to != k.host()
	d.disputed = d.disputed || d.account != o.Account
	d.call = d.call || o.Call
	d.at = e.now
}
