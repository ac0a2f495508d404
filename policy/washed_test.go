package policy

import (
	"testing"
	"time"
)

// A phone that proved itself for a month is off for a weekend. Forged packets in its name, from the
// port where phones live, do not cut it off once it proves itself again.
func TestForgedPacketsDoNotCutOffAPhoneThatProvesItselfAgain(t *testing.T) {
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
