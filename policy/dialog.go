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

// dialog is where its latest challenge went, and when.
type dialog struct {
	to host
	at int64
}

// maxDialogs bounds the dialogs that are remembered: the oldest is forgotten first.
const maxDialogs = 1 << 15

// dialogTime is how long chan_sip keeps a dialog that was challenged, and a bit.
const dialogTime = 2 * creditWindow

// asksDialog notes a challenge of chan_sip over UDP.
func (e *Engine) asksDialog(k key, o *Observation) {
	dk := dialogKey{o.Session, o.Server}
	r := e.dialogs.get(dk)
	if r == 0 {
		if e.dialogs.full() {
			e.dialogs.remove(e.dialogs.lists[listAll].tail)
		}
		r = e.dialogs.add(dk, listAll)
	} else {
		e.dialogs.move(r, listAll)
	}
	e.dialogs.at(r).val = dialog{k.host(), e.now}
}

// answers says whether an event of chan_sip over UDP answers the latest challenge of its dialog from where that went. Known
// is false when no such challenge is remembered, as where ChallengeSent is filtered out.
func (e *Engine) answers(k key, o *Observation) (yes, known bool) {
	r := e.dialogs.get(dialogKey{o.Session, o.Server})
	if r == 0 || e.now-e.dialogs.at(r).val.at > dialogTime {
		return false, false
	}
	return e.dialogs.at(r).val.to == k.host(), true
}
