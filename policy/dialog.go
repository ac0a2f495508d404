package policy

import (
	"encoding/binary"

	"github.com/dchest/siphash"
)

// chan_sip keeps one nonce a dialog, and knows a dialog by its Call-ID, whoever speaks and from where. So who is challenged
// at his own address can send the answer in another's name, and Asterisk reports a SuccessfulAuth, or an InvalidPassword
// with the right challenge, of an address that received nothing (measured on Asterisk 16.28; capture 20 shows one nonce
// sent to two addresses). But each challenge renews the nonce and is reported too: what answers it must come from where the
// latest one went.

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

// dialog is whom its latest challenge was about, where it went, and when.
type dialog struct {
	to      host
	at      int64
	account Label
}

// maxDialogs bounds the dialogs that are remembered: the oldest is forgotten first.
const maxDialogs = 1 << 15

// dialogTime is how long chan_sip keeps a dialog that was challenged, and a bit.
const dialogTime = 2 * creditWindow

// chanSIP takes in what chan_sip says, and corrects it: the account of a SuccessfulAuth or InvalidPassword is the number that
// was dialled, if it was a call; its challenge named the caller. False means that the observation is not to be believed: a
// success of an address where the challenge did not go.
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
		return true
	}
	d := &e.dialogs.at(r).val
	o.Account, o.Unknown = d.account, false
	if o.Stream || d.to == k.host() {
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

// challenges notes the latest challenge of a dialog.
func (e *Engine) challenges(r ref, dk dialogKey, k key, o *Observation) {
	if r == 0 {
		if e.dialogs.full() {
			e.dialogs.remove(e.dialogs.lists[listAll].tail)
		}
		r = e.dialogs.add(dk, listAll)
	} else {
		e.dialogs.move(r, listAll)
	}
	e.dialogs.at(r).val = dialog{k.host(), e.now, o.Account}
}
