package policy

import (
	"testing"
	"time"
)

// R3: a phone that proved itself every day for a month is off for a weekend (its proof lapses after 24 h). Some forged packets
// from port 5060, where most phones live; it comes back and proves itself, and from then on forged packets cut it off, for
// longer and longer, although it is proved. (README admits it before the *first* proof only, and only from a port that a forger
// would have to know; compromised_account excepts 5060 and 5061, this does not.)
func TestRedForgedPacketsCutOffAPhoneThatProvedItself(t *testing.T) {
	l := newLab(t)
	for range 30 {
		l.feed(registered(phone))
		l.wait(12 * time.Hour)
	}
	l.wait(48 * time.Hour)
	l.every(time.Second, guesses(10, phone)...)
	l.wait(15 * time.Minute)
	l.every(time.Second, registered(phone))
	l.drop()
	for range 6 {
		l.every(time.Second, guesses(12, phone)...)
		for l.isBanned(phone) {
			l.wait(10 * time.Minute)
		}
		l.every(time.Second, registered(phone))
	}
	for _, v := range l.got {
		if v.Action == ActionBan {
			t.Errorf("a proved phone: %s", brief(v))
		}
	}
}
